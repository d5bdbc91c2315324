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
