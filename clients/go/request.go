package remit

import (
	"errors"
	"maps"
	"time"
)

const (
	// DefaultLease is how long a task goes on once nobody is there any more, unless the request says otherwise.
	DefaultLease = 60 * time.Second
	// NoLease, as a request's Lease, leaves it to the task's own end to end it.
	NoLease time.Duration = -1

	shortestLease = 30 * time.Second
	longestLease  = 24 * time.Hour
)

// TaskRequest says what a task needs. Purpose, SubjectToken and Allow are required.
type TaskRequest struct {
	// Purpose says what it is about, for people.
	Purpose string
	// SubjectToken gives the OIDC token of the user whom the agent works for: [Token], or a [TokenFunc] that is asked at every request.
	SubjectToken TokenSource
	// Allow is what is needed: a Permission, a Capability, the Offer of a refusal, or AllOf several.
	Allow Allowance
	// Duration asks for credentials of that life, which then end. Without it they are renewed while the task lasts.
	Duration time.Duration
	// Narrow takes the largest part that may be had instead of a refusal.
	Narrow bool
	// Labels are for policies to read.
	Labels map[string]string
	// TaskID asks for more within a task that is already running; whoever started it ends it. One that another agent handed on to
	// this one ([Task.Delegate]) begins with the first task of this gateway in it, and ends with that.
	TaskID string
	// Lease is how long the task goes on once nobody is there any more: when this process is killed or cut off, the gateway ends
	// the task and revokes its credentials. 30 seconds to a day; 0 is DefaultLease.
	Lease time.Duration
	// WaitForApproval is how long people who have to approve are waited for; 0 returns ApprovalPending at once. The gateway is asked
	// every few seconds: give SubjectToken as a TokenFunc if that may outlive one token.
	WaitForApproval time.Duration
	// RequestID, that of an ApprovalPending, collects with otherwise the same request what was approved meanwhile.
	RequestID string
}

// AttenuateRequest says what one call of a tool needs, out of what the task holds.
type AttenuateRequest struct {
	// Purpose says what the call is about, for people; the task's own when empty.
	Purpose string
	// Allow is what the call needs; it must lie within what the task's credentials may do.
	Allow Allowance
	// Duration is how long the credentials should work: 15 seconds or more, a minute when 0. The task's own credentials bound it.
	Duration time.Duration
	// Narrow takes the largest part that the task holds instead of a refusal.
	Narrow bool
}

// DelegateRequest says which agent is to work under a task, and on what.
type DelegateRequest struct {
	// Actor is the agent: a SPIFFE ID or <alias>:<id>, as the gateway names agents.
	Actor string
	// Purpose says what it is about, for people.
	Purpose string
	// Duration is how long the task may last; until the end of the one above when 0 or longer.
	Duration time.Duration
}

// wish is a request that was checked: its lease is 0 for none.
type wish struct {
	TaskRequest
	needs
}

// checked returns the wish that a request is, or what is wrong with it.
func (r TaskRequest) checked() (*wish, error) {
	w := &wish{TaskRequest: r}
	w.Labels = maps.Clone(r.Labels)
	if r.Allow != nil {
		r.Allow.addTo(&w.needs)
	}
	if r.Duration < 0 || r.WaitForApproval < 0 {
		return nil, errors.New("remit: Duration and WaitForApproval must not be negative")
	}
	switch {
	case r.Lease == NoLease:
		w.Lease = 0
	case r.Lease == 0:
		w.Lease = DefaultLease
	case r.Lease < shortestLease || r.Lease > longestLease || r.Lease%time.Second != 0:
		return nil, errors.New("remit: Lease must be whole seconds between 30 seconds and a day, or NoLease for none")
	}
	return w, nil
}
