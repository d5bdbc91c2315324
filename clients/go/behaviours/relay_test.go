package behaviours

import (
	"io"
	"net"
	"sync"
	"testing"
)

// relay passes bytes on to a gateway until it is cut: then nobody answers at its address any more.
//
// It exists because the gateway of the other tests cannot be stopped for one of them.
type relay struct {
	address  string
	listener net.Listener
	mu       sync.Mutex
	open     []net.Conn
	running  sync.WaitGroup
}

func relayTo(t *testing.T, target string) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	succeeded(t, err)
	r := &relay{address: listener.Addr().String(), listener: listener}
	r.running.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			r.passOn(near, target)
		}
	})
	t.Cleanup(r.cut)
	return r
}

func (r *relay) passOn(near net.Conn, target string) {
	far, err := net.Dial("tcp", target)
	if err != nil {
		_ = near.Close()
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open = append(r.open, near, far)
	for _, ends := range [][2]net.Conn{{near, far}, {far, near}} {
		r.running.Go(func() {
			_, _ = io.Copy(ends[0], ends[1])
			_ = ends[0].Close()
		})
	}
}

func (r *relay) cut() {
	_ = r.listener.Close()
	r.mu.Lock()
	for _, end := range r.open {
		_ = end.Close()
	}
	r.mu.Unlock()
	r.running.Wait()
}
