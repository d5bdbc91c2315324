package spiffe

import (
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"remit.dev/go/remit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAnAddressThatIsNoneIsToldBeforeAnythingIsAsked(t *testing.T) {
	t.Setenv(Socket, "")
	for address, told := range map[string]string{
		"":                      "SPIFFE_ENDPOINT_SOCKET is not set",
		"https://spire.example": "is no address of a Workload API",
		"tcp://192.0.2.1:8081":  "the Workload API sends keys without encryption",
		"unix://relative":       "is no address of a Workload API",
	} {
		_, err := X509(t.Context(), WithSocket(address))
		_, alike := JWT("remit", WithSocket(address)).Token(t.Context())

		for _, failed := range []error{err, alike} {
			var none *remit.NoWorkloadIdentity
			if !errors.As(failed, &none) || !strings.Contains(none.Message, told) {
				t.Errorf("%q: want %q, got %v", address, told, failed)
			}
		}
	}
}

func TestAnAgentThatIsNotThereIsTold(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()

	_, err = X509(t.Context(), WithSocket("unix://"+socket))

	var none *remit.NoWorkloadIdentity
	if !errors.As(err, &none) || none.Reason != "WORKLOAD_CERTIFICATE_UNAVAILABLE" ||
		!strings.Contains(none.Error(), "look whether the SPIFFE agent runs") {
		t.Fatal(err)
	}
}
