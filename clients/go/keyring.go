package remit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	// Credentials are renewed so long before their end: at best, at the latest; or a third and a sixth of a shorter life.
	advisoryWindow  = 120 * time.Second
	mandatoryWindow = 60 * time.Second
)

// keyring holds the current credentials of a task, renews them in time, and forgets them when the task is over.
//
// While credentials work, a renewal that fails is logged and tried again later; it is told once they have ended.
type keyring struct {
	task string
	// renew asks for the next; nil where a certain time was asked for: such credentials end, they are not renewed.
	renew func(context.Context, Grant) (*issued, error)
	log   *slog.Logger
	now   func() time.Time
	// life is done once the task is over; its cause is what is told then.
	life context.Context
	die  context.CancelCauseFunc
	// background is done with life, or when nothing can be asked any more; crew works in it.
	background context.Context
	crew       *crew

	mu                  sync.Mutex
	over                *TaskOver
	grant               Grant
	current             Credentials
	advisory, mandatory time.Duration
	renewTime           time.Time
	renewal             *renewal
}

// renewal is one that is running: all who wait for it are told the same.
type renewal struct {
	done        chan struct{}
	credentials Credentials
	err         error
}

func newKeyring(ctx context.Context, first *issued, log *slog.Logger) *keyring {
	k := &keyring{task: first.grant.TaskID, log: log, now: time.Now}
	k.life, k.die = context.WithCancelCause(ctx)
	k.background, k.crew = k.life, &crew{}
	k.take(first)
	return k
}

// credentials returns credentials that work now, renewed when it is time.
func (k *keyring) credentials(ctx context.Context) (Credentials, error) {
	k.mu.Lock()
	current, waited, err := k.usable()
	k.mu.Unlock()
	if waited == nil || err != nil {
		return current, err
	}
	select {
	case <-waited.done:
		return waited.credentials, waited.err
	case <-ctx.Done():
		return Credentials{}, givenUp(ctx)
	}
}

// usable returns the credentials while they need no renewal; else the renewal to wait for, begun if there is none. While one is
// running and the credentials are not at their very end, others go on with them.
func (k *keyring) usable() (Credentials, *renewal, error) {
	if k.over != nil {
		return Credentials{}, nil, k.over
	}
	now := k.now()
	switch {
	case k.renew == nil && !now.Before(k.current.ExpireTime):
		k.forget("its time is over: for longer work ask for a longer duration, or leave Duration out", "")
		return Credentials{}, nil, k.over
	case k.renew == nil || now.Before(k.renewTime):
		return k.current, nil, nil
	case k.renewal == nil:
		return Credentials{}, k.begin(), nil
	case now.Before(k.current.ExpireTime.Add(-k.mandatory)):
		return k.current, nil, nil
	}
	return Credentials{}, k.renewal, nil
}

// begin renews in the background: whoever asked may leave without harm to the others.
func (k *keyring) begin() *renewal {
	running, grant := &renewal{done: make(chan struct{})}, k.grant
	k.renewal = running
	isBegun := k.crew.run(func() {
		found, err := k.renew(k.background, grant)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.ended(running, found, err)
	})
	if !isBegun {
		k.ended(running, nil, errClosed)
	}
	return running
}

// ended tells those who wait for a renewal what it came to.
func (k *keyring) ended(running *renewal, found *issued, err error) {
	k.renewal = nil
	running.credentials, running.err = k.renewed(found, err)
	close(running.done)
}

// renewed takes what a renewal came to, and returns what is told to those who waited for it.
func (k *keyring) renewed(found *issued, err error) (Credentials, error) {
	if k.over != nil {
		return Credentials{}, k.over
	}
	if err != nil {
		return k.kept(err)
	}
	k.take(found)
	if !k.now().Before(found.credentials.ExpireTime) {
		return Credentials{}, &Unavailable{Failure: Failure{
			Reason:  "CLOCK_AHEAD",
			Message: "the credentials had ended when they came: the clock of this machine is ahead of the gateway's",
			Remedy:  RemedyRetryLater,
		}}
	}
	return found.credentials, nil
}

// kept returns the current credentials after a renewal that failed, and puts off the next; the failure when they have ended.
func (k *keyring) kept(failure error) (Credentials, error) {
	var over *TaskOver
	var notFound *NotFound
	if errors.As(failure, &over) || errors.As(failure, &notFound) {
		k.forget("the gateway says that it is over", "")
		return Credentials{}, failure
	}
	now := k.now()
	if !now.Before(k.current.ExpireTime) {
		return Credentials{}, failure
	}
	k.renewTime = now.Add(max(retryAfter(failure), k.mandatory/4))
	k.log.Warn("remit: the credentials were not renewed; they work until their end",
		"task", k.task, "why", reasonOf(failure), "until", k.current.ExpireTime)
	return k.current, nil
}

// take makes this the current grant.
func (k *keyring) take(found *issued) {
	issueTime := found.issueTime
	if issueTime.IsZero() {
		issueTime = k.now()
	}
	lifetime := max(found.credentials.ExpireTime.Sub(issueTime), 0)
	k.current, k.grant = found.credentials, found.grant
	k.advisory, k.mandatory = min(advisoryWindow, lifetime/3), min(mandatoryWindow, lifetime/6)
	k.renewTime = found.credentials.ExpireTime.Add(-k.advisory)
}

// close forgets the keys: from here on there are only TaskOver errors, which say why.
func (k *keyring) close(why, cause string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forget(why, cause)
}

func (k *keyring) forget(why, cause string) {
	if k.over != nil {
		return
	}
	k.current = Credentials{ExpireTime: k.current.ExpireTime, Region: k.current.Region}
	message := fmt.Sprintf("task %s gives no credentials any more: %s", k.task, why)
	k.over = taskOver(Failure{Reason: notLive, Message: message}, cause)
	k.die(k.over)
}

func (k *keyring) isOver() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.over != nil
}

// latest returns the latest grant.
func (k *keyring) latest() Grant {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.grant
}

// region returns the gateway's, which every set of credentials says.
func (k *keyring) region() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.current.Region
}

// reasonOf returns what may be logged of a failure.
func reasonOf(failure error) string {
	var told Error
	if errors.As(failure, &told) {
		return told.Details().Reason
	}
	// NOTE: the text of an error that is not ours may hold anything, a token too; its type may not.
	return fmt.Sprintf("%T", failure)
}
