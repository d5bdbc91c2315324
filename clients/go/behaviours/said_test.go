package behaviours

import (
	"os"
	"strings"
	"testing"
	"time"

	"remit.dev/go/remit"
	"remit.dev/go/remit/workload"
)

// saidError is an error of the Python client: what it is made of, and how it prints.
type saidError struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
	Text    string `json:"text"`
	Told    told   `json:"told"`
}

type told struct {
	Reason       string                   `json:"reason"`
	Remedy       remit.Remedy             `json:"remedy"`
	RequestID    string                   `json:"requestId"`
	Failures     []remit.FailedPermission `json:"failures"`
	Violations   []remit.FieldViolation   `json:"violations"`
	Offer        []permission             `json:"offer"`
	Split        [][]permission           `json:"split"`
	Cause        string                   `json:"cause"`
	Approval     string                   `json:"approval"`
	Groups       []string                 `json:"groups"`
	MinApprovers int                      `json:"minApprovers"`
	BySubject    bool                     `json:"bySubject"`
	RetryAfter   *float64                 `json:"retryAfter"`
}

type permission struct {
	Actions    []string   `json:"actions"`
	Resources  []string   `json:"resources"`
	Conditions [][]string `json:"conditions"`
}

// saidPlatform is what one platform's source of the Python client came to.
type saidPlatform struct {
	Platform    string            `json:"platform"`
	Argument    string            `json:"argument"`
	Environment map[string]string `json:"environment"`
	Token       string            `json:"token"`
	Text        string            `json:"text"`
}

// What Python's words are here.
var words = strings.NewReplacer(
	"pass narrow=True", "set Narrow",
	"allow=error.offer", "Allow: refused.Offer",
	"error.split", "refused.Split",
	"error.failures", "Failures",
	"request_id='r'", `RequestID: "r"`,
	"subject_token may be a function", "SubjectToken may be a TokenFunc",
	"certificate_file and key_file, or its bearer_token", "certificate and key files, or its bearer token",
	"that ca_file", "that the CA file",
	"No such file", "no such file",
)

func TestEveryErrorSaysWhatThePythonClientsSays(t *testing.T) {
	sandbox, err := readLive()
	succeeded(t, err)
	equal(t, "there are enough", len(sandbox.Errors) > 25, true)

	for _, python := range sandbox.Errors {
		equal(t, python.Kind, python.made(t).Error(), words.Replace(python.Text))
	}
}

// made returns the error of the same kind with the same in it.
func (s saidError) made(t *testing.T) error {
	t.Helper()
	failure := remit.Failure{Reason: s.Told.Reason, Message: s.Message, Remedy: s.Told.Remedy, RequestID: s.Told.RequestID}
	unavailable := remit.Unavailable{Failure: failure, RetryAfter: seconds(s.Told.RetryAfter)}
	switch s.Kind {
	case "Refused":
		refused := &remit.Refused{Failure: failure, Failures: s.Told.Failures, Offer: permissions(s.Told.Offer)}
		for _, part := range s.Told.Split {
			refused.Split = append(refused.Split, permissions(part))
		}
		return refused
	case "InvalidRequest":
		return &remit.InvalidRequest{Failure: failure, Violations: s.Told.Violations}
	case "Unauthenticated":
		return &remit.Unauthenticated{Failure: failure}
	case "NotFound":
		return &remit.NotFound{Failure: failure}
	case "TaskOver":
		return &remit.TaskOver{Failure: failure, Cause: s.Told.Cause}
	case "ApprovalPending":
		return &remit.ApprovalPending{
			Failure: failure, Approval: s.Told.Approval, Groups: s.Told.Groups, MinApprovers: s.Told.MinApprovers,
			BySubject: s.Told.BySubject,
		}
	case "Unavailable":
		return &unavailable
	case "RateLimited":
		return &remit.RateLimited{Unavailable: unavailable}
	case "GatewayFailure":
		return &remit.GatewayFailure{Failure: failure}
	default:
		t.Fatalf("there is no %s here", s.Kind)
		return nil
	}
}

func seconds(count *float64) *time.Duration {
	if count == nil {
		return nil
	}
	found := time.Duration(*count * float64(time.Second))
	return &found
}

func permissions(told []permission) (found remit.Permissions) {
	for _, one := range told {
		made := remit.Permission{Actions: one.Actions, Resources: one.Resources}
		for _, condition := range one.Conditions {
			made.Conditions = append(made.Conditions, remit.Condition{Operator: condition[0], Key: condition[1], Values: condition[2:]})
		}
		found = append(found, made)
	}
	return found
}

func TestEveryPlatformGivesAndSaysWhatThePythonClientsDoes(t *testing.T) {
	sandbox, err := readLive()
	succeeded(t, err)
	equal(t, "there are enough", len(sandbox.Platforms) > 15, true)
	makers := map[string]func(string) *workload.Source{
		"env": workload.Env, "gitlab": workload.GitLab, "file": workload.File, "kubernetes": workload.Kubernetes,
		"github": workload.GitHub, "gitpod": workload.Gitpod,
	}

	for _, python := range sandbox.Platforms {
		t.Run(python.Platform, func(t *testing.T) {
			only(t, python.Environment)

			token, err := makers[python.Platform](python.Argument).Token(t.Context())

			equal(t, "token", token, python.Token)
			if python.Text != "" {
				equal(t, "text", as[*remit.NoWorkloadIdentity](t, err).Error(), words.Replace(python.Text))
			}
		})
	}
}

// only sets these variables, and none of the others that platforms are known by.
func only(t *testing.T, environment map[string]string) {
	t.Helper()
	for _, name := range []string{
		"ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "GITHUB_ACTIONS", "REMIT_ID_TOKEN", "AGENT_TOKEN",
	} {
		t.Setenv(name, "")
		succeeded(t, os.Unsetenv(name))
	}
	for name, value := range environment {
		t.Setenv(name, value)
	}
}
