package remit

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	remitv1 "remit.dev/go/remit/v1"
)

const (
	domain      = "remit.dev"
	nobodyThere = "UNAVAILABLE"
	notLive     = "GRANT_NOT_LIVE"
)

// What gRPC and TLS say when the other side ends a connection that was being made.
var hungUp = []string{"EOF", "connection reset", "broken pipe", "remote error: tls"}

// What the gateway takes as a request's id.
var requestIDs = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

// failureOf returns the error for a call that failed; it holds what the gateway said, and the request's id.
//
// Of the request it holds nothing else, and no id that is none: a token may have been given in its place.
func failureOf(failed *status.Status, target, requestID string) Error {
	if !requestIDs.MatchString(requestID) {
		requestID = ""
	}
	info := infoOf(failed)
	refusal := detail(failed, &remitv1.Refusal{})
	failure := Failure{
		Reason:    info.GetReason(),
		Message:   sentence(failed, info, target),
		Remedy:    remedyOf(refusal.GetRemedy()),
		RequestID: requestID,
	}
	if failure.Reason == "" {
		failure.Reason = code.Code(failed.Code()).String()
	}
	if failure.Remedy == RemedyUnknown {
		failure.Remedy = remedyNamed(info.GetMetadata()["remedy"])
	}
	if info.GetReason() == notLive {
		return taskOver(failure, "")
	}
	return ofCode(failed, failure, refusal)
}

// ofCode returns the kind of error that a gRPC code stands for.
func ofCode(failed *status.Status, failure Failure, refusal *remitv1.Refusal) Error {
	switch failed.Code() {
	case codes.InvalidArgument:
		return invalidRequest(failed, failure)
	case codes.Unauthenticated:
		return &Unauthenticated{failure}
	case codes.PermissionDenied, codes.FailedPrecondition:
		return refusedWith(failure, refusal)
	case codes.NotFound:
		return &NotFound{failure}
	case codes.ResourceExhausted:
		return &RateLimited{*unavailable(failed, failure)}
	case codes.Unavailable, codes.DeadlineExceeded:
		return unavailable(failed, failure)
	default:
		return &GatewayFailure{failure}
	}
}

func invalidRequest(failed *status.Status, failure Failure) *InvalidRequest {
	// The API has no word for it: gateways say GIVE_UP, which is true of this very request only.
	failure.Remedy = RemedyCorrect
	invalid := &InvalidRequest{Failure: failure}
	for _, item := range detail(failed, &errdetails.BadRequest{}).GetFieldViolations() {
		invalid.Violations = append(invalid.Violations, FieldViolation{item.GetField(), item.GetDescription()})
	}
	return invalid
}

func unavailable(failed *status.Status, failure Failure) *Unavailable {
	if failure.Remedy == RemedyUnknown {
		failure.Remedy = RemedyRetryLater
	}
	found := &Unavailable{Failure: failure}
	if delay := detail(failed, &errdetails.RetryInfo{}).GetRetryDelay(); delay.IsValid() {
		after := max(delay.AsDuration(), 0)
		found.RetryAfter = &after
	}
	return found
}

// taskOver returns the error for a task that is over; no way of asking brings it back.
func taskOver(failure Failure, cause string) *TaskOver {
	if failure.Remedy == RemedyUnknown || failure.Remedy == "" {
		failure.Remedy = RemedyGiveUp
	}
	return &TaskOver{failure, cause}
}

// sentence returns the gateway's own; where it could not say one, what happened on the way to it.
func sentence(failed *status.Status, info *errdetails.ErrorInfo, target string) string {
	said := failed.Message()
	switch {
	case info.GetReason() != "":
		if said == "" {
			return "the gateway gave no reason"
		}
		return said
	case failed.Code() == codes.DeadlineExceeded:
		return fmt.Sprintf("the gateway at %s did not answer in time", target)
	case failed.Code() == codes.Unavailable:
		return fmt.Sprintf("the gateway at %s cannot be reached: %s", target, connectionCause(said))
	case said == "":
		return fmt.Sprintf("the gateway at %s gave no reason", target)
	default:
		return said
	}
}

// connectionCause returns gRPC's words for a connection that failed; with what they mean when the other side just hung up.
func connectionCause(said string) string {
	if said == "" {
		return "no cause was given"
	}
	if slices.ContainsFunc(hungUp, func(words string) bool { return strings.Contains(said, words) }) {
		return said + " (the other side hung up: its port may want a client certificate, or one of another authority, " +
			"or may not speak TLS)"
	}
	return said
}

// infoOf returns the gateway's ErrorInfo; an empty one when there is none, or only some proxy's.
func infoOf(failed *status.Status) *errdetails.ErrorInfo {
	info := detail(failed, &errdetails.ErrorInfo{})
	if info.GetDomain() != domain {
		return &errdetails.ErrorInfo{}
	}
	return info
}

// detail returns the first detail of this kind; the empty one when there is none that can be read.
func detail[M proto.Message](failed *status.Status, empty M) M {
	for _, packed := range failed.Proto().GetDetails() {
		if packed.MessageIs(empty) {
			if err := packed.UnmarshalTo(empty); err != nil {
				proto.Reset(empty)
			}
			break
		}
	}
	return empty
}

// remedyNamed returns the remedy of this name; unknown for any other.
func remedyNamed(name string) Remedy {
	if _, known := advice[Remedy(name)]; known && Remedy(name) != RemedyCorrect {
		return Remedy(name)
	}
	return RemedyUnknown
}

// retryAfter returns how long the gateway asks to wait; 0 when it does not say.
func retryAfter(err error) time.Duration {
	if found, ok := asUnavailable(err); ok && found.RetryAfter != nil {
		return *found.RetryAfter
	}
	return 0
}
