package behaviours

import (
	"testing"
	"time"

	"remit.dev/go/remit"
)

func attenuate(t *testing.T, l *live) {
	gateway := l.copilot(t, l.Mtls)
	request := l.reading()
	request.Allow = remit.Permit("s3:GetObject", "arn:aws:s3:::reports/2026/*")
	task := started(t, gateway, request)
	one := remit.AttenuateRequest{
		Allow: remit.Permit("s3:GetObject", "arn:aws:s3:::reports/"+summary), Duration: 15 * time.Second,
	}

	call, err := task.Attenuate(t.Context(), one)
	succeeded(t, err)
	client := l.s3(call.CredentialsProvider())
	_, err = read(t.Context(), client, summary)
	_, denied := read(t.Context(), client, lastQuarter)
	_, refused := task.Attenuate(t.Context(), remit.AttenuateRequest{Allow: everything})
	wait(call.Grant.ExpireTime)
	_, over := call.Credentials(t.Context())
	_, alive := task.Credentials(t.Context())

	succeeded(t, err)
	equal(t, "AWS refuses the rest", isDenied(denied), true)
	equal(t, "reason", as[*remit.Refused](t, refused).Reason, "CEILING_EXCEEDED")
	equal(t, "parent", call.Grant.Parent, task.Grant().Name)
	equal(t, "reason", as[*remit.TaskOver](t, over).Reason, "GRANT_NOT_LIVE")
	succeeded(t, alive)
	identity, err := gateway.WhoAmI(t.Context(), request.SubjectToken)
	succeeded(t, err)
	equal(t, "actor", identity.Actor, task.Grant().Actor)
	equal(t, "subject", identity.Subject.ID, "alice")
	decision, err := gateway.Explain(t.Context(), as[*remit.Refused](t, refused).RequestID)
	succeeded(t, err)
	equal(t, "explained", decision.Refused.Reason, "CEILING_EXCEEDED")
}

func delegate(t *testing.T, l *live) {
	copilot, crawler := l.copilot(t, l.Mtls), opened(t)(l.dial("crawler", l.Mtls))
	above := started(t, copilot, l.reading())

	below, err := above.Delegate(t.Context(), remit.DelegateRequest{
		Actor: "spiffe://remit.sandbox/agent/crawler", Purpose: "fetch what the summary needs",
	})
	succeeded(t, err)
	request := l.reading()
	request.SubjectToken, request.TaskID = remit.Token(l.Tokens["crawler"]), below.ID
	task := started(t, crawler, request)
	client := l.s3(task.CredentialsProvider())
	_, err = read(t.Context(), client, summary)
	succeeded(t, err)
	request.Allow = everything
	_, wider := crawler.StartTask(t.Context(), request)
	_, err = above.End(t.Context())
	succeeded(t, err)
	<-task.Done()
	_, told := read(t.Context(), client, summary)

	equal(t, "depth", below.Depth, 1)
	equal(t, "the task", task.ID(), below.ID)
	equal(t, "reason", as[*remit.Refused](t, wider).Reason, "CEILING_EXCEEDED")
	equal(t, "reason", as[*remit.TaskOver](t, told).Reason, "GRANT_NOT_LIVE")
}
