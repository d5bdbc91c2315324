package remit

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	remitv1 "remit.dev/go/remit/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestACallIsRepeatedUnderTheSameRequestIDWhileNobodyIsThere(t *testing.T) {
	s := scriptedGateway(t)
	away := status.Error(codes.Unavailable, "nobody is there")
	s.fail(away, away, failed(codes.ResourceExhausted, "OVERLOADED", comeBackIn(time.Millisecond)))

	task, err := s.bearer(t).StartTask(t.Context(), reading())

	must(t, err)
	task.Forget()
	equal(t, "calls", len(s.requestIDs), 4)
	for i, id := range s.requestIDs {
		equal(t, "request id", id, s.requestIDs[0])
		equal(t, "authorization", s.authorizations[i], "Bearer the-agents")
	}
}

func TestHowOftenACallIsRepeatedDependsOnWhatItIsTold(t *testing.T) {
	away := status.Error(codes.Unavailable, "nobody is there")
	for name, row := range map[string]struct {
		failure error
		calls   int
	}{
		"nobody there":                    {away, 5},
		"an outage that the gateway told": {failed(codes.Unavailable, "POLICY_UNAVAILABLE"), 3},
		"STS, which it asked repeatedly":  {failed(codes.Unavailable, "STS_UNAVAILABLE"), 2},
		"STS, to be asked again soon":     {failed(codes.Unavailable, "STS_UNAVAILABLE", comeBackIn(time.Millisecond)), 5},
		"full, without saying till when":  {failed(codes.ResourceExhausted, "OVERLOADED"), 1},
		"over its budget":                 {failed(codes.ResourceExhausted, "RATE_LIMITED", comeBackIn(time.Millisecond)), 1},
		"a refusal":                       {failed(codes.PermissionDenied, "POLICY_DENIED"), 1},
		"no time left to come back":       {failed(codes.Unavailable, "STS_UNAVAILABLE", comeBackIn(time.Hour)), 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := scriptedGateway(t)
			s.fail(row.failure, row.failure, row.failure, row.failure, row.failure, row.failure)

			_, err := s.bearer(t).StartTask(t.Context(), reading())

			var told Error
			equal(t, "is told", errors.As(err, &told), true)
			equal(t, "calls", len(s.requestIDs), row.calls)
		})
	}
}

func TestARepeatThatOnlyFollowsFromTheFailureBeforeIsNotTold(t *testing.T) {
	s := scriptedGateway(t)
	s.fail(failed(codes.Unavailable, "STS_UNAVAILABLE"), failed(codes.FailedPrecondition, "GRANT_NOT_LIVE"))

	_, err := s.bearer(t).StartTask(t.Context(), reading())

	var unavailable *Unavailable
	equal(t, "is told", errors.As(err, &unavailable), true)
	equal(t, "reason", unavailable.Reason, "STS_UNAVAILABLE")
}

func TestARateLimitIsAnUnavailabilityTooAndSaysWhenToComeBack(t *testing.T) {
	s := scriptedGateway(t)
	s.fail(failed(codes.ResourceExhausted, "RATE_LIMITED", comeBackIn(90*time.Second)))

	_, err := s.bearer(t).StartTask(t.Context(), reading())

	var limited *RateLimited
	var unavailable *Unavailable
	equal(t, "limited", errors.As(err, &limited), true)
	equal(t, "unavailable", errors.As(err, &unavailable), true)
	equal(t, "advice", strings.Contains(err.Error(), "nothing is wrong with the request: try again in 90 s"), true)
}

func TestACallerWhoLeavesIsToldTheirOwnReason(t *testing.T) {
	s := scriptedGateway(t)
	s.fail(failed(codes.Unavailable, "STS_UNAVAILABLE", comeBackIn(20*time.Second)))
	ctx, cancel := context.WithCancelCause(t.Context())
	own := errors.New("dinner is ready")
	timer := time.AfterFunc(50*time.Millisecond, func() { cancel(own) })
	defer timer.Stop()

	_, err := s.bearer(t).StartTask(ctx, reading())

	equal(t, "is told", errors.Is(err, own), true)
}

func TestOneSourceForAgentAndUserIsAskedOnceForEachCall(t *testing.T) {
	s := scriptedGateway(t)
	source := &counted{}
	gateway := s.dial(t, WithBearer(source))
	request := reading()
	request.SubjectToken = source

	_, err := gateway.calls.issue(t.Context(), &wish{TaskRequest: request}, newRequestID())

	must(t, err)
	equal(t, "asked", source.asked, 1)
	equal(t, "authorization", s.authorizations[0], "Bearer one-for-both")
}

type counted struct{ asked int }

func (c *counted) Token(context.Context) (string, error) {
	c.asked++
	return "one-for-both", nil
}

func TestATokenThatIsNoneIsToldWithoutRepeatingIt(t *testing.T) {
	s := scriptedGateway(t)
	request := reading()
	request.SubjectToken = Token("two words-canary")

	_, err := s.bearer(t).StartTask(t.Context(), request)

	var invalid *InvalidRequest
	equal(t, "is told", errors.As(err, &invalid), true)
	equal(t, "field", invalid.Violations[0].Path, "subject_token")
	equal(t, "repeats it", strings.Contains(err.Error(), "canary"), false)
	equal(t, "calls", len(s.requestIDs), 0)
}

func TestWhatATokenSourceSaysPassesThrough(t *testing.T) {
	s := scriptedGateway(t)
	own := status.Error(codes.Unavailable, "the agent's own RPC")
	request := reading()
	request.SubjectToken = TokenFunc(func(context.Context) (string, error) { return "", own })

	_, err := s.bearer(t).StartTask(t.Context(), request)

	equal(t, "is told", errors.Is(err, own), true)
}

func TestAGrantThatMayIsRenewedWithoutTheUser(t *testing.T) {
	s := scriptedGateway(t)
	s.offline, s.lifetime = true, 0
	source := &leaving{}
	request := reading()
	request.SubjectToken = source
	task, err := s.bearer(t).StartTask(t.Context(), request)
	must(t, err)
	s.lifetime = time.Hour

	_, err = task.Credentials(t.Context())

	must(t, err)
	task.Forget()
	equal(t, "renewals", len(s.renewals), 1)
	equal(t, "without a token", s.renewals[0].GetSubjectToken(), "")
}

type leaving struct{ isGone bool }

func (l *leaving) Token(context.Context) (string, error) {
	if l.isGone {
		return "", errors.New("signed out")
	}
	l.isGone = true
	return "the-users", nil
}

func TestABlockWhoseTaskCannotBeEndedSaysSoBelowItsOwnError(t *testing.T) {
	s := scriptedGateway(t)
	own := errors.New("the agent's own")

	err := s.bearer(t).WithTask(t.Context(), reading(), func(context.Context, *Task) error {
		s.fail(failed(codes.PermissionDenied, "NOT_AUTHORIZED"))
		return own
	})

	equal(t, "is its own", errors.Is(err, own), true)
	var refused *Refused
	equal(t, "is the other", errors.As(err, &refused), false)
	equal(t, "notes", strings.Contains(err.Error(), "remit task "+taskID+" was not ended (NOT_AUTHORIZED)"), true)
}

func TestABlockThatJoinsATaskLeavesItsEndingToOthers(t *testing.T) {
	s := scriptedGateway(t)
	request := reading()
	request.TaskID = taskID
	var kept *Task

	err := s.bearer(t).WithTask(t.Context(), request, func(_ context.Context, task *Task) error {
		kept = task
		return nil
	})

	must(t, err)
	equal(t, "ends", s.ends, 0)
	equal(t, "keys are forgotten", kept.Err() != nil, true)
}

func TestATaskThatAnotherAgentHandedOnBeginsAndEndsWithTheFirstBlockInIt(t *testing.T) {
	s := scriptedGateway(t)
	s.parent = "tasks/zzzzzzzzzzzzzzzzzzzzzzzzzz/grants/bbbbbbbbbbbbbbbbbbbbbbbbbb"
	gateway := s.bearer(t)
	request := reading()
	request.TaskID = taskID

	err := gateway.WithTask(t.Context(), request, func(ctx context.Context, _ *Task) error {
		<-s.watched
		return gateway.WithTask(ctx, request, func(context.Context, *Task) error {
			<-s.watched
			return nil
		})
	})

	must(t, err)
	equal(t, "ends", s.ends, 1)
	equal(t, "lease of the first", s.leases[0], DefaultLease)
	equal(t, "lease of the second", s.leases[1], 0)
}

func TestAnEndIsAnsweredTheSameAgain(t *testing.T) {
	s := scriptedGateway(t)
	task, err := s.bearer(t).StartTask(t.Context(), reading())
	must(t, err)

	first, err := task.End(t.Context())
	must(t, err)
	second, err := task.End(t.Context())

	must(t, err)
	equal(t, "answer", first, second)
	equal(t, "calls", s.ends, 1)
}

func TestARevokeDropsTheKeysAndAnotherGrantsDoesNot(t *testing.T) {
	s := scriptedGateway(t)
	task, err := s.bearer(t).StartTask(t.Context(), reading())
	must(t, err)
	revoked := remitv1.TaskEventKind_TASK_EVENT_KIND_REVOKED
	s.events <- &remitv1.WatchTaskResponse{Kind: revoked, Grants: []string{"another"}}
	s.events <- &remitv1.WatchTaskResponse{Kind: remitv1.TaskEventKind(99)}
	equal(t, "is live", task.Err() == nil, true)

	s.events <- &remitv1.WatchTaskResponse{
		Kind: revoked, Grants: []string{grantName}, Cause: remitv1.RevokeCause_REVOKE_CAUSE_SECURITY_EVENT,
	}
	<-task.Done()

	var over *TaskOver
	equal(t, "is over", errors.As(task.Err(), &over), true)
	equal(t, "cause", over.Cause, "SECURITY_EVENT")
}

func TestAStreamThatBreaksIsOpenedAgain(t *testing.T) {
	s := scriptedGateway(t)
	task, err := s.bearer(t).StartTask(t.Context(), reading())
	must(t, err)
	<-s.watched

	s.events <- nil
	<-s.watched

	equal(t, "is live", task.Err() == nil, true)
	task.Forget()
}

func TestATaskThatNobodyHoldsIsWatchedNoMore(t *testing.T) {
	s := scriptedGateway(t)
	gateway := s.bearer(t)
	done := func() <-chan struct{} {
		task, err := gateway.StartTask(t.Context(), reading())
		must(t, err)
		return task.Done()
	}()
	<-s.watched

	for {
		runtime.GC()
		select {
		case <-done:
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestClosingTheGatewayLeavesNothingRunning(t *testing.T) {
	s := scriptedGateway(t)
	gateway := s.bearer(t)
	task, err := gateway.StartTask(t.Context(), reading())
	must(t, err)
	<-s.watched

	must(t, gateway.Close())
	_, ended := task.End(t.Context())
	_, started := gateway.StartTask(t.Context(), reading())

	equal(t, "end", errors.Is(ended, errClosed), true)
	equal(t, "start", errors.Is(started, errClosed), true)
}
