"""Messages to domain values and back: the edge at which protobuf stops."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration

from remit.v1 import credential_service_pb2 as service
from remit.v1 import types_pb2
from remit_server.application.approvals.ask_approval import Pending
from remit_server.application.issuing.handing_out import Issued
from remit_server.application.issuing.preview_credentials import WouldIssue, WouldRefuse
from remit_server.application.issuing.requests import Ask, IssueRequest
from remit_server.application.lifecycle.renew_credentials import Renewed
from remit_server.application.lifecycle.renewals import RenewRequest
from remit_server.application.lifecycle.watch_task import LONGEST_GRACE, SHORTEST_GRACE
from remit_server.application.ports import EndedTask
from remit_server.domain.credentials import Credentials
from remit_server.domain.errors import Denied, FieldViolation, InvalidRequest
from remit_server.domain.grant import Grant, GrantState
from remit_server.domain.identity import Admitted
from remit_server.domain.permission import Permission
from remit_server.domain.revocation import Effective, RevokeCause
from remit_server.domain.secret import Secret
from remit_server.domain.task import Capability, GrantId, TaskId, TaskIntent
from remit_server.domain.task_event import TaskEvent, TaskEventKind
from remit_server.iam import ActionPattern, Condition, ResourcePattern
from remit_server.transport.grpc.approval_mapping import APPROVAL_STATES, approval_message
from remit_server.transport.grpc.status import permission_message, refusal_message
from remit_server.transport.grpc.times import write_time

T = TypeVar("T")
MAX_DURATION = timedelta(days=7)

_STATES = {
    GrantState.AUTHORIZED: types_pb2.GRANT_STATE_AUTHORIZED,
    GrantState.ISSUED: types_pb2.GRANT_STATE_ISSUED,
    GrantState.FAILED: types_pb2.GRANT_STATE_FAILED,
    GrantState.REVOKING: types_pb2.GRANT_STATE_REVOKING,
    GrantState.REVOKED: types_pb2.GRANT_STATE_REVOKED,
    GrantState.EXPIRED: types_pb2.GRANT_STATE_EXPIRED,
    GrantState.PENDING_APPROVAL: types_pb2.GRANT_STATE_PENDING_APPROVAL,
    GrantState.REFUSED: types_pb2.GRANT_STATE_REFUSED,
    GrantState.LAPSED: types_pb2.GRANT_STATE_LAPSED,
}
_CAUSES = {
    RevokeCause.REQUESTED: types_pb2.REVOKE_CAUSE_REQUESTED,
    RevokeCause.TASK_ENDED: types_pb2.REVOKE_CAUSE_TASK_ENDED,
    RevokeCause.LEASE_LOST: types_pb2.REVOKE_CAUSE_LEASE_LOST,
    RevokeCause.SECURITY_EVENT: types_pb2.REVOKE_CAUSE_SECURITY_EVENT,
    RevokeCause.ROLLBACK: types_pb2.REVOKE_CAUSE_ROLLBACK,
    RevokeCause.ORPHANED: types_pb2.REVOKE_CAUSE_ORPHANED,
    RevokeCause.REVIEW: types_pb2.REVOKE_CAUSE_REVIEW,
}
_EVENT_KINDS = {
    TaskEventKind.HEARTBEAT: service.TASK_EVENT_KIND_HEARTBEAT,
    TaskEventKind.ISSUED: service.TASK_EVENT_KIND_ISSUED,
    TaskEventKind.RENEWED: service.TASK_EVENT_KIND_RENEWED,
    TaskEventKind.NARROWED: service.TASK_EVENT_KIND_NARROWED,
    TaskEventKind.REVOKED: service.TASK_EVENT_KIND_REVOKED,
    TaskEventKind.APPROVAL_DECIDED: service.TASK_EVENT_KIND_APPROVAL_DECIDED,
    TaskEventKind.ENDED: service.TASK_EVENT_KIND_ENDED,
}
_EFFECTIVE = {
    Effective.OBSERVED: types_pb2.REVOCATION_EFFECTIVE_OBSERVED,
    Effective.ASSUMED: types_pb2.REVOCATION_EFFECTIVE_ASSUMED,
}


def issue_request(message: service.IssueCredentialsRequest, by: Admitted) -> IssueRequest:
    """Reads an issue request; raises InvalidRequest naming field and rule."""
    ask = _ask(message, by, requested=message.requested_duration)
    return IssueRequest(request_id=message.request_id.lower(), ask=ask)


def renew_request(message: service.RenewCredentialsRequest, by: Admitted) -> RenewRequest:
    """Reads a wish for new credentials of a grant; raises InvalidRequest naming field and rule."""
    _, task_id, _, grant_id = message.name.split("/")
    return RenewRequest(
        by=by,
        task_id=TaskId(task_id),
        grant_id=GrantId(grant_id),
        unverified_subject_token=Secret(message.subject_token),
        requested_duration=requested_duration(message),
        narrow=message.narrow,
    )


def preview_request(message: service.PreviewCredentialsRequest, by: Admitted) -> Ask:
    """Reads a preview request; raises InvalidRequest naming field and rule."""
    return _ask(message, by, requested=message.requested_duration)


def _ask(
    message: service.IssueCredentialsRequest | service.PreviewCredentialsRequest, by: Admitted, *, requested: Duration
) -> Ask:
    """Reads what both have in common."""
    return Ask(
        by=by,
        unverified_subject_token=Secret(message.subject_token),
        task_id=TaskId(message.task_id) if message.task_id else None,
        intent=task_intent(message.intent),
        requested_duration=_duration(requested) if message.HasField("requested_duration") else None,
        narrow=message.narrow,
    )


def task_intent(message: types_pb2.TaskIntent) -> TaskIntent:
    """Reads an intent, every pattern of it once; raises InvalidRequest naming field and rule."""
    if not message.purpose.isprintable():
        raise InvalidRequest([FieldViolation("intent.purpose", "must not hold control characters")])
    if not all(value.isprintable() for value in message.labels.values()):
        raise InvalidRequest([FieldViolation("intent.labels[*]", "must not hold control characters")])
    return TaskIntent(
        purpose=message.purpose,
        permissions=tuple(
            _permission(permission, f"intent.permissions[{index}]")
            for index, permission in enumerate(message.permissions)
        ),
        capabilities=tuple(Capability(item.name, dict(item.parameters)) for item in message.capabilities),
        labels=dict(message.labels),
    )


def _permission(message: types_pb2.Permission, path: str) -> Permission:
    """Reads one permission."""
    return Permission(
        actions=_parsed(ActionPattern.parse, message.actions, f"{path}.actions"),
        resources=_parsed(ResourcePattern.parse, message.resources, f"{path}.resources"),
        conditions=_parsed(_condition, message.conditions, f"{path}.conditions"),
    )


def _condition(message: types_pb2.Condition) -> Condition:
    """Reads one condition; policy variables are never a caller's to use."""
    if any("${" in value for value in message.values):
        raise ValueError("must not hold a policy variable")
    return Condition(message.operator, message.key, tuple(message.values))


def _parsed(parse: Callable[..., T], items: Iterable[object], path: str) -> tuple[T, ...]:
    """Parses each item; a parser's ValueError names the rule, and the path says where."""
    parsed = []
    for index, item in enumerate(items):
        try:
            parsed.append(parse(item))
        except ValueError as error:
            raise InvalidRequest([FieldViolation(f"{path}[{index}]", str(error))]) from error
    return tuple(parsed)


def requested_duration(
    message: service.RenewCredentialsRequest | service.AttenuateCredentialsRequest,
) -> timedelta | None:
    """Reads how long credentials are to work, where that is said; raises InvalidRequest."""
    return _duration(message.requested_duration) if message.HasField("requested_duration") else None


def _duration(message: Duration) -> timedelta:
    """Reads a lifetime, which is whole seconds of at most a week."""
    longest = int(MAX_DURATION.total_seconds())
    if message.nanos or not 0 < message.seconds <= longest:
        rule = f"must be whole seconds between 15 and {longest}"
        raise InvalidRequest([FieldViolation("requested_duration", rule)])
    return timedelta(seconds=message.seconds)


def issue_response(issued: Issued | Pending) -> service.IssueCredentialsResponse:
    """Writes what an issue request gets: credentials, or what is waited for."""
    if isinstance(issued, Pending):
        return service.IssueCredentialsResponse(
            grant=grant_message(issued.grant), approval=approval_message(issued.approval)
        )
    credentials = credentials_message(issued.credentials, issued.grant.region)
    return service.IssueCredentialsResponse(grant=grant_message(issued.grant), credentials=credentials)


def renew_response(renewed: Renewed) -> service.RenewCredentialsResponse:
    """Writes what a renewal gets."""
    credentials = credentials_message(renewed.credentials, renewed.grant.region)
    return service.RenewCredentialsResponse(
        grant=grant_message(renewed.grant), credentials=credentials, narrowed=renewed.narrowed
    )


def credentials_message(credentials: Credentials, region: str) -> types_pb2.AwsCredentials:
    """Writes credentials."""
    message = types_pb2.AwsCredentials(
        access_key_id=credentials.access_key_id,
        secret_access_key=credentials.secret_access_key.reveal(),
        session_token=credentials.session_token.reveal(),
        region=region,
    )
    write_time(message.expire_time, credentials.expire_time)
    return message


def preview_response(outcome: WouldIssue | WouldRefuse) -> service.PreviewCredentialsResponse:
    """Writes what would happen."""
    match outcome:
        case WouldIssue(plan=plan, policy_revision=revision):
            would_issue = service.PreviewedGrant(
                session_policy=plan.session_policy,
                session_policy_digest=plan.session_policy_digest,
                size=types_pb2.PolicySize(characters=len(plan.session_policy)),
                role_arn=plan.role.arn,
                entitlements=plan.entitlements,
                policy_revision=revision,
                needs_approval=plan.approval is not None,
            )
            write_time(would_issue.expire_time, plan.expire_time)
            return service.PreviewCredentialsResponse(would_issue=would_issue)
        case WouldRefuse(denied=denied):
            return service.PreviewCredentialsResponse(would_refuse=previewed_refusal(denied))


def previewed_refusal(denied: Denied) -> service.PreviewedRefusal:
    """Writes a refusal that is an answer."""
    refusal = refusal_message(denied)
    return service.PreviewedRefusal(reason=denied.reason.value, message=denied.message, refusal=refusal)


def disconnect_grace(message: service.WatchTaskRequest) -> timedelta | None:
    """Reads the lease that a task is to have; None leaves it as it is. Raises InvalidRequest."""
    if not message.HasField("disconnect_grace"):
        return None
    wanted = message.disconnect_grace
    shortest, longest = int(SHORTEST_GRACE.total_seconds()), int(LONGEST_GRACE.total_seconds())
    if wanted.nanos or not shortest <= wanted.seconds <= longest:
        raise InvalidRequest(
            [FieldViolation("disconnect_grace", f"must be whole seconds between {shortest} and {longest}")]
        )
    return timedelta(seconds=wanted.seconds)


def watch_response(event: TaskEvent) -> service.WatchTaskResponse:
    """Writes one event of a task."""
    message = service.WatchTaskResponse(
        kind=_EVENT_KINDS[event.kind],
        grants=event.grants,
        approval=f"approvals/{event.approval_id}" if event.approval_id else "",
    )
    if event.approval_state is not None:
        message.approval_state = APPROVAL_STATES[event.approval_state]
    if event.cause is not None:
        message.cause = _CAUSES[event.cause]
    write_time(message.time, event.time)
    if event.lease_expire_time is not None:
        write_time(message.lease_expire_time, event.lease_expire_time)
    return message


def end_response(ended: EndedTask) -> service.EndTaskResponse:
    """Writes what ending a task did."""
    message = service.EndTaskResponse(grants=ended.grants, denying=ended.denying)
    write_time(message.end_time, ended.end_time)
    if ended.credentials_until is not None:
        write_time(message.credentials_until, ended.credentials_until)
    return message


def grant_message(grant: Grant) -> types_pb2.Grant:
    """Writes a grant, which holds no secret."""
    message = types_pb2.Grant(
        name=grant.name,
        task_id=grant.task_id,
        subject=types_pb2.Subject(issuer=grant.subject_issuer, id=grant.subject_id),
        actor=grant.actor_id,
        state=_STATES[grant.state],
        session_policy=grant.session_policy,
        session_policy_digest=grant.session_policy_digest,
        size=types_pb2.PolicySize(characters=grant.size, packed_percent=_packed_percent(grant)),
        role_arn=grant.role_arn,
        entitlements=grant.entitlements,
        policy_revision=grant.policy_revision,
        ceiling_digest=grant.ceiling_digest,
        unguarded=grant.unguarded,
        outlives_task=grant.outlives_task,
        intent=None if grant.intent is None else intent_message(grant.intent),
        approval=f"approvals/{grant.approval_id}" if grant.approval_id else "",
        break_glass=grant.break_glass,
        offline_renewal=grant.offline_renewal,
        parent=grant.parent_name or "",
    )
    for issuance in grant.issuances:
        item = message.issuances.add(
            access_key_id=issuance.access_key_id,
            session_policy_digest=issuance.session_policy_digest,
            policy_revision=issuance.policy_revision,
        )
        write_time(item.issue_time, issuance.issue_time)
        write_time(item.expire_time, issuance.expire_time)
    write_time(message.issue_time, grant.issue_time)
    write_time(message.expire_time, grant.expire_time)
    _write_revoke(message, grant)
    return message


def _write_revoke(message: types_pb2.Grant, grant: Grant) -> None:
    """Writes what is known of a grant's revoke and of its effect."""
    if grant.revoke_time is not None:
        write_time(message.revoke_time, grant.revoke_time)
    if grant.revoke_cause is not None:
        message.revoke_cause = _CAUSES[grant.revoke_cause]
    if grant.effective_time is not None and grant.effective is not None:
        write_time(message.revocation_effective_time, grant.effective_time)
        message.revocation_effective = _EFFECTIVE[grant.effective]


def intent_message(intent: TaskIntent) -> types_pb2.TaskIntent:
    """Writes what a task declared that it needs."""
    return types_pb2.TaskIntent(
        purpose=intent.purpose,
        permissions=[permission_message(permission) for permission in intent.permissions],
        capabilities=[
            types_pb2.Capability(name=item.name, parameters=dict(item.parameters)) for item in intent.capabilities
        ],
        labels=dict(intent.labels),
    )


def _packed_percent(grant: Grant) -> int | None:
    """Returns STS's own figure of the latest issuance, when it gave one."""
    return grant.issuances[-1].packed_policy_percent if grant.issuances else None
