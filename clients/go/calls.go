package remit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	remitv1 "remit.dev/go/remit/v1"
)

// calls are the calls to the gateway, repeated where that is safe. A call and its repeats share one request id and one deadline;
// the agent's bearer token is asked for at each of them.
type calls struct {
	channel *channel
	bearer  TokenSource
	timeout time.Duration
	log     *slog.Logger
}

// issue asks once for credentials, with the user's token as it is now.
func (c *calls) issue(ctx context.Context, w *wish, requestID string) (*issued, error) {
	token, err := tokenOf(ctx, w.SubjectToken, "subject_token")
	if err != nil {
		return nil, err
	}
	response, err := unary(ctx, c.carrying(w.SubjectToken, token), remitv1.CredentialServiceClient.IssueCredentials, &remitv1.IssueCredentialsRequest{
		RequestId:         requestID,
		SubjectToken:      token.Reveal(),
		TaskId:            w.TaskID,
		Intent:            intentMessage(w.Purpose, w.Labels, w.needs),
		RequestedDuration: durationMessage(w.Duration),
		Narrow:            w.Narrow,
	}, requestID)
	if err != nil {
		return nil, err
	}
	return issuedOf(response, requestID)
}

// renew asks for new credentials of a grant. Where the grant may be renewed without the user it is, once the user's token is no
// good any more.
func (c *calls) renew(ctx context.Context, w *wish, grant Grant) (*issued, error) {
	token, err := tokenOf(ctx, w.SubjectToken, "subject_token")
	if err == nil {
		var found *issued
		if found, err = c.renewed(ctx, w, grant, token); err == nil {
			return found, nil
		}
	}
	if !grant.OfflineRenewal || !isOfTheToken(err) {
		return nil, err
	}
	return c.renewed(ctx, w, grant, Secret{})
}

func (c *calls) renewed(ctx context.Context, w *wish, grant Grant, token Secret) (*issued, error) {
	if token.Reveal() != "" {
		c = c.carrying(w.SubjectToken, token)
	}
	response, err := unary(ctx, c, remitv1.CredentialServiceClient.RenewCredentials, &remitv1.RenewCredentialsRequest{
		Name: grant.Name, SubjectToken: token.Reveal(), Narrow: w.Narrow,
	}, "")
	if err != nil {
		return nil, err
	}
	return issuedOf(response, "")
}

func (c *calls) preview(ctx context.Context, w *wish) (*Preview, error) {
	token, err := tokenOf(ctx, w.SubjectToken, "subject_token")
	if err != nil {
		return nil, err
	}
	response, err := unary(ctx, c.carrying(w.SubjectToken, token), remitv1.CredentialServiceClient.PreviewCredentials, &remitv1.PreviewCredentialsRequest{
		SubjectToken:      token.Reveal(),
		TaskId:            w.TaskID,
		Intent:            intentMessage(w.Purpose, w.Labels, w.needs),
		RequestedDuration: durationMessage(w.Duration),
		Narrow:            w.Narrow,
	}, "")
	if err != nil {
		return nil, err
	}
	return previewOf(response)
}

func (c *calls) end(ctx context.Context, taskID string) (*TaskEnd, error) {
	request := &remitv1.EndTaskRequest{TaskId: taskID}
	response, err := unary(ctx, c, remitv1.CredentialServiceClient.EndTask, request, "")
	if err != nil {
		return nil, err
	}
	return taskEndOf(response)
}

func (c *calls) attenuate(ctx context.Context, grant Grant, purpose string, request AttenuateRequest) (*issued, error) {
	requestID := newRequestID()
	var n needs
	if request.Allow != nil {
		request.Allow.addTo(&n)
	}
	response, err := unary(ctx, c, remitv1.CredentialServiceClient.AttenuateCredentials, &remitv1.AttenuateCredentialsRequest{
		RequestId:         requestID,
		Name:              grant.Name,
		Intent:            intentMessage(purpose, nil, n),
		RequestedDuration: durationMessage(request.Duration),
		Narrow:            request.Narrow,
	}, requestID)
	if err != nil {
		return nil, err
	}
	return issuedOf(response, requestID)
}

func (c *calls) delegate(ctx context.Context, taskID string, request DelegateRequest) (*DelegatedTask, error) {
	requestID := newRequestID()
	response, err := unary(ctx, c, remitv1.CredentialServiceClient.DelegateTask, &remitv1.DelegateTaskRequest{
		RequestId:   requestID,
		TaskId:      taskID,
		Actor:       request.Actor,
		Purpose:     request.Purpose,
		MaxDuration: durationMessage(request.Duration),
	}, requestID)
	if err != nil {
		return nil, err
	}
	if response.GetTaskId() == "" {
		return nil, notUnderstood("no task", requestID)
	}
	return &DelegatedTask{response.GetTaskId(), timeOf(response.GetEndTime()), int(response.GetDepth())}, nil
}

func (c *calls) whoAmI(ctx context.Context, subjectToken TokenSource) (*Identity, error) {
	request := &remitv1.GetCallerIdentityRequest{}
	if subjectToken != nil {
		token, err := tokenOf(ctx, subjectToken, "subject_token")
		if err != nil {
			return nil, err
		}
		request.SubjectToken, c = token.Reveal(), c.carrying(subjectToken, token)
	}
	response, err := unary(ctx, c, remitv1.CredentialServiceClient.GetCallerIdentity, request, "")
	if err != nil {
		return nil, err
	}
	return identityOf(response), nil
}

func (c *calls) explain(ctx context.Context, requestID string) (*Decision, error) {
	request := &remitv1.GetDecisionRequest{RequestId: requestID}
	response, err := unary(ctx, c, remitv1.CredentialServiceClient.GetDecision, request, requestID)
	if err != nil {
		return nil, err
	}
	return decisionOf(response, requestID)
}

// watch tells each event of a task until each says that it is enough or the stream ends; the error says why it broke.
func (c *calls) watch(ctx context.Context, taskID string, lease time.Duration, each func(taskEvent) bool) error {
	ctx, cancel := context.WithCancel(ctx) // ends the stream in any case
	defer cancel()
	ctx, err := c.authorized(ctx)
	if err != nil {
		return err
	}
	connection, err := c.channel.borrow()
	if err != nil {
		return err
	}
	defer c.channel.giveBack(connection)
	request := &remitv1.WatchTaskRequest{TaskId: taskID, DisconnectGrace: durationMessage(lease)}
	stream, err := connection.stub.WatchTask(ctx, request)
	for err == nil {
		var message *remitv1.WatchTaskResponse
		if message, err = stream.Recv(); err == nil && each(taskEventOf(message)) {
			return nil
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return failureOf(status.Convert(err), c.channel.target, "")
}

type method[Q, R any] func(remitv1.CredentialServiceClient, context.Context, *Q, ...grpc.CallOption) (*R, error)

// unary calls, and repeats while nobody was there or the gateway was full.
func unary[Q, R any](ctx context.Context, c *calls, call method[Q, R], request *Q, requestID string) (*R, error) {
	attempts := attempts{deadline: time.Now().Add(c.timeout), failed: map[string]int{}}
	for {
		response, failed, err := once(ctx, c, call, request, attempts.deadline)
		if failed == nil {
			return response, err
		}
		if ctx.Err() != nil {
			return nil, givenUp(ctx)
		}
		pause, failure := attempts.after(failed.Code(), failureOf(failed, c.channel.target, requestID))
		if failure != nil {
			return nil, failure
		}
		if sleep(ctx, pause) != nil {
			return nil, givenUp(ctx)
		}
	}
}

// once calls, and returns the status of a call that failed; an error for one that was not made.
func once[Q, R any](
	ctx context.Context, c *calls, call method[Q, R], request *Q, deadline time.Time,
) (*R, *status.Status, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	ctx, err := c.authorized(ctx)
	if err != nil {
		return nil, nil, err
	}
	connection, err := c.channel.borrow()
	if err != nil {
		return nil, nil, err
	}
	defer c.channel.giveBack(connection)
	response, err := call(connection.stub, ctx, request)
	if err != nil {
		return nil, status.Convert(err), nil
	}
	return response, nil, nil
}

// carrying returns the calls with the user's token as the agent's own proof too, where both come from one source.
func (c *calls) carrying(source TokenSource, token Secret) *calls {
	if !isSame(c.bearer, source) {
		return c
	}
	carried := *c
	carried.bearer = &fixedToken{token}
	return &carried
}

// authorized returns the context with the agent's bearer token as its one authorization, if there is to be any, and with no other
// metadata: what a server's handler was called with is not passed on.
func (c *calls) authorized(ctx context.Context) (context.Context, error) {
	if c.bearer == nil {
		return metadata.NewOutgoingContext(ctx, metadata.MD{}), nil
	}
	token, err := tokenOf(ctx, c.bearer, "bearer_token")
	if err != nil {
		return nil, err
	}
	return metadata.NewOutgoingContext(ctx, metadata.Pairs("authorization", "Bearer "+token.Reveal())), nil
}

// isOfTheToken says whether the user's token was the reason, or whoever should have given it.
func isOfTheToken(err error) bool {
	var told Error
	if !errors.As(err, &told) {
		return true
	}
	var invalid *InvalidRequest
	var none *NoWorkloadIdentity
	return told.Details().Reason == "SUBJECT_TOKEN_REJECTED" || errors.As(err, &invalid) || errors.As(err, &none)
}

// givenUp returns the error for a context that is done.
func givenUp(ctx context.Context) error {
	return fmt.Errorf("remit: the caller gave up: %w", context.Cause(ctx))
}

// sleep waits, or returns the context's error.
func sleep(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// newRequestID returns a random UUID (RFC 9562, version 4).
func newRequestID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
