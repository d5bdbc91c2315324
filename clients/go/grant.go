package remit

import (
	"strings"
	"time"
)

// GrantState is where a grant stands, such as ISSUED or REVOKED: the proto's GrantState without what all its names begin with.
type GrantState string

// States that a program may want to compare with.
const (
	GrantAuthorized      GrantState = "AUTHORIZED"
	GrantIssued          GrantState = "ISSUED"
	GrantFailed          GrantState = "FAILED"
	GrantRevoking        GrantState = "REVOKING"
	GrantRevoked         GrantState = "REVOKED"
	GrantExpired         GrantState = "EXPIRED"
	GrantPendingApproval GrantState = "PENDING_APPROVAL"
	GrantRefused         GrantState = "REFUSED"
	GrantLapsed          GrantState = "LAPSED"
	// GrantStateUnknown is one that this version of the client does not know.
	GrantStateUnknown GrantState = "UNKNOWN"
)

// Subject is the user whom the agent works for, as their OIDC issuer names them.
type Subject struct {
	Issuer string
	ID     string
}

// PolicySize is how much of STS's room a session policy takes: characters of 2,048, and packed percent where known.
type PolicySize struct {
	Characters    int
	PackedPercent *int
}

// Issuance is one set of credentials of a grant, without them.
type Issuance struct {
	AccessKeyID         string
	SessionPolicyDigest string
	PolicyRevision      string
	IssueTime           time.Time
	ExpireTime          time.Time
}

// Grant is the record of what was given: this task, subject and actor, exactly this session policy, until ExpireTime.
type Grant struct {
	Name    string
	TaskID  string
	Subject Subject
	Actor   string
	State   GrantState
	// SessionPolicy is the JSON that STS was given.
	SessionPolicy       string
	SessionPolicyDigest string
	Size                PolicySize
	RoleARN             string
	Entitlements        []string
	PolicyRevision      string
	CeilingDigest       string
	Issuances           []Issuance
	IssueTime           time.Time
	// From ExpireTime on AWS refuses the credentials.
	ExpireTime time.Time
	// RevokeTime is zero while the grant lives.
	RevokeTime time.Time
	// Unguarded names conditions that could not be guarded against resource policies which name the session.
	Unguarded      []string
	OutlivesTask   bool
	OfflineRenewal bool
	// Approval names what people said yes to, or review: with BreakGlass it was issued before they were asked.
	Approval   string
	BreakGlass bool
	// Parent names the grant within which this one lies, and with which it is revoked; empty when there is none.
	Parent string
}

// isHandedOn says whether it was given in a task that another agent handed on: it lies within a grant of that agent's.
func (g *Grant) isHandedOn() bool {
	return g.Parent != "" && !strings.HasPrefix(g.Parent, "tasks/"+g.TaskID+"/")
}

// Credentials are the AWS triple. ExpireTime is when it stops working, also where STS's own expiry is later.
type Credentials struct {
	AccessKeyID     string
	SecretAccessKey Secret
	SessionToken    Secret
	ExpireTime      time.Time
	Region          string
}

// issued is a grant with its credentials; issueTime is when STS was asked, by the gateway's clock.
type issued struct {
	grant       Grant
	credentials Credentials
	issueTime   time.Time
}

// TaskEnd says what ending a task did: Grants get no new credentials.
type TaskEnd struct {
	EndTime time.Time
	Grants  []string
	// What is out works until CredentialsUntil at the longest; zero when nothing is out.
	CredentialsUntil time.Time
	// Denying says that AWS is being told to refuse it before that, which takes it seconds.
	Denying bool
}

// Preview is what a task would get: exactly one of the two is set.
type Preview struct {
	WouldIssue *WouldIssue
	// WouldRefuse is the error that the request itself would return.
	WouldRefuse *Refused
}

// WouldIssue is a preview's yes: the session policy that would be given to STS, and what it would rest on.
type WouldIssue struct {
	SessionPolicy       string
	SessionPolicyDigest string
	Size                PolicySize
	RoleARN             string
	Entitlements        []string
	PolicyRevision      string
	ExpireTime          time.Time
	// NeedsApproval says that people would be asked first.
	NeedsApproval bool
}

// Identity is who is calling, as the gateway sees it, and for whom.
type Identity struct {
	Actor string
	// Subject is nil when no token came with the question.
	Subject *Subject
	Groups  []string
	// SubjectTokenExpireTime is zero when no token came with the question.
	SubjectTokenExpireTime time.Time
	PolicyRevision         string
	// Time is the gateway's.
	Time time.Time
}

// Decision is what an earlier request came to: exactly one of the two is set.
type Decision struct {
	// Grant stands as it does now.
	Grant   *Grant
	Refused *Refused
}

// DelegatedTask is a task under a task, for another agent: hand that agent its ID, the TaskID of its requests.
type DelegatedTask struct {
	ID string
	// EndTime is when it ends at the latest.
	EndTime time.Time
	// Depth is how many tasks there are above it: 1 or more.
	Depth int
}

// The kinds of event that matter to whoever holds credentials.
const (
	eventRevoked = "REVOKED"
	eventEnded   = "ENDED"
)

// taskEvent is one event of a task. No grants with a revoke or an end means all of the task's.
type taskEvent struct {
	kind   string
	grants []string
	cause  string
}
