// Package spiffe proves who a workload is by what the SPIFFE Workload API gives it: an X509-SVID, followed as it rotates, or a
// JWT-SVID.
//
//	svid, err := spiffe.X509(ctx)
//	defer svid.Close()
//	gateway, err := remit.Dial("gateway.example.com:8443", svid.Proof(), svid.Trust())
package spiffe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"remit.dev/go/remit"
	"remit.dev/go/remit/workload"
)

const (
	// Socket is the variable that names the SPIFFE agent's socket.
	Socket = "SPIFFE_ENDPOINT_SOCKET"

	patience      = 10 * time.Second // for the first certificate
	noCertificate = "WORKLOAD_CERTIFICATE_UNAVAILABLE"
	noToken       = "WORKLOAD_TOKEN_UNAVAILABLE"
)

// Option says which agent is asked, and for which identity.
type Option func(*settings)

type settings struct {
	socket string
	id     string
}

// WithSocket names the agent's socket, unix:///path or tcp://127.0.0.1:port; without it SPIFFE_ENDPOINT_SOCKET.
func WithSocket(address string) Option { return func(s *settings) { s.socket = address } }

// WithID picks one SPIFFE ID where this workload has several.
func WithID(id string) Option { return func(s *settings) { s.id = id } }

func settingsOf(options []Option) settings {
	s := settings{socket: os.Getenv(Socket)}
	for _, option := range options {
		option(&s)
	}
	return s
}

// SVID is this workload's X509-SVID as it is now.
type SVID struct {
	source *workloadapi.X509Source
}

// X509 returns this workload's X509-SVID, which follows the Workload API until it is closed; waits 10 seconds at most for the first.
func X509(ctx context.Context, options ...Option) (*SVID, error) {
	s := settingsOf(options)
	if err := s.check(noCertificate); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// The source goes on asking while it is refused, and does not say why: the first question is asked by itself.
	first, err := workloadapi.FetchX509SVIDs(ctx, workloadapi.WithAddr(s.socket))
	if err != nil {
		return nil, refused(err, noCertificate)
	}
	if s.pick(first) == nil {
		return nil, none(noCertificate, "the SPIFFE Workload API has no certificate for "+s.id, "")
	}
	api := workloadapi.WithClientOptions(workloadapi.WithAddr(s.socket))
	source, err := workloadapi.NewX509Source(ctx, api, workloadapi.WithDefaultX509SVIDPicker(s.pick))
	if err != nil {
		return nil, refused(err, noCertificate)
	}
	return &SVID{source}, nil
}

// pick returns the certificate that is meant: the one that was named, or the first (Workload API 5.3).
func (s settings) pick(held []*x509svid.SVID) *x509svid.SVID {
	for _, one := range held {
		if s.id == "" || one.ID.String() == s.id {
			return one
		}
	}
	return nil
}

// Proof proves who this agent is by the certificate.
func (s *SVID) Proof() remit.Option { return remit.WithCertificateSource(s.certificate) }

// Trust trusts the gateway by the bundle of this workload's own trust domain; its certificate must still name the host that is
// called.
func (s *SVID) Trust() remit.Option { return remit.WithRootsSource(s.bundle) }

// ID returns the SPIFFE ID by which the gateway knows this workload.
func (s *SVID) ID() (string, error) {
	found, err := s.current()
	if err != nil {
		return "", err
	}
	return found.ID.String(), nil
}

// Close stops to follow.
func (s *SVID) Close() error { return s.source.Close() }

func (s *SVID) current() (*x509svid.SVID, error) {
	found, err := s.source.GetX509SVID()
	if err != nil || found == nil {
		return nil, none(noCertificate, "the SPIFFE Workload API has taken this workload's certificate back", "look whether the SPIFFE agent runs")
	}
	if !time.Now().Before(found.Certificates[0].NotAfter) {
		told := fmt.Sprintf("the certificate of %s is over, and no other has come", found.ID)
		return nil, none(noCertificate, told, "look whether the SPIFFE agent runs")
	}
	return found, nil
}

func (s *SVID) certificate() (*tls.Certificate, error) {
	found, err := s.current()
	if err != nil {
		return nil, err
	}
	made := &tls.Certificate{PrivateKey: found.PrivateKey, Leaf: found.Certificates[0]}
	for _, one := range found.Certificates {
		made.Certificate = append(made.Certificate, one.Raw)
	}
	return made, nil
}

func (s *SVID) bundle() ([]*x509.Certificate, error) {
	found, err := s.current()
	if err != nil {
		return nil, err
	}
	bundle, err := s.source.GetX509BundleForTrustDomain(found.ID.TrustDomain())
	if err != nil {
		return nil, none(noCertificate, "the SPIFFE Workload API gave no bundle of "+found.ID.TrustDomain().Name(), "")
	}
	return bundle.X509Authorities(), nil
}

// JWT returns the source of this workload's JWT-SVID, asked of the SPIFFE Workload API and kept until near its end.
func JWT(audience string, options ...Option) *workload.Source {
	s := settingsOf(options)
	given := strings.TrimSpace(fmt.Sprintf("audience=%s socket=%s spiffe_id=%s", audience, s.socket, s.id))
	return workload.Kept("spiffe", given, func(ctx context.Context) (string, error) {
		if err := s.check(noToken); err != nil {
			return "", err
		}
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return s.fetch(ctx, audience)
	})
}

func (s settings) fetch(ctx context.Context, audience string) (string, error) {
	client, err := workloadapi.New(ctx, workloadapi.WithAddr(s.socket))
	if err != nil {
		return "", refused(err, noToken)
	}
	defer func() { _ = client.Close() }()
	found, err := client.FetchJWTSVIDs(ctx, jwtsvid.Params{Audience: audience})
	if err != nil {
		return "", refused(err, noToken)
	}
	for _, one := range found {
		if s.id == "" || one.ID.String() == s.id {
			return one.Marshal(), nil
		}
	}
	return "", none(noToken, "the SPIFFE Workload API gave no JWT-SVID", "")
}

func (s settings) check(reason string) error {
	if s.socket == "" {
		return none(reason, Socket+" is not set",
			fmt.Sprintf("set it to the SPIFFE agent's socket, such as %s=unix:///run/spire/s.sock", Socket))
	}
	parts, unread := url.Parse(s.socket)
	if err := workloadapi.ValidateAddress(s.socket); err != nil || unread != nil || (parts.Scheme == "unix" && parts.Host != "") {
		return none(reason, workload.Harmless(s.socket)+" is no address of a Workload API", "write it as unix:///path or tcp://127.0.0.1:port")
	}
	if parts.Scheme == "tcp" && !isLoopback(parts.Hostname()) {
		return none(reason, workload.Harmless(s.socket)+" is no address on this machine: the Workload API sends keys without encryption",
			"use the agent's unix socket, or tcp://127.0.0.1:port")
	}
	return nil
}

// isLoopback says whether a host is this machine, by its literal address only.
func isLoopback(host string) bool {
	address := net.ParseIP(host)
	return address != nil && address.IsLoopback()
}

// refused returns what a failed call means.
func refused(err error, reason string) error {
	said := status.Convert(err)
	advice := "look into the log of the SPIFFE agent"
	switch said.Code() {
	case codes.PermissionDenied:
		advice = "register this workload: at SPIRE, `spire-server entry create` with selectors that fit this process"
	case codes.Unavailable, codes.DeadlineExceeded:
		advice = "look whether the SPIFFE agent runs, and whether " + Socket + " is its socket"
	}
	return none(reason, fmt.Sprintf("the SPIFFE Workload API gave no identity: %s: %s",
		code.Code(said.Code()), workload.Harmless(said.Message())), advice)
}

func none(reason, message, advice string) error {
	failure := remit.Failure{Reason: reason, Message: message, Remedy: remit.RemedyCorrect}
	return &remit.NoWorkloadIdentity{Failure: failure, Advice: advice}
}
