package remit

import (
	"errors"
	mathrand "math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
)

const (
	mostAttempts = 5
	// A gateway that answers has tried before it says that it cannot: most of all at STS, up to four times for each call.
	mostAttemptsWhenTold = 3
	mostAttemptsAtSTS    = 2 // unless the gateway says when to come back
	firstDelay           = 100 * time.Millisecond
)

// attempts counts the attempts of one call and keeps its deadline.
type attempts struct {
	deadline time.Time
	failed   map[string]int
	total    int
	last     Error
}

// after counts a failed attempt and returns how long to wait until the next; the failure to tell when there is to be none.
func (a *attempts) after(code codes.Code, failure Error) (time.Duration, Error) {
	if a.last != nil && saysLess(code, failure) {
		return 0, a.last
	}
	a.last = failure
	if !mayHelp(code, failure) {
		return 0, failure
	}
	reason := failure.Details().Reason
	a.total++
	a.failed[reason]++
	delay := time.Duration(float64(firstDelay<<(a.total-1)) * between(0.5, 1))
	if asked := retryAfter(failure); asked > 0 {
		delay = time.Duration(float64(asked) * between(1, 1.25))
	}
	isUsedUp := a.total >= mostAttempts || a.failed[reason] >= mostAttemptsFor(failure)
	if isUsedUp || delay >= time.Until(a.deadline) {
		return 0, failure
	}
	return delay, nil
}

// mayHelp says whether to ask again: nobody was there, or the gateway was full and says when to come back.
func mayHelp(code codes.Code, failure Error) bool {
	if code == codes.Unavailable {
		return true
	}
	found, ok := asUnavailable(failure)
	return ok && failure.Details().Reason == "OVERLOADED" && found.RetryAfter != nil
}

// mostAttemptsFor returns how many attempts may fail in this way before it is told.
func mostAttemptsFor(failure Error) int {
	switch failure.Details().Reason {
	case nobodyThere:
		return mostAttempts
	case "STS_UNAVAILABLE":
		if found, ok := asUnavailable(failure); ok && found.RetryAfter != nil {
			return mostAttempts
		}
		return mostAttemptsAtSTS
	default:
		return mostAttemptsWhenTold
	}
}

// saysLess says whether a repeat's failure only follows from the one before it, which then is the one to tell: the time ran out
// meanwhile; or an outage at STS has withheld the request's grant, so that only a request with another id can get one.
func saysLess(code codes.Code, failure Error) bool {
	_, isOver := failure.(*TaskOver)
	return isOver || code == codes.DeadlineExceeded
}

func asUnavailable(err error) (*Unavailable, bool) {
	var found *Unavailable
	ok := errors.As(err, &found)
	return found, ok
}

// between returns a random number of the range.
func between(low, high float64) float64 { return low + (high-low)*mathrand.Float64() }
