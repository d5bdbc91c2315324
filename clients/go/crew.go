package remit

import "sync"

// crew runs work in the background, and waits for it before it goes. One within another is waited for by both.
type crew struct {
	within  *crew
	mu      sync.Mutex
	gone    bool
	working sync.WaitGroup
}

// run begins the work; false once the crew is gone.
func (c *crew) run(work func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return false
	}
	c.working.Add(1)
	counted := func() {
		defer c.working.Done()
		work()
	}
	if c.within == nil {
		go counted()
		return true
	}
	if c.within.run(counted) {
		return true
	}
	c.working.Done()
	return false
}

// dismiss begins nothing any more and returns when all is done.
func (c *crew) dismiss() {
	c.mu.Lock()
	c.gone = true
	c.mu.Unlock()
	c.working.Wait()
}
