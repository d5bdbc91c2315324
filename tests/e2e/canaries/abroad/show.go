// An agent that shows all that it has, in every way in which Go shows things, where it goes well and where it does not.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"remit.dev/go/remit"
)

type world struct {
	Mtls, Bearer, Certificate, Key, Given, Leaks string
	CAFile                                       string `json:"ca_file"`
	Tokens                                       map[string]string
}

// within has values where package fmt cannot call their methods.
type within struct {
	value any
	some  []any
}

var (
	told       world
	given      []string
	log        = slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}))
	q3         = remit.Capability{Name: "s3.read_prefix", Parameters: map[string]string{"bucket": "reports", "prefix": "2026/q3/"}}
	everything = remit.Permit("s3:GetObject", "arn:aws:s3:::reports/*")
	ctx        = context.Background()
)

func show(values ...any) {
	for _, value := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Printf(verb+"\n", value)
			fmt.Printf(verb+"\n", within{value, []any{value}})
			fmt.Printf(verb+"\n", &within{value, []any{value}})
		}
		text, err := json.Marshal(map[string]any{"value": value})
		fmt.Println(string(text), err)
		log.Debug("a value", "value", value, "within", within{value, nil})
		slog.New(slog.NewTextHandler(os.Stderr, nil)).Info("a value", "value", value)
		for err, ok := value.(error); ok && err != nil; err = errors.Unwrap(err) {
			fmt.Printf("%v %+v %#v\n", err, err, err)
		}
	}
}

func fails(_ any, err error) {
	if err == nil {
		panic("it was to fail")
	}
	show(err)
	fmt.Println("failed")
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func hold(found remit.Credentials) {
	given = append(given, found.SecretAccessKey.Reveal(), found.SessionToken.Reveal())
	must(0, os.WriteFile(told.Given, must(json.Marshal(given)), 0o600))
}

func dial(target string, options ...remit.Option) *remit.Gateway {
	return must(remit.Dial(target, append([]remit.Option{remit.WithCAFile(told.CAFile), remit.WithLogger(log)}, options...)...))
}

func wanted(token string) remit.TaskRequest {
	return remit.TaskRequest{Purpose: "summarise Q3", SubjectToken: remit.Token(token), Allow: q3}
}

func main() {
	must(0, json.Unmarshal(must(os.ReadFile(os.Getenv("REMIT_SHOWN"))), &told))
	// After all is said: what a leak would look like, for whoever looks for leaks to prove that they would find it.
	defer func() { fmt.Printf("\n%s\n%+v %q %s\n", told.Leaks, told.Tokens, given, must(os.ReadFile(told.Key))) }()
	certificate := remit.WithCertificateFiles(told.Certificate, told.Key)
	gateway := dial(told.Mtls, certificate)
	request := wanted(told.Tokens["user"])
	task := must(gateway.StartTask(ctx, request))
	found := must(task.Credentials(ctx))
	hold(found)
	part := must(task.Attenuate(ctx, remit.AttenuateRequest{Allow: q3}))
	hold(must(part.Credentials(ctx)))
	show(gateway, task, task.Grant(), found, &found, request, &request, request.SubjectToken, part, task.CredentialsProvider())
	fails(task.Attenuate(ctx, remit.AttenuateRequest{Allow: everything}))
	must(task.End(ctx))
	show(must(gateway.Preview(ctx, request)), must(gateway.WhoAmI(ctx, request.SubjectToken)))
	for _, token := range []string{"tampered", "crawler", "canary", "broken"} {
		fails(gateway.StartTask(ctx, wanted(told.Tokens[token])))
		fails(gateway.WhoAmI(ctx, remit.Token(told.Tokens[token])))
	}
	for number := range 4 {
		asked := wanted(told.Tokens["user"])
		asked.Allow = everything
		switch number {
		case 1:
			asked.RequestID = told.Tokens["user"]
		case 2:
			asked.TaskID = told.Tokens["user"]
		case 3:
			asked.Labels = map[string]string{"token": told.Tokens["user"]}
		}
		fails(gateway.StartTask(ctx, asked))
	}
	for _, bearer := range []string{"agent", "tampered", "canary", "broken"} {
		other := dial(told.Bearer, remit.WithBearer(remit.Token(told.Tokens[bearer])))
		show(other)
		fails(other.StartTask(ctx, wanted(told.Tokens["tampered"])))
		must(0, other.Close())
	}
	nowhere := dial("127.0.0.1:1", certificate, remit.WithTimeout(time.Second))
	fails(nowhere.StartTask(ctx, request))
	must(0, nowhere.Close())
	// The end is a crash: an error that nobody catches, with a token in hand.
	must(gateway.StartTask(ctx, wanted(told.Tokens["tampered"])))
}
