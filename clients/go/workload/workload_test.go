//go:build unix

package workload

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"remit.dev/go/remit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const canary = "CanaryCanaryCanary0123456789"

// token returns a JWT that nobody signed, good for a time.
func token(life time.Duration) string {
	claims := fmt.Sprintf(`{"exp":%d,"n":%d}`, time.Now().Add(life).Unix(), time.Now().UnixNano())
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + "." + canary
}

// refused returns why a source gives no token.
func refused(t *testing.T, source remit.TokenSource) *remit.NoWorkloadIdentity {
	t.Helper()
	given, err := source.Token(t.Context())
	var told *remit.NoWorkloadIdentity
	if !errors.As(err, &told) {
		t.Fatalf("want an error, got %q and %v", given, err)
	}
	if strings.Contains(err.Error(), canary) {
		t.Fatalf("it repeats what may be a token: %v", err)
	}
	return told
}

func has(t *testing.T, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Fatalf("want %q in %q", part, text)
	}
}

func equal[V comparable](t *testing.T, what string, got, want V) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: want %v, got %v", what, want, got)
	}
}

// gitHub serves the runner's endpoint, as GitHub's reference has it, on this machine.
func gitHub(t *testing.T, answer http.HandlerFunc) {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	t.Setenv("GITHUB_ACTIONS", "true")
	t.Setenv(gitHubURL, server.URL+"/token?api-version=2.0")
	t.Setenv(gitHubToken, canary)
}

func TestAJobOfGitHubHasATokenForEachCall(t *testing.T) {
	var audiences []string
	gitHub(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "bearer "+canary || r.URL.Query().Get("api-version") != "2.0" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		audiences = append(audiences, r.URL.Query().Get("audience"))
		_, _ = fmt.Fprintf(w, `{"value":%q}`, token(time.Hour))
	})
	each, reused := GitHub("https://remit.acme.example"), GitHubReused("https://remit.acme.example")

	var seen []string
	for _, source := range []remit.TokenSource{each, each, reused, reused} {
		given, err := source.Token(t.Context())
		equal(t, "error", err, nil)
		seen = append(seen, given)
	}

	equal(t, "asked", len(audiences), 3)
	equal(t, "audience", audiences[0], "https://remit.acme.example")
	equal(t, "another for each", seen[0] != seen[1], true)
	equal(t, "reused", seen[2], seen[3])
}

func TestGitHubsNoSaysWhatToSet(t *testing.T) {
	for answer, told := range map[string]string{
		"403": "give the job `permissions: id-token: write`",
		"200": "GitHub's token endpoint answered 200 without a token",
		"302": "answered 302 without a token",
	} {
		gitHub(t, func(w http.ResponseWriter, _ *http.Request) {
			var status int
			_, _ = fmt.Sscan(answer, &status)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, `{"message":%q}`, canary)
		})

		has(t, refused(t, GitHub("remit")).Error(), told)
	}
}

func TestAnEndpointThatIsElsewhereWithoutTLSIsNotAsked(t *testing.T) {
	t.Setenv("GITHUB_ACTIONS", "true")
	t.Setenv(gitHubToken, canary)
	for _, address := range []string{"http://gateway.example.com/", "http://localhost/", "ftp://127.0.0.1/", "://"} {
		t.Setenv(gitHubURL, address)

		has(t, refused(t, GitHub("remit")).Message, "GitHub's token endpoint has no https address")
	}
}

func TestWithoutGitHubItIsSaidWhichVariableIsMissing(t *testing.T) {
	t.Setenv("GITHUB_ACTIONS", "")
	t.Setenv(gitHubURL, "")

	has(t, refused(t, GitHub("remit")).Error(), "this is no job of GitHub Actions: ACTIONS_ID_TOKEN_REQUEST_URL is not set")
}

func TestAFileIsReadAtEachCall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	source := Kubernetes(path)
	for range 2 {
		want := token(time.Minute)
		equal(t, "error", os.WriteFile(path, []byte(want+"\n"), 0o600), nil)

		given, err := source.Token(t.Context())

		equal(t, "error", err, nil)
		equal(t, "token", given, want)
	}
}

func TestAFileThatHoldsNoTokenIsTold(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "token")
	for content, told := range map[string]string{
		"": "the file " + path + " gave nothing", "caf\u00e9" + canary: "it is not ASCII",
		strings.Repeat("x", longestToken+1): "which is no token that a gateway takes",
	} {
		equal(t, "error", os.WriteFile(path, []byte(content), 0o600), nil)

		has(t, refused(t, File(path)).Message, told)
	}
	has(t, refused(t, File(folder)).Message, "is no file")
	has(t, refused(t, Kubernetes(filepath.Join(folder, "none"))).Error(), "mount a projected serviceAccountToken")
	pipe := filepath.Join(folder, "pipe")
	equal(t, "error", syscall.Mkfifo(pipe, 0o600), nil)
	has(t, refused(t, File(pipe)).Message, "is no file")
}

func TestATokenThatIsOverIsToldBeforeItIsSent(t *testing.T) {
	t.Setenv("MY_TOKEN", token(-time.Hour))

	over := refused(t, Env("MY_TOKEN"))

	equal(t, "reason", over.Reason, "WORKLOAD_TOKEN_EXPIRED")
	has(t, over.Error(), "whoever starts this process has to give it a new one")
}

func TestAVariableThatIsMissingIsTold(t *testing.T) {
	t.Setenv("EMPTY", "")

	has(t, refused(t, Env("EMPTY")).Message, "the variable EMPTY is empty")
	has(t, refused(t, GitLab("REMIT_NOT_SET")).Error(), "add `id_tokens: {REMIT_NOT_SET: {aud: AUDIENCE}}` to the job")
}

// command puts a program of this name on the PATH.
func command(t *testing.T, name, script string) {
	t.Helper()
	folder := t.TempDir()
	equal(t, "error", os.WriteFile(filepath.Join(folder, name), []byte("#!/bin/sh\n"+script), 0o700), nil)
	t.Setenv("PATH", folder+":/usr/bin:/bin")
}

func TestAnEnvironmentsCommandPrintsTheToken(t *testing.T) {
	want := token(time.Hour)
	command(t, "gp", `[ "$*" = "idp token --audience remit; true" ] && echo `+want)

	given, err := Gitpod("remit; true").Token(t.Context())

	equal(t, "error", err, nil)
	equal(t, "token", given, want)
}

func TestACommandThatFailsIsTold(t *testing.T) {
	for script, told := range map[string]string{
		"echo not signed in " + canary + " >&2; exit 3":         "`ona idp token` ended with 3: not signed in ***",
		"while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done": "`ona idp token` printed more than a token",
		"echo no token": "gitpod gave something that is no signed JWT",
	} {
		command(t, "ona", script)

		has(t, refused(t, Gitpod("remit")).Message, told)
	}
	t.Setenv("PATH", t.TempDir())
	has(t, refused(t, Gitpod("remit")).Error(), "none of ona, gitpod, gp is on the PATH")
}

func TestATokenIsAskedForOnceByAllAndOutlastsAnOutage(t *testing.T) {
	var mu sync.Mutex
	asked, away := 0, false
	source := Kept("test", "", func(context.Context) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		if away {
			return "", none("nobody is there", "")
		}
		return token(time.Minute), nil
	})
	var asking sync.WaitGroup
	for range 8 {
		asking.Go(func() {
			if _, err := source.Token(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	asking.Wait()
	equal(t, "asked", asked, 1)
	source.kept.renewal = time.Now()
	away = true

	_, err := source.Token(t.Context())
	equal(t, "error", err, nil)
	source.kept.end = time.Now()

	has(t, refused(t, source).Message, "nobody is there")
	equal(t, "asked", asked, 3)
}

func TestEqualSourcesAreOneToTheGateway(t *testing.T) {
	equal(t, "same", GitHub("a").IsSame(GitHub("a")), true)
	equal(t, "another audience", GitHub("a").IsSame(GitHub("b")), false)
	equal(t, "another platform", GitHub("a").IsSame(Gitpod("a")), false)
	equal(t, "printed", fmt.Sprintf("%v %+v", GitHub("a"), Env("NAME")), "<workload.Source github audience=a> <workload.Source env name=NAME>")
}
