package remit

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// Remedy is what a refused agent can do about it: the proto's Remedy, and two words that this client adds.
type Remedy string

// The remedies.
const (
	RemedyNarrow         Remedy = "NARROW"
	RemedyAskApproval    Remedy = "ASK_APPROVAL"
	RemedyReauthenticate Remedy = "REAUTHENTICATE"
	RemedySplit          Remedy = "SPLIT"
	RemedyRetryLater     Remedy = "RETRY_LATER"
	RemedyGiveUp         Remedy = "GIVE_UP"
	// RemedyCorrect: the request itself is malformed. Every InvalidRequest says so.
	RemedyCorrect Remedy = "CORRECT"
	// RemedyUnknown: none was said, or one that this version of the client does not know.
	RemedyUnknown Remedy = "UNKNOWN"
)

var advice = map[Remedy]string{
	RemedyNarrow:         "ask for less, or set Narrow to get what may be had",
	RemedyAskApproval:    "a person has to approve this",
	RemedyReauthenticate: "the user has to sign in again; SubjectToken may be a TokenFunc that returns a fresh token",
	RemedySplit:          "ask in several requests",
	RemedyRetryLater:     "nothing is wrong with the request: try again later",
	RemedyGiveUp:         "asking again in the same way will not help",
	RemedyCorrect:        "correct the request and send it again",
}

const mostShown = 5

// Error is every failure that the gateway tells, or that this client tells in its place. None holds a token, a key or a message.
type Error interface {
	error
	slog.LogValuer
	// Details returns what every failure has.
	Details() *Failure
}

// Failure is what every [Error] has: a stable reason, a sentence, and what to do about it.
type Failure struct {
	// Reason is the gateway's (CEILING_EXCEEDED), or the gRPC status's name when the gateway gave none.
	Reason  string
	Message string
	Remedy  Remedy
	// RequestID is the failed request's, by which the gateway's audit trail knows it; empty where there is none.
	RequestID string
}

// Details returns the failure itself.
func (f *Failure) Details() *Failure { return f }

// LogValue logs reason, message, remedy and request id.
func (f *Failure) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("reason", f.Reason), slog.String("message", f.Message),
		slog.String("remedy", string(f.Remedy)), slog.String("request_id", f.RequestID),
	)
}

// told returns the sentence with its help below.
func (f *Failure) told(advice string, lines ...string) string {
	text := []string{f.Reason + ": " + f.Message}
	if advice != "" {
		lines = append(lines, "what to do: "+advice)
	}
	if f.RequestID != "" {
		lines = append(lines, "request id: "+f.RequestID)
	}
	for _, line := range lines {
		text = append(text, "  "+line)
	}
	return strings.Join(text, "\n")
}

// FieldViolation names a field by its path and the rule it broke; never its value.
type FieldViolation struct {
	Path string
	Rule string
}

func (v FieldViolation) String() string {
	if v.Path == "" {
		return v.Rule
	}
	return v.Path + ": " + v.Rule
}

// FailedPermission is one permission that was stopped: a concrete action on a concrete resource, and the rule that stopped it.
type FailedPermission struct {
	Action   string
	Resource string
	Rule     string
	Message  string
}

func (p FailedPermission) String() string {
	text := "by " + p.Rule
	// The gateway's sentence mostly names action and resource itself; where no request was found there are none.
	if !strings.Contains(p.Message, p.Action) || !strings.Contains(p.Message, p.Resource) {
		text = p.Action + " on " + p.Resource + " " + text
	}
	if p.Message != "" {
		text += ": " + p.Message
	}
	return text
}

// InvalidRequest says that the request breaks a rule of the API; nothing was decided.
type InvalidRequest struct {
	Failure
	// Violations name field and rule.
	Violations []FieldViolation
}

func (e *InvalidRequest) Error() string {
	var wrong []string
	for _, violation := range e.Violations {
		// The sentence tells the first one whole, where there was no room for the whole of its rule.
		if !strings.HasPrefix(e.Message, violation.String()) {
			wrong = append(wrong, "wrong: "+violation.String())
		}
	}
	return e.told(advice[e.Remedy], wrong...)
}

// invalidField returns the error for a mistake that was seen before anything was sent.
func invalidField(path, rule string) *InvalidRequest {
	violation := FieldViolation{path, rule}
	failure := Failure{Reason: "INVALID_REQUEST", Message: violation.String(), Remedy: RemedyCorrect}
	return &InvalidRequest{failure, []FieldViolation{violation}}
}

// Refused says that the answer is no, by a decision on record.
type Refused struct {
	Failure
	// Failures say which permission was stopped by which rule.
	Failures []FailedPermission
	// Offer is the largest part that would have been granted: ask for it as Allow. Empty when narrowing does not help.
	Offer Permissions
	// Split proposes requests that fit one after the other.
	Split []Permissions
}

func (e *Refused) Error() string {
	untold := slices.DeleteFunc(slices.Clone(e.Failures), func(failure FailedPermission) bool {
		return failure.Message != "" && strings.Contains(e.Message, failure.Message)
	})
	var stopped []string
	for _, failure := range untold[:min(len(untold), mostShown)] {
		stopped = append(stopped, "stopped: "+failure.String())
	}
	if more := len(untold) - mostShown; more > 0 {
		stopped = append(stopped, fmt.Sprintf("stopped: %d more, see Failures", more))
	}
	return e.told(e.advice(), stopped...)
}

func (e *Refused) advice() string {
	switch {
	case e.Reason == "DELEGATION_TOO_DEEP":
		return "attenuate the task itself, or have the work handed on by a task nearer to the user"
	case len(e.Offer) > 0:
		return "ask with Allow: refused.Offer, which is " + e.Offer.String()
	case len(e.Split) > 0:
		return fmt.Sprintf("ask in %d requests, one with each part of refused.Split", len(e.Split))
	case e.Reason == "POLICY_DENIED" && e.Remedy == RemedyGiveUp:
		return advice[RemedyGiveUp] + ": ask the security team for an entitlement; the request id leads them to the decision"
	default:
		return advice[e.Remedy]
	}
}

// ApprovalPending says that people have to approve this first; no credentials were given yet. Come back with the same request and
// its RequestID, or set WaitForApproval.
type ApprovalPending struct {
	Failure
	// Approval is the name that people decide about, Digest what they are shown.
	Approval string
	TaskID   string
	Digest   string
	// Groups may say yes, MinApprovers of their members; with BySubject the user confirms in person.
	Groups       []string
	MinApprovers int
	BySubject    bool
	// Nobody decides after LapseTime; zero when the gateway did not say.
	LapseTime time.Time
}

func (e *ApprovalPending) Error() string {
	var who []string
	if len(e.Groups) > 0 {
		who = append(who, fmt.Sprintf("%d of %s", e.MinApprovers, strings.Join(e.Groups, " or ")))
	}
	if e.BySubject {
		who = append(who, "the user in person")
	}
	return e.told(fmt.Sprintf(
		"%s must approve %s; then ask again with RequestID: %q", strings.Join(who, " and "), e.Approval, e.RequestID,
	))
}

// Unauthenticated says that the user's token or the agent's own identity was not accepted.
type Unauthenticated struct{ Failure }

func (e *Unauthenticated) Error() string {
	if e.Reason == "ACTOR_REJECTED" {
		return e.told("check this agent's certificate and key files, or its bearer token, and that the gateway's port is the " +
			"one for it: certificates have one port, bearer tokens another")
	}
	if e.Reason == "SUBJECT_TOKEN_REJECTED" && e.Remedy == RemedyGiveUp {
		return e.told(advice[RemedyGiveUp] + ": what the sentence names has to change first, such as the token's audience")
	}
	if known := advice[e.Remedy]; known != "" {
		return e.told(known)
	}
	return e.told(advice[RemedyReauthenticate])
}

// NotFound says that what was named is not there, or is not this caller's to see.
type NotFound struct{ Failure }

func (e *NotFound) Error() string { return e.told("") }

// TaskOver says that the task, or the time it asked for, is over: it gives no credentials any more, another one may.
type TaskOver struct {
	Failure
	// Cause says why the gateway revoked or ended it (LEASE_LOST, SECURITY_EVENT); empty where it did not.
	Cause string
}

// Causes of a revoke that were somebody's decision.
var somebodysWord = []string{"REQUESTED", "SECURITY_EVENT", "REVIEW"}

func (e *TaskOver) Error() string {
	if slices.Contains(somebodysWord, e.Cause) {
		return e.told("find out from the security team why it was revoked: while a user or an agent is blocked, none starts")
	}
	return e.told("start another task")
}

// Unavailable says that nothing was granted because something is not there or misbehaves; asking again may help.
type Unavailable struct {
	Failure
	// RetryAfter is how long the gateway asks to wait; nil when it did not say.
	RetryAfter *time.Duration
}

func (e *Unavailable) Error() string {
	if e.Reason == nobodyThere {
		return e.told("check that the gateway runs at this address, that the CA file vouches for it, that this agent's own " +
			"certificate is not over, and that the port is the one for how this agent says who it is: gateways " +
			"listen for certificates at one port, for bearer tokens at another")
	}
	if e.RetryAfter != nil {
		return e.told(fmt.Sprintf("nothing is wrong with the request: try again in %.3g s", e.RetryAfter.Seconds()))
	}
	return e.told(advice[RemedyRetryLater])
}

// RateLimited says that this agent is over its budget, or the gateway is full: ask again later, and less often. It is an
// [Unavailable] to [errors.As] too.
type RateLimited struct{ Unavailable }

// As lets it be taken for an Unavailable.
func (e *RateLimited) As(target any) bool {
	if found, ok := target.(**Unavailable); ok {
		*found = &e.Unavailable
		return true
	}
	return false
}

// GatewayFailure says that the gateway failed in a way it cannot explain, or answered what this client does not understand.
type GatewayFailure struct{ Failure }

func (e *GatewayFailure) Error() string { return e.told(advice[e.Remedy]) }

// NoWorkloadIdentity says that the platform gave this workload no token or certificate (package workload).
//
// Reason is WORKLOAD_TOKEN_UNAVAILABLE, WORKLOAD_TOKEN_EXPIRED (it cannot be renewed by whoever reads it) or
// WORKLOAD_CERTIFICATE_UNAVAILABLE.
type NoWorkloadIdentity struct {
	Failure
	// Advice says what to set, and where.
	Advice string
}

func (e *NoWorkloadIdentity) Error() string { return e.told(e.Advice) }

// notUnderstood returns the error for an answer that breaks the API.
func notUnderstood(what, requestID string) *GatewayFailure {
	return &GatewayFailure{Failure{
		Reason:    "ANSWER_NOT_UNDERSTOOD",
		Message:   "the gateway answered with " + what + ": is this client older or newer than it?",
		Remedy:    RemedyUnknown,
		RequestID: requestID,
	}}
}
