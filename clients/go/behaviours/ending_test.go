package behaviours

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"remit.dev/go/remit"
	remitv1 "remit.dev/go/remit/v1"
)

const (
	agentOfLease  = "REMIT_BE_KILLED"
	shortestLease = 30 * time.Second
)

func end(t *testing.T, l *live) {
	gateway := l.copilot(t, l.Mtls)
	var kept aws.CredentialsProvider
	var left *remit.Task
	err := gateway.WithTask(t.Context(), l.reading(), func(ctx context.Context, task *remit.Task) error {
		left, kept = task, aws.NewCredentialsCache(task.CredentialsProvider())
		_, err := read(ctx, l.s3(kept), summary)
		return err
	})
	succeeded(t, err)

	_, told := kept.Retrieve(t.Context())
	_, unread := read(t.Context(), l.s3(kept), summary)

	equal(t, "reason", as[*remit.TaskOver](t, told).Reason, "GRANT_NOT_LIVE")
	equal(t, "says so", strings.Contains(as[*remit.TaskOver](t, unread).Message, "it was ended"), true)
	equal(t, "at the gateway", causes(t, l, left.ID())[0], remitv1.RevokeCause_REVOKE_CAUSE_TASK_ENDED)
}

func endOnError(t *testing.T, l *live) {
	gateway := l.copilot(t, l.Mtls)
	own := errors.New("the agent's own")
	var failed, panicked string

	err := gateway.WithTask(t.Context(), l.reading(), func(_ context.Context, task *remit.Task) error {
		failed = task.ID()
		return own
	})
	said := recovered(func() {
		_ = gateway.WithTask(t.Context(), l.reading(), func(_ context.Context, task *remit.Task) error {
			panicked = task.ID()
			panic("the agent's own panic")
		})
	})

	equal(t, "error", err, own)
	equal(t, "panic", said, any("the agent's own panic"))
	for _, id := range []string{failed, panicked} {
		equal(t, "at the gateway", causes(t, l, id)[0], remitv1.RevokeCause_REVOKE_CAUSE_TASK_ENDED)
	}
}

func recovered(work func()) (said any) {
	defer func() { said = recover() }()
	work()
	return nil
}

func revoke(t *testing.T, l *live) {
	gateway := l.copilot(t, l.Mtls)
	way, ctx := l.security(t)
	var cause error

	err := gateway.WithTask(t.Context(), l.reading(), func(inner context.Context, task *remit.Task) error {
		_, err := remitv1.NewGrantServiceClient(way).RevokeGrants(ctx, &remitv1.RevokeGrantsRequest{
			Target: &remitv1.RevokeTarget{Target: &remitv1.RevokeTarget_TaskId{TaskId: task.ID()}}, Why: "a drill",
		})
		succeeded(t, err)
		until(t, "the revoke", func() bool { return inner.Err() != nil })
		cause = context.Cause(inner)
		_, err = read(t.Context(), l.s3(task.CredentialsProvider()), summary)
		return err
	})

	over := as[*remit.TaskOver](t, err)
	equal(t, "cause", over.Cause, "REQUESTED")
	equal(t, "the block's", as[*remit.TaskOver](t, cause), over)
	equal(t, "advice", strings.Contains(over.Error(), "find out from the security team why it was revoked"), true)
}

func lease(t *testing.T, l *live) {
	program, err := os.Executable()
	succeeded(t, err)
	agent := exec.Command(program)
	agent.Env = append(os.Environ(), agentOfLease+"=1")
	output, err := agent.StdoutPipe()
	succeeded(t, err)
	succeeded(t, agent.Start())
	id, err := bufio.NewReader(output).ReadString('\n')
	succeeded(t, err)
	id = strings.TrimSpace(id)
	until(t, "the lease", func() bool { return len(recorded(t, l, id, "lease_taken")) == 1 })

	succeeded(t, agent.Process.Kill())
	_ = agent.Wait()

	until(t, "the end of the task of "+id, func() bool {
		return causes(t, l, id)[0] == remitv1.RevokeCause_REVOKE_CAUSE_LEASE_LOST
	})
}
