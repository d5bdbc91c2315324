package remit

import (
	"context"
	"errors"
	"slices"
	"time"
)

const (
	firstPause      = 200 * time.Millisecond // doubled with each failure in a row, and shortened by up to a half at random
	longestPause    = 10 * time.Second
	comeBackWithin  = 2 * time.Second // when a gateway says so, which it does to all of its watchers at once
	saidToComeBack  = "STREAM_ENDED"
	notKnownThere   = "UNIMPLEMENTED"
	toldAfter       = 4 // failures in a row
	mostDoublings   = 16
	leaseShareToTry = 4
)

// watch keeps a task's lease at the gateway, and drops its keys when it is revoked or ended. Its stream is opened again after every
// break for as long as the task lasts.
type watch struct {
	calls    *calls
	keyring  *keyring
	lease    time.Duration
	failures int // in a row
}

// run watches until there is nothing to watch any more, or ctx is done.
func (w *watch) run(ctx context.Context) {
	for ctx.Err() == nil && !w.keyring.isOver() {
		err := w.calls.watch(ctx, w.keyring.task, w.lease, w.isOverAfter)
		if ctx.Err() != nil || w.keyring.isOver() || (err != nil && w.isUselessAfter(err)) {
			return
		}
		_ = sleep(ctx, w.pause(err))
	}
}

// isOverAfter drops the keys when they are revoked or the task has ended, and says whether there is nothing to watch any more.
func (w *watch) isOverAfter(event taskEvent) bool {
	w.failures = 0
	why := ""
	switch {
	case event.kind == eventEnded:
		why = "the gateway ended it"
	case event.kind == eventRevoked && (len(event.grants) == 0 || slices.Contains(event.grants, w.keyring.latest().Name)):
		why = "it was revoked"
	default:
		return w.keyring.isOver()
	}
	if event.cause != "" {
		why += " (" + event.cause + ")"
	}
	if !w.keyring.isOver() {
		w.keyring.close(why, event.cause)
		w.calls.log.Warn("remit: the task is over: its credentials were dropped", "task", w.keyring.task, "cause", event.cause)
	}
	return true
}

// isUselessAfter says whether it is no use to come back after this failure; tells of many in a row.
func (w *watch) isUselessAfter(err error) bool {
	if w.calls.channel.isClosed() || w.isOverBy(err) {
		return true
	}
	why := reasonOf(err)
	if why == saidToComeBack {
		w.failures = 0
		return false
	}
	if w.failures++; w.failures == toldAfter {
		w.calls.log.Warn("remit: the task cannot be watched; it ends when that goes on for as long as its lease",
			"task", w.keyring.task, "why", why, "lease", w.lease)
	}
	return false
}

// isOverBy says whether there is no such task, or a gateway that knows no streams.
func (w *watch) isOverBy(err error) bool {
	if reasonOf(err) == notKnownThere {
		w.calls.log.Warn("remit: the gateway cannot be asked to watch the task: it has no lease", "task", w.keyring.task)
		return true
	}
	var notFound *NotFound
	if !errors.As(err, &notFound) {
		return false
	}
	w.keyring.close("the gateway says that there is no such task", "")
	return true
}

// pause returns the time until the stream is opened again.
func (w *watch) pause(err error) time.Duration {
	if w.failures == 0 {
		return time.Duration(between(float64(firstPause/2), float64(comeBackWithin)))
	}
	longest := longestPause
	if w.lease > 0 {
		longest = min(longest, w.lease/leaseShareToTry)
	}
	pause := min(firstPause<<min(w.failures, mostDoublings), longest)
	if asked := retryAfter(err); asked > 0 {
		pause = max(pause, min(asked, longest))
	}
	return time.Duration(float64(pause) * between(0.5, 1))
}
