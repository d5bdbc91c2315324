package remit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

const defaultTimeout = 30 * time.Second

// Gateway is a connection to a Remit gateway, safe for concurrent use; keep one per process and share it.
type Gateway struct {
	calls      *calls
	life       context.Context
	die        context.CancelFunc
	background crew

	mu    sync.Mutex
	begun map[string]bool
}

// Option says who this agent is, whom it trusts, or how it behaves.
type Option func(*settings)

type settings struct {
	proof
	bearer  TokenSource
	timeout time.Duration
	log     *slog.Logger
}

// WithCertificateFiles proves who this agent is by an X.509 SVID and its key, in PEM; they are read again when they change.
func WithCertificateFiles(certificateFile, keyFile string) Option {
	return func(s *settings) { s.certificateFile, s.keyFile = certificateFile, keyFile }
}

// WithCertificateSource proves who this agent is by whatever certificate the source gives at each connection.
func WithCertificateSource(source CertificateSource) Option {
	return func(s *settings) { s.source = source }
}

// WithBearer proves who this agent is by a token, which is asked for at every call.
func WithBearer(source TokenSource) Option {
	return func(s *settings) { s.bearer = source }
}

// WithCAFile says whom to trust for the gateway, in PEM; without it, the system's roots.
func WithCAFile(file string) Option {
	return func(s *settings) { s.caFile = file }
}

// WithRootCertificates says whom to trust for the gateway, as PEM.
func WithRootCertificates(certificates []byte) Option {
	return func(s *settings) { s.rootCertificates = certificates }
}

// WithRootsSource says whom to trust for the gateway by whatever the source gives at each connection.
func WithRootsSource(source RootsSource) Option {
	return func(s *settings) { s.trust = source }
}

// WithTimeout bounds each request with its repeats; 30 seconds unless given.
func WithTimeout(timeout time.Duration) Option {
	return func(s *settings) { s.timeout = timeout }
}

// WithLogger says where warnings go, such as of a renewal that failed; [slog.Default] unless given. No token and no key is logged.
func WithLogger(log *slog.Logger) Option {
	return func(s *settings) { s.log = log }
}

// Dial returns a connection to the gateway at host:port, always by TLS; it connects at the first request.
//
// It fails for options that contradict each other, for files that cannot be read or hold no certificates or key in PEM, and for a
// key of another certificate.
func Dial(target string, options ...Option) (*Gateway, error) {
	s := settings{timeout: defaultTimeout, log: slog.Default()}
	for _, option := range options {
		option(&s)
	}
	if err := s.check(target); err != nil {
		return nil, err
	}
	way, err := openChannel(target, &s.proof)
	if err != nil {
		return nil, err
	}
	g := &Gateway{calls: &calls{channel: way, bearer: s.bearer, timeout: s.timeout, log: s.log}, begun: map[string]bool{}}
	g.life, g.die = context.WithCancel(context.Background())
	return g, nil
}

func (s *settings) check(target string) error {
	_, port, err := net.SplitHostPort(target)
	if _, isNumber := strconv.Atoi(port); err != nil || isNumber != nil || strings.Contains(target, "://") {
		return fmt.Errorf("remit: target is host:port, such as gateway.example.com:8443, and not %q", target)
	}
	switch {
	case howMany(s.caFile != "", s.rootCertificates != nil, s.trust != nil) > 1:
		return errors.New("remit: give one of WithCAFile, WithRootCertificates and WithRootsSource, not both")
	case howMany(s.certificateFile != "" || s.keyFile != "", s.source != nil, s.bearer != nil) != 1:
		return errors.New("remit: say who this agent is: either WithCertificateFiles, WithCertificateSource or WithBearer")
	case (s.certificateFile == "") != (s.keyFile == ""):
		return errors.New("remit: certificate file and key file belong together")
	case s.timeout <= 0:
		return errors.New("remit: the timeout must be more than 0")
	case s.log == nil:
		return errors.New("remit: the logger must not be nil: slog.New(slog.DiscardHandler) keeps silent")
	}
	return nil
}

// howMany returns how many of these are so.
func howMany(these ...bool) (count int) {
	for _, is := range these {
		if is {
			count++
		}
	}
	return count
}

// WithTask issues credentials, does the work, and ends the task: also when the work fails or panics.
//
// The work's context is done as well once the task is over (revoked, or ended at the gateway); [context.Cause] says why. The work's
// own error is the one that is returned; when the task could not be ended either, that is logged and told below it.
//
// A request with a TaskID joins that task: leaving it forgets the keys, and leaves the ending to whoever started the task. A task that
// another agent handed on is begun by the first of a gateway in it, and ends with that.
//
// Fails with ApprovalPending, Refused, InvalidRequest, Unauthenticated, NotFound, TaskOver, RateLimited, Unavailable or
// GatewayFailure, and with what the functions for tokens return.
func (g *Gateway) WithTask(ctx context.Context, request TaskRequest, work func(context.Context, *Task) error) (err error) {
	task, err := g.StartTask(ctx, request)
	if err != nil {
		return err
	}
	inner, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(task.keyring.life, func() { cancel(task.Err()) })
	defer func() {
		stop()
		cancel(nil)
		err = task.leave(context.WithoutCancel(ctx), err)
	}()
	return work(inner, task)
}

// StartTask issues credentials for a task, to be ended by [Task.End]. It fails as WithTask does.
func (g *Gateway) StartTask(ctx context.Context, request TaskRequest) (*Task, error) {
	w, err := request.checked()
	if err != nil {
		return nil, err
	}
	first, err := g.firstIssued(ctx, w)
	if err != nil {
		return nil, err
	}
	return g.started(ctx, w, first), nil
}

// begins says whether a grant begins the work in a task that another agent handed on, as far as is known here.
func (g *Gateway) begins(grant *Grant) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	begins := grant.isHandedOn() && !g.begun[grant.TaskID]
	if grant.isHandedOn() {
		g.begun[grant.TaskID] = true
	}
	return begins
}

// Preview returns what a task with this request would get; nothing is issued. It fails when there is no decision to show: a
// malformed request, a rejected token, an outage.
func (g *Gateway) Preview(ctx context.Context, request TaskRequest) (*Preview, error) {
	w, err := request.checked()
	if err != nil {
		return nil, err
	}
	return g.calls.preview(ctx, w)
}

// WhoAmI returns who is calling, as the gateway sees it; with the user's token, for whom. The source may be nil.
func (g *Gateway) WhoAmI(ctx context.Context, subjectToken TokenSource) (*Identity, error) {
	return g.calls.whoAmI(ctx, subjectToken)
}

// Explain returns what an earlier request of this agent came to. It fails with NotFound where there is no such request: outages and
// malformed requests are not remembered.
func (g *Gateway) Explain(ctx context.Context, requestID string) (*Decision, error) {
	return g.calls.explain(ctx, requestID)
}

// Close ends the connection and whatever runs in the background: tasks that are still running can neither be renewed nor ended
// after that.
func (g *Gateway) Close() error {
	g.die()
	err := g.calls.channel.close()
	g.background.dismiss()
	return err
}

func (g *Gateway) String() string { return "<Gateway " + g.calls.channel.target + ">" }

// GoString returns the same: nothing of what the gateway keeps is shown.
func (g *Gateway) GoString() string { return g.String() }

// Format writes the same for every verb.
func (g *Gateway) Format(state fmt.State, _ rune) { _, _ = fmt.Fprint(state, g.String()) }

// LogValue logs the same.
func (g *Gateway) LogValue() slog.Value { return slog.StringValue(g.String()) }
