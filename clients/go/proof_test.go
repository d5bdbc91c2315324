package remit

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestDialSaysWhatIsWrong(t *testing.T) {
	s := scriptedGateway(t)
	s.writePair(t, "agent", "127.0.0.1")
	s.writePair(t, "other", "127.0.0.1")
	ca, pem, key := WithCAFile(s.file("server.pem")), s.file("agent.pem"), s.file("agent.key")
	must(t, os.WriteFile(s.file("empty"), nil, 0o600))
	encrypted := "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"
	must(t, os.WriteFile(s.file("encrypted"), []byte(encrypted), 0o600))
	bearer := WithBearer(Token("x"))
	for told, dial := range map[string]func() (*Gateway, error){
		"target is host:port":                     func() (*Gateway, error) { return Dial("https://gateway:1", bearer) },
		"and not \"gateway\"":                     func() (*Gateway, error) { return Dial("gateway", bearer) },
		"say who this agent is":                   func() (*Gateway, error) { return Dial(s.address, ca) },
		"either WithCertificateFiles":             func() (*Gateway, error) { return Dial(s.address, bearer, WithCertificateFiles(pem, key)) },
		"belong together":                         func() (*Gateway, error) { return Dial(s.address, WithCertificateFiles(pem, "")) },
		"not both":                                func() (*Gateway, error) { return Dial(s.address, bearer, ca, WithRootCertificates([]byte("x"))) },
		"the timeout must be more than 0":         func() (*Gateway, error) { return Dial(s.address, bearer, WithTimeout(-time.Second)) },
		"no such file":                            func() (*Gateway, error) { return Dial(s.address, bearer, WithCAFile(s.file("none"))) },
		"is not a file of certificates in PEM":    func() (*Gateway, error) { return Dial(s.address, bearer, WithCAFile(s.file("empty"))) },
		"does not belong to the certificate file": func() (*Gateway, error) { return Dial(s.address, WithCertificateFiles(pem, s.file("other.key"))) },
		"is encrypted: give the key without":      func() (*Gateway, error) { return Dial(s.address, WithCertificateFiles(pem, s.file("encrypted"))) },
		"is not a private key in PEM that fits":   func() (*Gateway, error) { return Dial(s.address, WithCertificateFiles(pem, s.file("empty"))) },
		"certificate file " + s.file("agent.key"): func() (*Gateway, error) { return Dial(s.address, WithCertificateFiles(key, key)) },
	} {
		_, err := dial()

		equal(t, told, err != nil && strings.Contains(err.Error(), told), true)
	}
}

func TestInTheMidstOfARotationWhatWasBeforeHolds(t *testing.T) {
	s := scriptedGateway(t)
	s.writePair(t, "agent", "127.0.0.1")
	gateway := s.dial(t, WithCertificateFiles(s.file("agent.pem"), s.file("agent.key")))
	before := leafOf(t, gateway)
	key, err := os.ReadFile(s.file("agent.key"))
	must(t, err)
	s.writePair(t, "agent", "127.0.0.1")
	rotated, err := os.ReadFile(s.file("agent.key"))
	must(t, err)
	must(t, os.WriteFile(s.file("agent.key"), append(key, '\n'), 0o600)) // the old key beside the new certificate

	midst := leafOf(t, gateway)
	must(t, os.WriteFile(s.file("agent.key"), append(rotated, '\n', '\n'), 0o600))
	after := leafOf(t, gateway)

	equal(t, "in the midst", midst, before)
	equal(t, "afterwards", after != before, true)
}

// leafOf returns the certificate that a connection made now would show.
func leafOf(t *testing.T, gateway *Gateway) string {
	t.Helper()
	connection, err := gateway.calls.channel.borrow()
	must(t, err)
	defer gateway.calls.channel.giveBack(connection)
	pair, err := gateway.calls.channel.proof.certificate()
	must(t, err)
	return string(pair.Certificate[0])
}

func TestALeaseIsCheckedBeforeAnythingIsSent(t *testing.T) {
	for lease, isGood := range map[time.Duration]bool{
		0: true, NoLease: true, 30 * time.Second: true, 24 * time.Hour: true,
		29 * time.Second: false, 25 * time.Hour: false, 30*time.Second + 1: false, -time.Second: false,
	} {
		request := reading()
		request.Lease = lease

		_, err := request.checked()

		equal(t, lease.String(), err == nil, isGood)
	}
}
