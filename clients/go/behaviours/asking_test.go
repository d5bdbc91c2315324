package behaviours

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"

	"remit.dev/go/remit"
	remitv1 "remit.dev/go/remit/v1"
)

func issue(t *testing.T, l *live) {
	gateway := l.copilot(t, l.Mtls)

	err := gateway.WithTask(t.Context(), l.reading(), func(ctx context.Context, task *remit.Task) error {
		client := l.s3(task.CredentialsProvider())
		found, err := read(ctx, client, summary)
		if _, denied := read(ctx, client, lastQuarter); !isDenied(denied) {
			t.Errorf("AWS gave what was not asked for: %v", denied)
		}
		if !strings.Contains(found, "Revenue 857") {
			t.Errorf("AWS gave %q", found)
		}
		return err
	})

	succeeded(t, err)
}

func narrow(t *testing.T, l *live) {
	request := l.reading()
	request.Allow, request.Narrow = everything, true
	task := started(t, l.copilot(t, l.Mtls), request)
	client := l.s3(task.CredentialsProvider())

	_, err := read(t.Context(), client, lastQuarter)
	_, denied := read(t.Context(), client, salaries)

	succeeded(t, err)
	equal(t, "denied", isDenied(denied), true)
}

func refusal(t *testing.T, l *live) {
	gateway := l.copilot(t, l.Mtls)
	request := l.reading()
	request.Allow = everything

	_, err := gateway.StartTask(t.Context(), request)

	refused := as[*remit.Refused](t, err)
	equal(t, "reason", refused.Reason, "CEILING_EXCEEDED")
	equal(t, "remedy", refused.Remedy, remit.RemedyNarrow)
	equal(t, "action", refused.Failures[0].Action, "s3:GetObject")
	equal(t, "rule", refused.Failures[0].Rule, "entitlements")
	equal(t, "advice", strings.Contains(err.Error(), "what to do: ask with Allow: refused.Offer, which is s3:GetObject on"), true)
	previewed, err := gateway.Preview(t.Context(), request)
	succeeded(t, err)
	equal(t, "previewed", previewed.WouldRefuse.Reason, refused.Reason)
	request.Allow = refused.Offer
	_, err = read(t.Context(), l.s3(started(t, gateway, request).CredentialsProvider()), lastQuarter)
	succeeded(t, err)
}

func invalid(t *testing.T, l *live) {
	request := l.reading()
	request.Labels = map[string]string{"A Canary": "x"}

	_, err := l.copilot(t, l.Mtls).StartTask(t.Context(), request)

	told := as[*remit.InvalidRequest](t, err)
	equal(t, "reason", told.Reason, "INVALID_REQUEST")
	equal(t, "remedy", told.Remedy, remit.RemedyCorrect)
	equal(t, "field", strings.HasPrefix(told.Violations[0].Path, "intent.labels"), true)
	equal(t, "says a rule", told.Violations[0].Rule != "", true)
	equal(t, "repeats the value", strings.Contains(err.Error(), "Canary"), false)
}

func unauthenticated(t *testing.T, l *live) {
	request := l.reading()
	request.SubjectToken = remit.Token(l.Tokens["expired"])

	_, err := l.copilot(t, l.Mtls).StartTask(t.Context(), request)

	told := as[*remit.Unauthenticated](t, err)
	equal(t, "reason", told.Reason, "SUBJECT_TOKEN_REJECTED")
	equal(t, "remedy", told.Remedy, remit.RemedyReauthenticate)
	equal(t, "advice", strings.Contains(err.Error(), "the user has to sign in again"), true)
}

func unreachable(t *testing.T, l *live) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	succeeded(t, err)
	nobody := listener.Addr().String()
	succeeded(t, listener.Close())
	asked := 0
	files := l.Agents["copilot"]
	counted := remit.WithCertificateSource(counting(&asked, files))
	gateway := opened(t)(remit.Dial(nobody, remit.WithCAFile(l.CAFile), counted))

	_, err = gateway.StartTask(t.Context(), l.reading())

	told := as[*remit.Unavailable](t, err)
	equal(t, "reason", told.Reason, "UNAVAILABLE")
	equal(t, "remedy", told.Remedy, remit.RemedyRetryLater)
	equal(t, "names the address", strings.Contains(told.Message, nobody), true)
	equal(t, "says what to check", strings.Contains(err.Error(), "check that the gateway runs at this address"), true)
	// Twice when it is dialled, then once for each of at most five attempts.
	equal(t, "repeats that are bounded", asked > 3 && asked <= 7, true)
}

func approval(t *testing.T, l *live) {
	gateway := l.copilot(t, l.Mtls)
	request := l.reading()
	request.Purpose, request.Allow = "publish Q3", remit.Permit("s3:PutObject", "arn:aws:s3:::reports/"+published)

	_, err := gateway.StartTask(t.Context(), request)

	pending := as[*remit.ApprovalPending](t, err)
	equal(t, "remedy", pending.Remedy, remit.RemedyAskApproval)
	equal(t, "names it", strings.Contains(err.Error(), pending.Approval), true)
	equal(t, "groups", slices.Equal(pending.Groups, []string{"security"}), true)
	l.approve(t, pending)
	request.RequestID = pending.RequestID
	task := started(t, gateway, request)
	succeeded(t, write(t.Context(), l.s3(task.CredentialsProvider()), published))
	equal(t, "task", task.ID(), pending.TaskID)
}

// approve says yes, as somebody of security does.
func (l *live) approve(t *testing.T, pending *remit.ApprovalPending) {
	t.Helper()
	way, ctx := l.security(t)
	_, err := remitv1.NewApprovalServiceClient(way).DecideApproval(ctx, &remitv1.DecideApprovalRequest{
		Name: pending.Approval, Digest: pending.Digest, Approve: true, Comment: "for the board",
	})
	succeeded(t, err)
}
