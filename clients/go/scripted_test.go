package remit

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	remitv1 "remit.dev/go/remit/v1"
)

const (
	taskID    = "abcdefghijklmnopqrstuvwxyz"
	grantName = "tasks/" + taskID + "/grants/bbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// scripted is a gateway that answers what a test tells it to, over real gRPC and real TLS on loopback.
//
// It exists because a real gateway cannot be told to be away for two calls, to stand still, or to fail in each of its ways.
type scripted struct {
	remitv1.UnimplementedCredentialServiceServer
	address string
	folder  string

	mu             sync.Mutex
	failures       []error // the next calls fail so
	lifetime       time.Duration
	offline        bool
	parent         string
	requestIDs     []string
	renewals       []*remitv1.RenewCredentialsRequest
	ends           int
	authorizations []string
	leases         []time.Duration
	watched        chan struct{}
	events         chan *remitv1.WatchTaskResponse
}

func scriptedGateway(t *testing.T) *scripted {
	t.Helper()
	s := &scripted{
		folder: t.TempDir(), lifetime: 15 * time.Minute,
		watched: make(chan struct{}, 16), events: make(chan *remitv1.WatchTaskResponse, 16),
	}
	certificate := s.writePair(t, "server", "127.0.0.1")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	server := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(certificate)))
	remitv1.RegisterCredentialServiceServer(server, s)
	s.address = listener.Addr().String()
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() { server.Stop(); serving.Wait() })
	return s
}

// writePair makes a self-signed certificate with its key, as files of this name.
func (s *scripted) writePair(t *testing.T, name, host string) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.ParseIP(host)}, IsCA: true, BasicConstraintsValid: true,
	}
	made, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made})
	secret := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	must(t, os.WriteFile(s.file(name+".pem"), chain, 0o600))
	must(t, os.WriteFile(s.file(name+".key"), secret, 0o600))
	pair, err := tls.X509KeyPair(chain, secret)
	must(t, err)
	return &pair
}

func (s *scripted) file(name string) string { return filepath.Join(s.folder, name) }

// dial returns a client of an agent with a bearer token, which is closed when the test ends.
func (s *scripted) dial(t *testing.T, options ...Option) *Gateway {
	t.Helper()
	usual := []Option{WithCAFile(s.file("server.pem")), WithLogger(slog.New(slog.DiscardHandler))}
	gateway, err := Dial(s.address, append(usual, options...)...)
	must(t, err)
	t.Cleanup(func() { must(t, gateway.Close()) })
	return gateway
}

func (s *scripted) bearer(t *testing.T) *Gateway { return s.dial(t, WithBearer(Token("the-agents"))) }

// next returns the failure that a call is answered with.
func (s *scripted) next(ctx context.Context, requestID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, _ := metadata.FromIncomingContext(ctx)
	s.authorizations = append(s.authorizations, strings.Join(known.Get("authorization"), ","))
	s.requestIDs = append(s.requestIDs, requestID)
	if len(s.failures) == 0 {
		return nil
	}
	failure := s.failures[0]
	s.failures = s.failures[1:]
	return failure
}

func (s *scripted) fail(failures ...error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, failures...)
}

func (s *scripted) given() (*remitv1.Grant, *remitv1.AwsCredentials) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, end := timestamppb.Now(), timestamppb.New(time.Now().Add(s.lifetime))
	return &remitv1.Grant{
			Name: grantName, TaskId: taskID, State: remitv1.GrantState_GRANT_STATE_ISSUED, OfflineRenewal: s.offline, Parent: s.parent,
			IssueTime: now, ExpireTime: end,
		}, &remitv1.AwsCredentials{
			AccessKeyId: "ASIAREMIT", SecretAccessKey: "the-secret-key", SessionToken: "the-session-token", ExpireTime: end,
			Region: "eu-central-1",
		}
}

func (s *scripted) IssueCredentials(
	ctx context.Context, request *remitv1.IssueCredentialsRequest,
) (*remitv1.IssueCredentialsResponse, error) {
	if err := s.next(ctx, request.GetRequestId()); err != nil {
		return nil, err
	}
	grant, credentials := s.given()
	return &remitv1.IssueCredentialsResponse{Grant: grant, Credentials: credentials}, nil
}

func (s *scripted) RenewCredentials(
	ctx context.Context, request *remitv1.RenewCredentialsRequest,
) (*remitv1.RenewCredentialsResponse, error) {
	if err := s.next(ctx, ""); err != nil {
		return nil, err
	}
	grant, credentials := s.given()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renewals = append(s.renewals, request)
	return &remitv1.RenewCredentialsResponse{Grant: grant, Credentials: credentials}, nil
}

func (s *scripted) EndTask(ctx context.Context, _ *remitv1.EndTaskRequest) (*remitv1.EndTaskResponse, error) {
	if err := s.next(ctx, ""); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends++
	return &remitv1.EndTaskResponse{EndTime: timestamppb.Now()}, nil
}

func (s *scripted) WatchTask(
	request *remitv1.WatchTaskRequest, stream grpc.ServerStreamingServer[remitv1.WatchTaskResponse],
) error {
	s.mu.Lock()
	s.leases = append(s.leases, request.GetDisconnectGrace().AsDuration())
	s.mu.Unlock()
	heartbeat := &remitv1.WatchTaskResponse{Kind: remitv1.TaskEventKind_TASK_EVENT_KIND_HEARTBEAT}
	if err := stream.Send(heartbeat); err != nil {
		return err
	}
	s.watched <- struct{}{}
	for {
		select {
		case event := <-s.events:
			if event == nil { // the stream ends
				return nil
			}
			if err := stream.Send(event); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return io.EOF
		}
	}
}

// failed returns a failure as gateways tell it.
func failed(code codes.Code, reason string, details ...protoadapt.MessageV1) error {
	info := &errdetails.ErrorInfo{Reason: reason, Domain: domain}
	said, err := status.New(code, "because").WithDetails(append([]protoadapt.MessageV1{info}, details...)...)
	if err != nil {
		panic(err)
	}
	return said.Err()
}

func comeBackIn(delay time.Duration) *errdetails.RetryInfo {
	return &errdetails.RetryInfo{RetryDelay: durationpb.New(delay)}
}

func reading() TaskRequest {
	return TaskRequest{Purpose: "read", SubjectToken: Token("the-users"), Allow: Permit("s3:GetObject", "arn:aws:s3:::reports/*")}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[V comparable](t *testing.T, what string, got, want V) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: want %v, got %v", what, want, got)
	}
}
