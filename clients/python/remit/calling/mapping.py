"""Values to messages and back: the edge at which protobuf stops."""

from collections.abc import Iterable
from datetime import UTC, datetime

from google.protobuf.message import Message

from remit.calling.ask import Ask
from remit.calling.waiting import Answer, pending
from remit.errors import FailedPermission, GatewayFailure, Remedy
from remit.grant import (
    Credentials,
    Grant,
    GrantState,
    Issuance,
    Issued,
    PolicySize,
    Preview,
    Subject,
    TaskEnd,
    WouldIssue,
    WouldRefuse,
)
from remit.intent import Condition, Permission
from remit.secret import Secret
from remit.v1 import credential_service_pb2 as service
from remit.v1 import types_pb2

_REMEDIES: dict[int, Remedy] = {
    types_pb2.REMEDY_NARROW: Remedy.NARROW,
    types_pb2.REMEDY_ASK_APPROVAL: Remedy.ASK_APPROVAL,
    types_pb2.REMEDY_REAUTHENTICATE: Remedy.REAUTHENTICATE,
    types_pb2.REMEDY_SPLIT: Remedy.SPLIT,
    types_pb2.REMEDY_RETRY_LATER: Remedy.RETRY_LATER,
    types_pb2.REMEDY_GIVE_UP: Remedy.GIVE_UP,
}
_STATES: dict[int, GrantState] = {
    types_pb2.GRANT_STATE_AUTHORIZED: GrantState.AUTHORIZED,
    types_pb2.GRANT_STATE_ISSUED: GrantState.ISSUED,
    types_pb2.GRANT_STATE_FAILED: GrantState.FAILED,
    types_pb2.GRANT_STATE_REVOKING: GrantState.REVOKING,
    types_pb2.GRANT_STATE_REVOKED: GrantState.REVOKED,
    types_pb2.GRANT_STATE_EXPIRED: GrantState.EXPIRED,
    types_pb2.GRANT_STATE_PENDING_APPROVAL: GrantState.PENDING_APPROVAL,
    types_pb2.GRANT_STATE_REFUSED: GrantState.REFUSED,
    types_pb2.GRANT_STATE_LAPSED: GrantState.LAPSED,
}


def issue_request(
    ask: Ask, *, token: Secret[str], request_id: str, task_id: str | None
) -> Secret[service.IssueCredentialsRequest]:
    """Writes a request for credentials."""
    message = Secret(
        service.IssueCredentialsRequest(
            request_id=request_id, task_id=task_id or "", intent=intent_of(ask), narrow=ask.narrow
        )
    )
    if ask.duration is not None:
        message.reveal().requested_duration.FromTimedelta(ask.duration)
    message.reveal().subject_token = token.reveal()
    return message


def renew_request(grant: Grant, *, token: Secret[str], narrow: bool) -> Secret[service.RenewCredentialsRequest]:
    """Writes a request for new credentials of a grant; an empty token says that the user is not there."""
    message = Secret(service.RenewCredentialsRequest(name=grant.name, narrow=narrow))
    message.reveal().subject_token = token.reveal()
    return message


def preview_request(ask: Ask, *, token: Secret[str]) -> Secret[service.PreviewCredentialsRequest]:
    """Writes a request for a preview."""
    message = Secret(
        service.PreviewCredentialsRequest(task_id=ask.task_id or "", intent=intent_of(ask), narrow=ask.narrow)
    )
    if ask.duration is not None:
        message.reveal().requested_duration.FromTimedelta(ask.duration)
    message.reveal().subject_token = token.reveal()
    return message


def intent_of(ask: Ask) -> types_pb2.TaskIntent:
    """Writes an intent."""
    return types_pb2.TaskIntent(
        purpose=ask.purpose,
        permissions=[_permission_message(permission) for permission in ask.permissions],
        capabilities=[
            types_pb2.Capability(name=capability.name, parameters=dict(capability.parameters))
            for capability in ask.capabilities
        ],
        labels=ask.labels,
    )


def _permission_message(permission: Permission) -> types_pb2.Permission:
    """Writes a permission."""
    return types_pb2.Permission(
        actions=permission.actions,
        resources=permission.resources,
        conditions=[
            types_pb2.Condition(operator=condition.operator, key=condition.key, values=condition.values)
            for condition in permission.conditions
        ],
    )


def issued(response: Secret[Answer], request_id: str | None) -> Issued:
    """Reads what was issued, renewed or attenuated.

    Raises ApprovalPending when people have to approve it first, GatewayFailure for an answer that is not whole.
    """
    grant = grant_of(response.reveal().grant, request_id)
    if grant.state is GrantState.PENDING_APPROVAL:
        raise pending(response.reveal(), grant.task_id, request_id)
    given = Secret(response.reveal().credentials)
    if not (given.reveal().access_key_id and given.reveal().secret_access_key and given.reveal().session_token):
        raise not_understood("credentials that are not whole", request_id)
    credentials = Credentials(
        access_key_id=given.reveal().access_key_id,
        secret_access_key=given.reveal().secret_access_key,
        session_token=given.reveal().session_token,
        expire_time=_needed_time(given.reveal(), "expire_time", request_id),
        region=given.reveal().region or None,
    )
    latest = grant.issuances[-1].issue_time if grant.issuances else None
    return Issued(grant, credentials, issue_time=latest or grant.issue_time)


def preview(response: service.PreviewCredentialsResponse) -> Preview:
    """Reads a preview; raises GatewayFailure for an outcome that this version does not know."""
    match response.WhichOneof("outcome"):
        case "would_issue":
            yes = response.would_issue
            return WouldIssue(
                session_policy=yes.session_policy,
                session_policy_digest=yes.session_policy_digest,
                size=_size(yes.size),
                role_arn=yes.role_arn,
                entitlements=tuple(yes.entitlements),
                policy_revision=yes.policy_revision,
                expire_time=_needed_time(yes, "expire_time", None),
                needs_approval=yes.needs_approval,
            )
        case "would_refuse":
            return refusal_of(response.would_refuse)
        case _:
            raise not_understood("a preview of an unknown kind", None)


def refusal_of(no: service.PreviewedRefusal) -> WouldRefuse:
    """Reads a refusal that is an answer."""
    return WouldRefuse(
        reason=no.reason,
        message=no.message,
        remedy=remedy(no.refusal.remedy),
        failures=failures(no.refusal.failures),
        offer=permissions(no.refusal.offer),
        split=tuple(permissions(part.permissions) for part in no.refusal.split),
    )


def task_end(response: service.EndTaskResponse) -> TaskEnd:
    """Reads what ending a task did."""
    return TaskEnd(
        end_time=_needed_time(response, "end_time", None),
        grants=tuple(response.grants),
        credentials_until=time_of(response, "credentials_until"),
        denying=response.denying,
    )


def remedy(value: int) -> Remedy:
    """Reads a remedy."""
    return _REMEDIES.get(value, Remedy.UNKNOWN)


def failures(messages: Iterable[types_pb2.FailedPermission]) -> tuple[FailedPermission, ...]:
    """Reads the permissions that were stopped."""
    return tuple(FailedPermission(item.action, item.resource, item.rule, item.message) for item in messages)


def permissions(messages: Iterable[types_pb2.Permission]) -> tuple[Permission, ...]:
    """Reads permissions."""
    return tuple(
        Permission(
            actions=tuple(item.actions),
            resources=tuple(item.resources),
            conditions=tuple(
                Condition(condition.operator, condition.key, tuple(condition.values)) for condition in item.conditions
            ),
        )
        for item in messages
    )


def grant_of(message: types_pb2.Grant, request_id: str | None) -> Grant:
    """Reads a grant; raises GatewayFailure when it belongs to no task."""
    if not message.task_id:
        raise not_understood("a grant of no task", request_id)
    return Grant(
        name=message.name,
        task_id=message.task_id,
        subject=Subject(message.subject.issuer, message.subject.id),
        actor=message.actor,
        state=_STATES.get(message.state, GrantState.UNKNOWN),
        session_policy=message.session_policy,
        session_policy_digest=message.session_policy_digest,
        size=_size(message.size),
        role_arn=message.role_arn,
        entitlements=tuple(message.entitlements),
        policy_revision=message.policy_revision,
        ceiling_digest=message.ceiling_digest,
        issuances=tuple(_issuance(item) for item in message.issuances),
        issue_time=time_of(message, "issue_time"),
        expire_time=_needed_time(message, "expire_time", request_id),
        revoke_time=time_of(message, "revoke_time"),
        unguarded=tuple(message.unguarded),
        outlives_task=message.outlives_task,
        offline_renewal=message.offline_renewal,
        approval=message.approval or None,
        break_glass=message.break_glass,
        parent=message.parent or None,
    )


def _issuance(message: types_pb2.Issuance) -> Issuance:
    """Reads an issuance."""
    return Issuance(
        access_key_id=message.access_key_id,
        session_policy_digest=message.session_policy_digest,
        policy_revision=message.policy_revision,
        issue_time=time_of(message, "issue_time"),
        expire_time=time_of(message, "expire_time"),
    )


def _size(message: types_pb2.PolicySize) -> PolicySize:
    """Reads a size."""
    return PolicySize(message.characters, message.packed_percent if message.HasField("packed_percent") else None)


def time_of(message: Message, field: str) -> datetime | None:
    """Reads a field as an aware UTC datetime; None when it is unset or holds no time."""
    if not message.HasField(field):
        return None
    try:
        time: datetime = getattr(message, field).ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return time


def _needed_time(message: Message, field: str, request_id: str | None) -> datetime:
    """Reads a time that an answer cannot do without; raises GatewayFailure."""
    time = time_of(message, field)
    if time is None:
        raise not_understood(f"no usable {field}", request_id)
    return time


def not_understood(what: str, request_id: str | None) -> GatewayFailure:
    """Returns the error for an answer that breaks the API."""
    return GatewayFailure(
        f"the gateway answered with {what}: is this client older or newer than it?",
        reason="ANSWER_NOT_UNDERSTOOD",
        request_id=request_id,
    )
