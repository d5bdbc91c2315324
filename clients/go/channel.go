package remit

import (
	"crypto/tls"
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	remitv1 "remit.dev/go/remit/v1"
)

const maxMetadata = 24 * 1024

var errClosed = errors.New("remit: this gateway is closed: keep it open for as long as its tasks run")

// channel is the one way to the gateway: always TLS, and following its certificates, so that short-lived ones may rotate.
type channel struct {
	target string
	proof  *proof

	mu      sync.Mutex
	closed  bool
	stamp   string
	current *connection
}

// connection is one of the channel's. One whose certificates were replaced is closed when nobody uses it any more.
type connection struct {
	grpc      *grpc.ClientConn
	stub      remitv1.CredentialServiceClient
	users     int
	isRetired bool
}

// openChannel reads the certificates and makes the channel, which connects at the first call.
func openChannel(target string, p *proof) (*channel, error) {
	c := &channel{target: target, proof: p}
	stamp, err := p.stamp()
	if err != nil {
		return nil, err
	}
	if err := c.open(stamp); err != nil {
		return nil, err
	}
	return c, nil
}

// borrow returns the connection to call on now, to be given back.
func (c *channel) borrow() (*connection, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed
	}
	// While files cannot be read or do not belong together, as in the midst of a rotation, what was before them holds.
	if stamp, err := c.proof.stamp(); err == nil && stamp != c.stamp {
		_ = c.open(stamp)
	}
	c.current.users++
	return c.current, nil
}

func (c *channel) giveBack(used *connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	used.users--
	used.closeWhenUnused()
}

// close ends the connection; calls that are running fail.
func (c *channel) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	return c.current.grpc.Close()
}

func (c *channel) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// open makes another connection the current one.
func (c *channel) open(stamp string) error {
	config, err := c.proof.config()
	if err != nil {
		return err
	}
	made, err := grpc.NewClient(c.target, dialOptions(config)...)
	if err != nil {
		return err
	}
	if old := c.current; old != nil {
		old.isRetired = true
		old.closeWhenUnused()
	}
	c.current, c.stamp = &connection{grpc: made, stub: remitv1.NewCredentialServiceClient(made)}, stamp
	return nil
}

func (c *connection) closeWhenUnused() {
	if c.isRetired && c.users == 0 {
		_ = c.grpc.Close()
	}
}

func dialOptions(config *tls.Config) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithUserAgent("remit-go/" + Version),
		grpc.WithMaxHeaderListSize(maxMetadata),
		// NOTE: how calls are repeated is decided in calls.go, not by whoever answers for the gateway's name in DNS.
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		// A gateway, or a way to it, that is gone without a word is noticed while a task is watched. Not oftener: gateways take more
		// than one ping in 20 seconds for an attack.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 25 * time.Second, Timeout: 10 * time.Second}),
	}
}
