package remit

import (
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	remitv1 "remit.dev/go/remit/v1"
)

func intentMessage(purpose string, labels map[string]string, n needs) *remitv1.TaskIntent {
	intent := &remitv1.TaskIntent{Purpose: purpose, Labels: labels}
	for _, permission := range n.permissions {
		message := &remitv1.Permission{Actions: permission.Actions, Resources: permission.Resources}
		for _, condition := range permission.Conditions {
			message.Conditions = append(message.Conditions, &remitv1.Condition{
				Operator: condition.Operator, Key: condition.Key, Values: condition.Values,
			})
		}
		intent.Permissions = append(intent.Permissions, message)
	}
	for _, capability := range n.capabilities {
		intent.Capabilities = append(intent.Capabilities, &remitv1.Capability{
			Name: capability.Name, Parameters: capability.Parameters,
		})
	}
	return intent
}

// durationMessage writes a duration; 0 is none.
func durationMessage(duration time.Duration) *durationpb.Duration {
	if duration == 0 {
		return nil
	}
	return durationpb.New(duration)
}

// given is what an answer with credentials has.
type given interface {
	GetGrant() *remitv1.Grant
	GetCredentials() *remitv1.AwsCredentials
}

// issuedOf reads what was issued; ApprovalPending when people have to approve it first, GatewayFailure for an answer that is not
// whole.
func issuedOf(response given, requestID string) (*issued, error) {
	grant, err := grantOf(response.GetGrant(), requestID)
	if err != nil {
		return nil, err
	}
	if grant.State == GrantPendingApproval {
		return nil, pendingOf(response, grant.TaskID, requestID)
	}
	message := response.GetCredentials()
	if message.GetAccessKeyId() == "" || message.GetSecretAccessKey() == "" || message.GetSessionToken() == "" {
		return nil, notUnderstood("credentials that are not whole", requestID)
	}
	expireTime := timeOf(message.GetExpireTime())
	if expireTime.IsZero() {
		return nil, notUnderstood("no usable expire_time", requestID)
	}
	issueTime := grant.IssueTime
	if count := len(grant.Issuances); count > 0 && !grant.Issuances[count-1].IssueTime.IsZero() {
		issueTime = grant.Issuances[count-1].IssueTime
	}
	return &issued{grant: *grant, issueTime: issueTime, credentials: Credentials{
		AccessKeyID:     message.GetAccessKeyId(),
		SecretAccessKey: SecretOf(message.GetSecretAccessKey()),
		SessionToken:    SecretOf(message.GetSessionToken()),
		ExpireTime:      expireTime,
		Region:          message.GetRegion(),
	}}, nil
}

// pendingOf reads what is waited for.
func pendingOf(response given, taskID, requestID string) *ApprovalPending {
	var waits *remitv1.Approval
	if message, ok := response.(*remitv1.IssueCredentialsResponse); ok {
		waits = message.GetApproval()
	}
	return &ApprovalPending{
		Failure: Failure{
			Reason:    "APPROVAL_PENDING",
			Message:   "people have to approve this before credentials are issued",
			Remedy:    RemedyAskApproval,
			RequestID: requestID,
		},
		Approval:     waits.GetName(),
		TaskID:       taskID,
		Digest:       waits.GetDigest(),
		Groups:       waits.GetGroups(),
		MinApprovers: int(waits.GetMinApprovers()),
		BySubject:    waits.GetBySubject(),
		LapseTime:    timeOf(waits.GetLapseTime()),
	}
}

// grantOf reads a grant; GatewayFailure when it belongs to no task.
func grantOf(message *remitv1.Grant, requestID string) (*Grant, error) {
	if message.GetTaskId() == "" {
		return nil, notUnderstood("a grant of no task", requestID)
	}
	expireTime := timeOf(message.GetExpireTime())
	if expireTime.IsZero() {
		return nil, notUnderstood("no usable expire_time", requestID)
	}
	issuances := make([]Issuance, len(message.GetIssuances()))
	for i, item := range message.GetIssuances() {
		issuances[i] = Issuance{
			AccessKeyID:         item.GetAccessKeyId(),
			SessionPolicyDigest: item.GetSessionPolicyDigest(),
			PolicyRevision:      item.GetPolicyRevision(),
			IssueTime:           timeOf(item.GetIssueTime()),
			ExpireTime:          timeOf(item.GetExpireTime()),
		}
	}
	return &Grant{
		Name:                message.GetName(),
		TaskID:              message.GetTaskId(),
		Subject:             Subject{message.GetSubject().GetIssuer(), message.GetSubject().GetId()},
		Actor:               message.GetActor(),
		State:               GrantState(nameOf(message.GetState(), "GRANT_STATE_")),
		SessionPolicy:       message.GetSessionPolicy(),
		SessionPolicyDigest: message.GetSessionPolicyDigest(),
		Size:                sizeOf(message.GetSize()),
		RoleARN:             message.GetRoleArn(),
		Entitlements:        message.GetEntitlements(),
		PolicyRevision:      message.GetPolicyRevision(),
		CeilingDigest:       message.GetCeilingDigest(),
		Issuances:           issuances,
		IssueTime:           timeOf(message.GetIssueTime()),
		ExpireTime:          expireTime,
		RevokeTime:          timeOf(message.GetRevokeTime()),
		Unguarded:           message.GetUnguarded(),
		OutlivesTask:        message.GetOutlivesTask(),
		OfflineRenewal:      message.GetOfflineRenewal(),
		Approval:            message.GetApproval(),
		BreakGlass:          message.GetBreakGlass(),
		Parent:              message.GetParent(),
	}, nil
}

func sizeOf(message *remitv1.PolicySize) PolicySize {
	size := PolicySize{Characters: int(message.GetCharacters())}
	if message != nil && message.PackedPercent != nil {
		percent := int(message.GetPackedPercent())
		size.PackedPercent = &percent
	}
	return size
}

// previewOf reads a preview; GatewayFailure for an outcome that this version does not know.
func previewOf(response *remitv1.PreviewCredentialsResponse) (*Preview, error) {
	switch outcome := response.GetOutcome().(type) {
	case *remitv1.PreviewCredentialsResponse_WouldIssue:
		yes := outcome.WouldIssue
		expireTime := timeOf(yes.GetExpireTime())
		if expireTime.IsZero() {
			return nil, notUnderstood("no usable expire_time", "")
		}
		return &Preview{WouldIssue: &WouldIssue{
			SessionPolicy:       yes.GetSessionPolicy(),
			SessionPolicyDigest: yes.GetSessionPolicyDigest(),
			Size:                sizeOf(yes.GetSize()),
			RoleARN:             yes.GetRoleArn(),
			Entitlements:        yes.GetEntitlements(),
			PolicyRevision:      yes.GetPolicyRevision(),
			ExpireTime:          expireTime,
			NeedsApproval:       yes.GetNeedsApproval(),
		}}, nil
	case *remitv1.PreviewCredentialsResponse_WouldRefuse:
		return &Preview{WouldRefuse: refusedOf(outcome.WouldRefuse, "")}, nil
	default:
		return nil, notUnderstood("a preview of an unknown kind", "")
	}
}

// decisionOf reads what a request came to; GatewayFailure for an outcome that this version does not know.
func decisionOf(response *remitv1.GetDecisionResponse, requestID string) (*Decision, error) {
	switch outcome := response.GetOutcome().(type) {
	case *remitv1.GetDecisionResponse_Grant:
		grant, err := grantOf(outcome.Grant, requestID)
		if err != nil {
			return nil, err
		}
		return &Decision{Grant: grant}, nil
	case *remitv1.GetDecisionResponse_Refusal:
		return &Decision{Refused: refusedOf(outcome.Refusal, requestID)}, nil
	default:
		return nil, notUnderstood("a decision of an unknown kind", requestID)
	}
}

// refusedOf reads a refusal that is an answer.
func refusedOf(message *remitv1.PreviewedRefusal, requestID string) *Refused {
	failure := Failure{
		Reason:    message.GetReason(),
		Message:   message.GetMessage(),
		Remedy:    remedyOf(message.GetRefusal().GetRemedy()),
		RequestID: requestID,
	}
	return refusedWith(failure, message.GetRefusal())
}

func refusedWith(failure Failure, refusal *remitv1.Refusal) *Refused {
	refused := &Refused{Failure: failure, Offer: permissionsOf(refusal.GetOffer())}
	for _, item := range refusal.GetFailures() {
		refused.Failures = append(refused.Failures, FailedPermission{
			item.GetAction(), item.GetResource(), item.GetRule(), item.GetMessage(),
		})
	}
	for _, part := range refusal.GetSplit() {
		refused.Split = append(refused.Split, permissionsOf(part.GetPermissions()))
	}
	return refused
}

func permissionsOf(messages []*remitv1.Permission) Permissions {
	var permissions Permissions
	for _, item := range messages {
		permission := Permission{Actions: item.GetActions(), Resources: item.GetResources()}
		for _, condition := range item.GetConditions() {
			permission.Conditions = append(permission.Conditions, Condition{
				condition.GetOperator(), condition.GetKey(), condition.GetValues(),
			})
		}
		permissions = append(permissions, permission)
	}
	return permissions
}

func remedyOf(remedy remitv1.Remedy) Remedy { return Remedy(nameOf(remedy, "REMEDY_")) }

func taskEndOf(response *remitv1.EndTaskResponse) (*TaskEnd, error) {
	endTime := timeOf(response.GetEndTime())
	if endTime.IsZero() {
		return nil, notUnderstood("no usable end_time", "")
	}
	return &TaskEnd{
		EndTime:          endTime,
		Grants:           response.GetGrants(),
		CredentialsUntil: timeOf(response.GetCredentialsUntil()),
		Denying:          response.GetDenying(),
	}, nil
}

func taskEventOf(message *remitv1.WatchTaskResponse) taskEvent {
	event := taskEvent{kind: nameOf(message.GetKind(), "TASK_EVENT_KIND_"), grants: message.GetGrants()}
	if message.GetCause() != 0 {
		event.cause = nameOf(message.GetCause(), "REVOKE_CAUSE_")
	}
	return event
}

func identityOf(response *remitv1.GetCallerIdentityResponse) *Identity {
	identity := &Identity{
		Actor:                  response.GetActor(),
		Groups:                 response.GetGroups(),
		SubjectTokenExpireTime: timeOf(response.GetSubjectTokenExpireTime()),
		PolicyRevision:         response.GetPolicyRevision(),
		Time:                   timeOf(response.GetTime()),
	}
	if subject := response.GetSubject(); subject != nil {
		identity.Subject = &Subject{subject.GetIssuer(), subject.GetId()}
	}
	return identity
}

// nameOf returns the name of an enum's value without what all its names begin with; UNKNOWN for the first, which is never sent, and
// for one of a newer gateway.
func nameOf(value protoreflect.Enum, prefix string) string {
	known := value.Descriptor().Values().ByNumber(value.Number())
	if known == nil || value.Number() == 0 {
		return string(RemedyUnknown)
	}
	return strings.TrimPrefix(string(known.Name()), prefix)
}

// timeOf reads a time; zero when it is unset or holds none.
func timeOf(stamp *timestamppb.Timestamp) time.Time {
	if !stamp.IsValid() {
		return time.Time{}
	}
	return stamp.AsTime()
}
