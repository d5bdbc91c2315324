package remit

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

// The same sentences as the Python client's (clients/python/remit/errors.py); names of fields are Go's.
func TestAnErrorSaysWhatFailedWhyAndWhatToDo(t *testing.T) {
	second := time.Second
	lines := FailedPermission{"s3:GetObject", "arn:aws:s3:::hr/x", "entitlements", "not in any entitlement"}
	offer := Permissions{{
		Actions: []string{"s3:GetObject"}, Resources: []string{"arn:aws:s3:::reports/*"},
		Conditions: []Condition{{"StringLike", "s3:prefix", []string{"2026/*"}}},
	}}
	for _, row := range []struct {
		failure error
		told    string
	}{
		{
			&Refused{Failure: Failure{"CEILING_EXCEEDED", "no", RemedyNarrow, "1"}, Failures: []FailedPermission{lines}, Offer: offer},
			"CEILING_EXCEEDED: no\n  stopped: s3:GetObject on arn:aws:s3:::hr/x by entitlements: not in any entitlement\n" +
				"  what to do: ask with Allow: refused.Offer, which is s3:GetObject on arn:aws:s3:::reports/* when StringLike s3:prefix 2026/*\n" +
				"  request id: 1",
		},
		{
			&Refused{Failure: Failure{"POLICY_DENIED", "no", RemedyGiveUp, ""}},
			"POLICY_DENIED: no\n  what to do: asking again in the same way will not help: ask the security team for an entitlement; " +
				"the request id leads them to the decision",
		},
		{
			&Refused{Failure: Failure{"INTENT_TOO_LARGE", "no", RemedySplit, ""}, Split: []Permissions{offer, offer}},
			"INTENT_TOO_LARGE: no\n  what to do: ask in 2 requests, one with each part of refused.Split",
		},
		{
			&InvalidRequest{Failure{"INVALID_REQUEST", "no", RemedyCorrect, ""}, []FieldViolation{{"intent", "is needed"}}},
			"INVALID_REQUEST: no\n  wrong: intent: is needed\n  what to do: correct the request and send it again",
		},
		{
			&InvalidRequest{
				Failure{"INVALID_REQUEST", "intent: is one of a, b, so nothing was granted", RemedyCorrect, ""},
				[]FieldViolation{{"intent", "is one of a"}, {"purpose", "is needed"}},
			},
			"INVALID_REQUEST: intent: is one of a, b, so nothing was granted\n  wrong: purpose: is needed\n" +
				"  what to do: correct the request and send it again",
		},
		{
			&ApprovalPending{
				Failure: Failure{"APPROVAL_PENDING", "wait", RemedyAskApproval, "1"}, Approval: "approvals/a",
				Groups: []string{"security", "legal"}, MinApprovers: 2, BySubject: true,
			},
			"APPROVAL_PENDING: wait\n  what to do: 2 of security or legal and the user in person must approve approvals/a; " +
				"then ask again with RequestID: \"1\"\n  request id: 1",
		},
		{
			&Unauthenticated{Failure{"ACTOR_REJECTED", "no", RemedyUnknown, ""}},
			"ACTOR_REJECTED: no\n  what to do: check this agent's certificate and key files, or its bearer token, " +
				"and that the gateway's port is the one for it: certificates have one port, bearer tokens another",
		},
		{
			&Unauthenticated{Failure{"SUBJECT_TOKEN_REJECTED", "no", RemedyUnknown, ""}},
			"SUBJECT_TOKEN_REJECTED: no\n  what to do: the user has to sign in again; SubjectToken may be a TokenFunc that returns a fresh token",
		},
		{&NotFound{Failure{"NOT_FOUND", "no", RemedyGiveUp, ""}}, "NOT_FOUND: no"},
		{taskOver(Failure{Reason: notLive, Message: "no"}, ""), "GRANT_NOT_LIVE: no\n  what to do: start another task"},
		{
			&Unavailable{Failure{"STS_UNAVAILABLE", "no", RemedyRetryLater, ""}, &second},
			"STS_UNAVAILABLE: no\n  what to do: nothing is wrong with the request: try again in 1 s",
		},
		{&GatewayFailure{Failure{"INTERNAL", "no", RemedyUnknown, ""}}, "INTERNAL: no"},
	} {
		equal(t, "told", row.failure.Error(), row.told)
	}
}

func TestManyFailuresAreCounted(t *testing.T) {
	refused := &Refused{Failure: Failure{Reason: "CEILING_EXCEEDED", Message: "no", Remedy: RemedyNarrow}}
	for i := range 7 {
		refused.Failures = append(refused.Failures, FailedPermission{"a", "b", "rule", fmt.Sprint(i)})
	}

	equal(t, "told", refused.Error(), "CEILING_EXCEEDED: no\n  stopped: a on b by rule: 0\n  stopped: a on b by rule: 1\n"+
		"  stopped: a on b by rule: 2\n  stopped: a on b by rule: 3\n  stopped: a on b by rule: 4\n"+
		"  stopped: 2 more, see Failures\n  what to do: ask for less, or set Narrow to get what may be had")
}

func TestASecretIsStarsInWhateverWay(t *testing.T) {
	secret := SecretOf("canary")

	text, err := json.Marshal(map[string]any{"secret": secret, "credentials": Credentials{SecretAccessKey: secret}})

	must(t, err)
	equal(t, "json", string(text), `{"credentials":{"AccessKeyID":"","SecretAccessKey":"***","SessionToken":"***",`+
		`"ExpireTime":"0001-01-01T00:00:00Z","Region":""},"secret":"***"}`)
	equal(t, "printed", fmt.Sprintf("%v %+v %#v %s %q %x", secret, secret, secret, secret, secret, secret), "*** *** *** *** *** ***")
	equal(t, "empty", Secret{}.Reveal(), "")
}
