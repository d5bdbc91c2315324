package remit

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Task is a live task, safe for concurrent use. One that is neither ended nor held by anybody is no longer watched, and so ends by
// its lease.
type Task struct {
	id string
	*keeping
}

// keeping is what goes on in the background for a task; it does not hold the task itself.
type keeping struct {
	calls   *calls
	keyring *keyring
	purpose string
	// isJoined says that somebody else started the task, and ends it.
	isJoined bool
	stop     context.CancelFunc

	ending sync.Mutex
	end    *TaskEnd
}

// started makes the task of what was issued first, and watches it.
func (g *Gateway) started(ctx context.Context, w *wish, first *issued) *Task {
	// Renewals and the stream go on when the caller's own context is done; they know its values.
	ring := newKeyring(context.WithoutCancel(ctx), first, g.calls.log)
	background, stop := context.WithCancel(ring.life)
	ring.background, ring.crew = background, &crew{within: &g.background}
	stopWithGateway := context.AfterFunc(g.life, stop)
	k := &keeping{calls: g.calls, keyring: ring, purpose: w.Purpose, isJoined: w.TaskID != "" && !g.begins(&first.grant)}
	k.stop = func() { stopWithGateway(); stop() }
	if w.Duration == 0 { // a certain duration was asked for on purpose: such credentials are not renewed behind its back
		ring.renew = func(ctx context.Context, grant Grant) (*issued, error) { return g.calls.renew(ctx, w, grant) }
	}
	observer := &watch{calls: g.calls, keyring: ring, lease: w.Lease}
	if k.isJoined { // who joins a task leaves its lease as it is
		observer.lease = 0
	}
	ring.crew.run(func() { observer.run(background) })
	task := &Task{id: first.grant.TaskID, keeping: k}
	runtime.AddCleanup(task, func(k *keeping) { k.forget("nobody holds it any more") }, k)
	return task
}

// ID returns the task's id.
func (t *Task) ID() string { return t.id }

// Grant returns the latest grant: what exactly these credentials may do, and until when.
func (t *Task) Grant() Grant { return t.keyring.latest() }

// Region returns the gateway's region, to be used where the program has no better one.
func (t *Task) Region() string { return t.keyring.region() }

// Done is closed once the task gives no credentials any more: it was ended, revoked, or ended by the gateway. That a Duration is
// over shows when credentials are asked for.
func (t *Task) Done() <-chan struct{} { return t.keyring.life.Done() }

// Err returns the TaskOver that says why there are no credentials any more; nil while there are.
func (t *Task) Err() error {
	t.keyring.mu.Lock()
	defer t.keyring.mu.Unlock()
	if t.keyring.over == nil {
		return nil
	}
	return t.keyring.over
}

// Credentials returns credentials that work now, renewed when it is time; TaskOver once the task or its time is over.
func (t *Task) Credentials(ctx context.Context) (Credentials, error) {
	return t.keyring.credentials(ctx)
}

// CredentialsProvider returns a provider for the AWS SDK. It gives the task's credentials for as long as the task lasts, also to
// clients that outlive it: they get TaskOver then.
func (t *Task) CredentialsProvider() aws.CredentialsProvider { return provider{t.Credentials} }

// Attenuate returns narrower credentials out of what the task holds, for one call of a tool. They end by themselves, and with the
// task. Refused for what the task does not hold.
func (t *Task) Attenuate(ctx context.Context, request AttenuateRequest) (*Attenuated, error) {
	if _, err := t.Credentials(ctx); err != nil { // what is nearly over is renewed, as the part lasts no longer
		return nil, err
	}
	purpose := request.Purpose
	if purpose == "" {
		purpose = t.purpose
	}
	found, err := t.calls.attenuate(ctx, t.Grant(), purpose, request)
	if err != nil {
		return nil, err
	}
	return &Attenuated{Grant: found.grant, credentials: found.credentials, task: t}, nil
}

// Delegate opens a task under this one for another agent, which gets at most what this one holds, until this one ends at the latest.
func (t *Task) Delegate(ctx context.Context, request DelegateRequest) (*DelegatedTask, error) {
	if err := t.Err(); err != nil {
		return nil, err
	}
	return t.calls.delegate(ctx, t.id, request)
}

// End ends the task now; again, it gives the same answer. The keys are forgotten in any case.
func (t *Task) End(ctx context.Context) (*TaskEnd, error) {
	t.forget("it was ended")
	t.keyring.crew.dismiss()
	t.ending.Lock()
	defer t.ending.Unlock()
	if t.end == nil {
		end, err := t.calls.end(ctx, t.id)
		if err != nil {
			return nil, err
		}
		t.end = end
	}
	return t.end, nil
}

// Forget forgets the keys without ending the task.
func (t *Task) Forget() {
	t.forget("its keys were forgotten")
	t.keyring.crew.dismiss()
}

// leave ends the task after its work, and returns the error to tell.
func (t *Task) leave(ctx context.Context, failed error) error {
	if t.isJoined {
		t.forget("its block was left")
		t.keyring.crew.dismiss()
		return failed
	}
	_, err := t.End(ctx)
	if err == nil {
		return failed
	}
	told := fmt.Sprintf("remit task %s was not ended (%s): its credentials work until %s",
		t.id, reasonOf(err), t.Grant().ExpireTime.Format(time.RFC3339))
	t.calls.log.Warn(told)
	if failed == nil {
		failed = err
	}
	return fmt.Errorf("%w\n%s", failed, told)
}

func (k *keeping) forget(why string) {
	k.keyring.close(why, "")
	k.stop()
}

func (t *Task) String() string {
	if t.keyring.isOver() {
		return "<Task " + t.id + " over>"
	}
	return "<Task " + t.id + " until " + t.Grant().ExpireTime.Format(time.RFC3339) + ">"
}

// GoString returns the same: nothing of what the task keeps is shown.
func (t *Task) GoString() string { return t.String() }

// Format writes the same for every verb.
func (t *Task) Format(state fmt.State, _ rune) { _, _ = fmt.Fprint(state, t.String()) }

// LogValue logs the same.
func (t *Task) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText writes the same, as JSON too.
func (t *Task) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Attenuated are narrower credentials for one call of a tool. They are never renewed.
type Attenuated struct {
	// Grant is theirs; its Parent names the one of the task.
	Grant       Grant
	credentials Credentials
	task        *Task
}

// Credentials returns them while they work; TaskOver once their time or the task is over.
func (a *Attenuated) Credentials(context.Context) (Credentials, error) {
	if err := a.task.Err(); err != nil {
		return Credentials{}, err
	}
	if !a.task.keyring.now().Before(a.credentials.ExpireTime) {
		return Credentials{}, taskOver(Failure{
			Reason: notLive,
			Message: "task " + a.task.id + " gives no credentials any more: the time of this part is over: attenuate the task again for " +
				"the next call",
		}, "")
	}
	return a.credentials, nil
}

// CredentialsProvider returns a provider of them for the AWS SDK.
func (a *Attenuated) CredentialsProvider() aws.CredentialsProvider { return provider{a.Credentials} }

func (a *Attenuated) String() string { return "<Attenuated " + a.Grant.Name + ">" }

// Format writes the same for every verb.
func (a *Attenuated) Format(state fmt.State, _ rune) { _, _ = fmt.Fprint(state, a.String()) }

// LogValue logs the same.
func (a *Attenuated) LogValue() slog.Value { return slog.StringValue(a.String()) }

// provider gives credentials to the AWS SDK.
type provider struct {
	ask func(context.Context) (Credentials, error)
}

// Retrieve returns the credentials as they are now. They say that they expire now: the SDK keeps what it is given until its expiry,
// and would go on with keys that were dropped. Asking costs a lock.
func (p provider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	found, err := p.ask(ctx)
	if err != nil {
		return aws.Credentials{}, err
	}
	return aws.Credentials{
		AccessKeyID:     found.AccessKeyID,
		SecretAccessKey: found.SecretAccessKey.Reveal(),
		SessionToken:    found.SessionToken.Reveal(),
		Source:          "Remit",
		CanExpire:       true,
		Expires:         time.Now(),
	}, nil
}
