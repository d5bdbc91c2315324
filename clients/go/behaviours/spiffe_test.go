package behaviours

import (
	"testing"

	"remit.dev/go/remit"
	"remit.dev/go/remit/workload"
	"remit.dev/go/remit/workload/spiffe"
)

func TestTheGatewayTakesWhatTheWorkloadAPIGives(t *testing.T) {
	sandbox, err := readLive()
	succeeded(t, err)
	svid, err := spiffe.X509(t.Context())
	succeeded(t, err)
	defer func() { _ = svid.Close() }()
	gateway := opened(t)(remit.Dial(sandbox.Mtls, svid.Proof(), svid.Trust()))

	task := started(t, gateway, sandbox.reading())

	equal(t, "actor", task.Grant().Actor, "spiffe://remit.sandbox/agent/copilot")
	_, err = read(t.Context(), sandbox.s3(task.CredentialsProvider()), summary)
	succeeded(t, err)
}

func TestTheGatewayTakesATokenThatAPlatformLeftInAVariable(t *testing.T) {
	sandbox, err := readLive()
	succeeded(t, err)
	t.Setenv(workload.GitLabVariable, sandbox.Tokens["agent"])
	bearer := remit.WithBearer(workload.GitLab(workload.GitLabVariable))
	gateway := opened(t)(remit.Dial(sandbox.Bearer, remit.WithCAFile(sandbox.CAFile), bearer))

	identity, err := gateway.WhoAmI(t.Context(), remit.Token(sandbox.Tokens["reporter"]))

	succeeded(t, err)
	equal(t, "actor", identity.Actor, "sandbox:reporter")
	equal(t, "subject", identity.Subject.ID, "alice")
}
