package behaviours

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"remit.dev/go/remit"
	remitv1 "remit.dev/go/remit/v1"
)

const (
	summary     = "2026/q3/summary.md"
	lastQuarter = "2026/q2/summary.md"
	salaries    = "hr/salaries.csv"
	published   = "2026/q3/from-go.md"
	patience    = 200 * time.Second
)

var (
	q3         = remit.Capability{Name: "s3.read_prefix", Parameters: map[string]string{"bucket": "reports", "prefix": "2026/q3/"}}
	everything = remit.Permit("s3:GetObject", "arn:aws:s3:::reports/*")
	web        = &http.Transport{}
)

// pair is where an agent's certificate and its key are.
type pair struct {
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
}

// live is the running sandbox, as whoever starts these tests describes it in the file that REMIT_LIVE names.
type live struct {
	// Mtls, Bearer and Short are addresses of gateways; the last gives credentials of a few seconds.
	Mtls   string `json:"mtls"`
	Bearer string `json:"bearer"`
	Short  string `json:"short"`
	CAFile string `json:"ca_file"`
	AWS    string `json:"aws"`
	// Agents are who proves itself by a certificate.
	Agents map[string]pair `json:"agents"`
	// Tokens are alice's, by the agent that may present them, and those of an agent and of somebody of security.
	Tokens map[string]string `json:"tokens"`
	// Errors and Platforms are what the Python client says in certain cases.
	Errors    []saidError    `json:"errors"`
	Platforms []saidPlatform `json:"platforms"`
	// Table is the file of the behaviours.
	Table string `json:"table"`
}

func readLive() (*live, error) {
	content, err := os.ReadFile(os.Getenv("REMIT_LIVE"))
	if err != nil {
		return nil, err
	}
	l := &live{}
	return l, json.Unmarshal(content, l)
}

// dial returns the real client of an agent with a certificate.
func (l *live) dial(agent, target string, options ...remit.Option) (*remit.Gateway, error) {
	files := l.Agents[agent]
	usual := []remit.Option{remit.WithCAFile(l.CAFile), remit.WithCertificateFiles(files.Certificate, files.Key)}
	return remit.Dial(target, append(usual, options...)...)
}

// copilot returns the copilot's client, closed when the test ends.
func (l *live) copilot(t *testing.T, target string) *remit.Gateway {
	t.Helper()
	return opened(t)(l.dial("copilot", target))
}

// opened returns what takes a client that was dialled, and closes it when the test ends.
func opened(t *testing.T) func(*remit.Gateway, error) *remit.Gateway {
	return func(gateway *remit.Gateway, err error) *remit.Gateway {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = gateway.Close() })
		return gateway
	}
}

// reading is the request to read the third quarter.
func (l *live) reading() remit.TaskRequest {
	return remit.TaskRequest{Purpose: "summarise Q3", SubjectToken: remit.Token(l.Tokens["copilot"]), Allow: q3}
}

// started starts a task and ends it when the test ends.
func started(t *testing.T, gateway *remit.Gateway, request remit.TaskRequest) *remit.Task {
	t.Helper()
	task, err := gateway.StartTask(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = task.End(context.Background()) })
	return task
}

// s3 returns a client of the real SDK on a provider, for the local AWS.
func (l *live) s3(provider aws.CredentialsProvider) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint:     aws.String(l.AWS),
		Region:           "eu-central-1",
		Credentials:      aws.NewCredentialsCache(provider), // as the SDK's own configuration does
		HTTPClient:       &http.Client{Transport: web},
		UsePathStyle:     true,
		RetryMaxAttempts: 1,
	})
}

func read(ctx context.Context, client *s3.Client, key string) (string, error) {
	found, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("reports"), Key: aws.String(key)})
	if err != nil {
		return "", err
	}
	defer func() { _ = found.Body.Close() }()
	content, err := io.ReadAll(found.Body)
	return string(content), err
}

func write(ctx context.Context, client *s3.Client, key string) error {
	_, err := client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String("reports"), Key: aws.String(key), Body: bytes.NewReader([]byte("# Q3\n")),
	})
	return err
}

// isDenied says whether AWS refused.
func isDenied(err error) bool {
	var said smithy.APIError
	return errors.As(err, &said) && said.ErrorCode() == "AccessDenied"
}

// as returns the error of this kind.
func as[E error](t *testing.T, err error) E {
	t.Helper()
	var found E
	if !errors.As(err, &found) {
		t.Fatalf("want %T, got %T: %v", found, err, err)
	}
	return found
}

func equal[V comparable](t *testing.T, what string, got, want V) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: want %v, got %v", what, want, got)
	}
}

func succeeded(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// until returns once it is so; looks often enough for a person who waits.
func until(t *testing.T, what string, isSo func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !isSo(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never came: " + what)
		}
	}
}

// wait sleeps until a time, which the test needs to have passed.
func wait(moment time.Time) { time.Sleep(time.Until(moment)) }

// security returns a connection of somebody of the security team, and the context to call with.
func (l *live) security(t *testing.T) (*grpc.ClientConn, context.Context) {
	t.Helper()
	trust, err := credentials.NewClientTLSFromFile(l.CAFile, "")
	succeeded(t, err)
	way, err := grpc.NewClient(l.Bearer, grpc.WithTransportCredentials(trust))
	succeeded(t, err)
	t.Cleanup(func() { _ = way.Close() })
	return way, metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+l.Tokens["security"])
}

// causes returns why each grant of a task was revoked.
func causes(t *testing.T, l *live, taskID string) []remitv1.RevokeCause {
	t.Helper()
	way, ctx := l.security(t)
	found, err := remitv1.NewGrantServiceClient(way).ListGrants(ctx, &remitv1.ListGrantsRequest{Filter: "task_id = " + taskID})
	succeeded(t, err)
	var said []remitv1.RevokeCause
	for _, grant := range found.GetGrants() {
		said = append(said, grant.GetRevokeCause())
	}
	return said
}

// recorded returns the audit records of a task of this kind.
func recorded(t *testing.T, l *live, taskID, kind string) []*remitv1.AuditEvent {
	t.Helper()
	way, ctx := l.security(t)
	found, err := remitv1.NewAuditServiceClient(way).ListEvents(ctx, &remitv1.ListEventsRequest{TaskId: taskID, Kind: kind})
	succeeded(t, err)
	return found.GetEvents()
}

// copied returns a folder with an agent's files, to be replaced by another's.
func copied(t *testing.T, files pair) pair {
	t.Helper()
	folder := t.TempDir()
	here := pair{filepath.Join(folder, "agent.pem"), filepath.Join(folder, "agent.key")}
	replace(t, here, files)
	return here
}

func replace(t *testing.T, here, files pair) {
	t.Helper()
	for to, from := range map[string]string{here.Certificate: files.Certificate, here.Key: files.Key} {
		content, err := os.ReadFile(from)
		succeeded(t, err)
		succeeded(t, os.WriteFile(to+".new", content, 0o600))
		succeeded(t, os.Rename(to+".new", to))
	}
}
