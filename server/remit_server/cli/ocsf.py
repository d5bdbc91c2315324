"""Audit records as events of the Open Cybersecurity Schema Framework, version 1.3.0 (https://schema.ocsf.io/1.3.0).

Every call and what came of it is API Activity; what a session may do, Authorize Session; callers who did not prove who
they are, Authentication; a user who is shut out or let in again, Account Change. `raw_data` is the record as the chain
holds it, so nothing is lost in translation and the chain can be verified from an export.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from remit_server.domain.audit import ChainedEvent

VERSION: Final = "1.3.0"
API_ACTIVITY, AUTHENTICATION, ACCOUNT_CHANGE, AUTHORIZE_SESSION = 6003, 3002, 3001, 3003
CREATE, READ, UPDATE, DELETE, OTHER = 1, 2, 3, 4, 99
LOGON, ASSIGN_PRIVILEGES, ENABLE, DISABLE = 1, 1, 2, 5
INFORMATIONAL, LOW, MEDIUM, HIGH = 1, 2, 3, 4
SUCCESS, FAILURE = 1, 2
Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """What a kind of record is to a SIEM: an operation, what it does to things, and how much it matters."""

    name: str
    activity: int
    severity: int = INFORMATIONAL
    status: int = SUCCESS


# Kinds that are not listed are named by themselves: a later kind is exported, too, as Other.
OPERATIONS: Final[Mapping[str, Operation]] = {
    "approval_asked": Operation("AskApproval", CREATE),
    "approval_closed": Operation("CloseApproval", UPDATE),
    "approval_decided": Operation("DecideApproval", UPDATE, LOW),
    "block_lifted": Operation("RemoveBlock", DELETE, MEDIUM),
    "credentials_issued": Operation("IssueCredentials", CREATE),
    "credentials_renewed": Operation("RenewCredentials", UPDATE),
    "denial_effective": Operation("DenyAtAws", UPDATE),
    "denial_without_room": Operation("DenyAtAws", UPDATE, HIGH, FAILURE),
    "gateway_started": Operation("StartGateway", CREATE, LOW),
    "grant_expired": Operation("ExpireGrant", DELETE),
    "grant_withheld": Operation("WithholdCredentials", DELETE, MEDIUM),
    "grants_revoked": Operation("RevokeGrants", DELETE, MEDIUM),
    "issuance_failed": Operation("IssueCredentials", CREATE, LOW, FAILURE),
    "policy_confirmed": Operation("ConfirmPolicy", UPDATE, LOW),
    "policy_unconfirmed": Operation("ConfirmPolicy", UPDATE, HIGH, FAILURE),
    "preview_decided": Operation("PreviewCredentials", READ),
    "renewal_failed": Operation("RenewCredentials", UPDATE, LOW, FAILURE),
    "request_refused": Operation("IssueCredentials", CREATE, LOW, FAILURE),
    "revision_activated": Operation("ActivateRevision", UPDATE, MEDIUM),
    "revision_published": Operation("PublishRevision", CREATE, LOW),
    "revision_refused": Operation("PublishRevision", CREATE, MEDIUM, FAILURE),
    "revocation_policy_changed": Operation("DenyAtAws", UPDATE, MEDIUM),
    "revocation_policy_foreign": Operation("DenyAtAws", UPDATE, HIGH, FAILURE),
    "security_event_received": Operation("ReceiveSecurityEvent", UPDATE, MEDIUM),
    "sessions_denied": Operation("DenyAtAws", CREATE),
    "task_delegated": Operation("DelegateTask", CREATE),
    "task_ended": Operation("EndTask", DELETE),
    "task_started": Operation("StartTask", CREATE),
    "texts_erased": Operation("EraseTexts", DELETE, LOW),
}
_AUTHORIZED: Final = frozenset({"grant_authorized", "renewal_authorized", "attenuation_authorized"})
_READS: Final = ("Get", "List", "Watch", "Verify", "Check", "Simulate", "Replay")


def ocsf_of(event: "ChainedEvent") -> dict[str, Any]:
    """Returns a record of the chain as one OCSF event."""
    record: Record = json.loads(event.body_text)
    if event.kind == "callers_rejected":
        return _base(event, AUTHENTICATION, LOGON, _rejected(record))
    if event.kind in _AUTHORIZED:
        return _base(event, AUTHORIZE_SESSION, ASSIGN_PRIVILEGES, _authorized(record))
    if record.get("target") == "SUBJECT" and (event.kind == "block_lifted" or record.get("block") is True):
        activity = ENABLE if event.kind == "block_lifted" else DISABLE
        return _base(event, ACCOUNT_CHANGE, activity, _shut_out(record))
    if event.kind == "operator_called":
        return _called(event, record)
    operation = OPERATIONS.get(event.kind, Operation(event.kind, OTHER))
    return _base(event, API_ACTIVITY, operation.activity, _activity(record, operation))


def _base(event: "ChainedEvent", class_uid: int, activity: int, particulars: dict[str, Any]) -> dict[str, Any]:
    """Returns an event with what every class asks for."""
    return {
        "activity_id": activity,
        "category_uid": class_uid // 1000,
        "class_uid": class_uid,
        "type_uid": class_uid * 100 + activity,
        "time": int(event.time.timestamp() * 1000),
        "severity_id": INFORMATIONAL,
        "status_id": SUCCESS,
        "metadata": {
            "version": VERSION,
            "product": {"name": "Remit", "vendor_name": "Remit", "version": version("remit")},
            "uid": event.event_hash,
            "sequence": event.sequence,
            "event_code": event.kind,
            "log_name": "remit.audit",
        },
        "raw_data": event.body_text,
        **particulars,
    }


def _activity(record: Record, operation: Operation) -> dict[str, Any]:
    """Returns what API Activity (6003) asks for: who, what, from where, on what."""
    who = record.get("who") or {}
    told: dict[str, Any] = {
        "actor": _actor(record, who),
        "api": {"operation": _method(record, operation), "service": {"name": "remit.v1"}},
        "src_endpoint": _endpoint(who.get("peer") or record.get("peer")),
        "severity_id": operation.severity,
        "status_id": operation.status,
        "resources": _resources(record),
    }
    if detail := record.get("reason") or record.get("message") or record.get("why"):
        told["status_detail"] = str(detail)
    return told


def _method(record: Record, operation: Operation) -> str:
    """Returns the operation: a refused request says itself which it was."""
    method = record.get("method")
    return str(method) if method else operation.name


def _actor(record: Record, who: Record) -> dict[str, Any]:
    """Returns who acted: the agent as application, the user whom it acted for; else who is named, or the gateway."""
    actor: dict[str, Any] = {}
    if who.get("actor_id"):
        actor["app_uid"] = str(who["actor_id"])
    if who.get("subject_id"):
        actor["user"] = {"uid": str(who["subject_id"]), "domain": str(who.get("subject_issuer", ""))}
    elif named := record.get("approver_id") or record.get("by"):
        actor["user"] = {"uid": str(named)}
    return actor or {"app_name": "remit-server"}


def _endpoint(peer: Any) -> dict[str, Any]:
    """Returns where a call came from; what the gateway does by itself comes from the gateway."""
    return {"ip": str(peer)} if peer else {"name": "remit-server"}


def _resources(record: Record) -> list[dict[str, Any]]:
    """Returns what a record is about: grant, task, access key, role, approval."""
    kinds = {
        "grant_id": "grant",
        "task_id": "task",
        "access_key_id": "access key",
        "role_arn": "role",
        "approval_id": "approval",
        "revocation_id": "revocation",
        "block_id": "block",
        "target_key": "target",
    }
    return [{"type": kind, "uid": str(record[name])} for name, kind in kinds.items() if record.get(name)]


def _authorized(record: Record) -> dict[str, Any]:
    """Returns what Authorize Session (3003) asks for: the user, and what a session in the user's name may do."""
    who = record.get("who") or {}
    parent = record.get("parent_grant_id")
    return {
        **({"unmapped": {"parent_grant_id": str(parent)}} if parent else {}),
        "actor": _actor(record, who),
        "user": {"uid": str(who.get("subject_id", "")), "domain": str(who.get("subject_issuer", ""))},
        "privileges": [str(one) for one in record.get("entitlements", ())] or [str(record.get("role_arn", ""))],
        "session": {"uid": str(record.get("grant_id", "")), "issuer": str(record.get("role_arn", ""))},
        "src_endpoint": _endpoint(who.get("peer")),
    }


def _rejected(record: Record) -> dict[str, Any]:
    """Returns what Authentication (3002) asks for; who it was is not known."""
    return {
        "user": {"name": "unknown"},
        "service": {"name": "remit.v1"},
        "src_endpoint": _endpoint(record.get("peer")),
        "status_id": FAILURE,
        "status_detail": str(record.get("reason", "")),
        "severity_id": LOW,
        "count": int(record.get("count", 1)),
    }


def _shut_out(record: Record) -> dict[str, Any]:
    """Returns what Account Change (3001) asks for: whose, by whom."""
    return {
        "user": {"uid": str(record.get("target_key", "")), "domain": str(record.get("target_issuer", ""))},
        "actor": _actor(record, {}),
        "severity_id": MEDIUM,
        "status_detail": str(record.get("why", "")),
    }


def _called(event: "ChainedEvent", record: Record) -> dict[str, Any]:
    """Returns a call of an operator."""
    service, _, method = str(record.get("method", "")).partition(".")
    allowed = record.get("allowed") is True
    activity = READ if method.startswith(_READS) else UPDATE
    particulars = {
        "actor": {"user": {"uid": str(record.get("caller_id", "")), "domain": str(record.get("caller_issuer", ""))}},
        "api": {"operation": method or "unknown", "service": {"name": f"remit.v1.{service}"}},
        "src_endpoint": _endpoint(record.get("peer")),
        "status_id": SUCCESS if allowed else FAILURE,
        "severity_id": INFORMATIONAL if allowed else LOW,
    }
    if record.get("reason"):
        particulars["status_detail"] = str(record["reason"])
    return _base(event, API_ACTIVITY, activity, particulars)
