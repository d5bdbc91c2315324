package behaviours

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"remit.dev/go/remit"
)

// holder has values where package fmt cannot call their methods.
type holder struct {
	credentials remit.Credentials
	request     remit.TaskRequest
	task        *remit.Task
}

func secrets(t *testing.T, l *live) {
	var logged bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	gateway := opened(t)(l.dial("copilot", l.Mtls, remit.WithLogger(log)))
	request := l.reading()
	task := started(t, gateway, request)
	found, err := task.Credentials(t.Context())
	succeeded(t, err)
	refusedRequest := request
	refusedRequest.Allow = everything
	_, refused := gateway.StartTask(t.Context(), refusedRequest)

	values := []any{
		gateway, task, found, &found, request, &request, task.Grant(), refused, task.CredentialsProvider(),
		holder{found, request, task}, &holder{found, request, task}, request.SubjectToken,
		found.SecretAccessKey, []remit.Secret{found.SessionToken}, map[string]any{"credentials": found, "request": request},
	}
	var shown strings.Builder
	for _, value := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&shown, verb+"\n", value)
		}
		text, _ := json.Marshal(value)
		shown.Write(text)
		log.Info("a value", "value", value)
		slog.New(slog.NewTextHandler(&shown, nil)).Info("a value", "value", value)
	}
	shown.Write(logged.Bytes())

	for what, secret := range map[string]string{
		"the secret key": found.SecretAccessKey.Reveal(), "the session token": found.SessionToken.Reveal(),
		"the user's token": l.Tokens["copilot"],
	} {
		for _, form := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret)} {
			equal(t, "shows "+what, strings.Contains(shown.String(), form), false)
		}
	}
	equal(t, "shows the task", strings.Contains(shown.String(), task.ID()), true)
}

// counting returns a source of the agent's certificate that counts how often it is asked.
func counting(asked *int, files pair) remit.CertificateSource {
	return func() (*tls.Certificate, error) {
		*asked++
		found, err := tls.LoadX509KeyPair(files.Certificate, files.Key)
		return &found, err
	}
}
