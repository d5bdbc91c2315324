"""Domain values to rows of the ledger and back, each exactly: what is read equals what was written."""

import json
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from remit_server.adapters.database.schema.tables import grants
from remit_server.adapters.database.writing.prepared import Row
from remit_server.domain.decision import canonical_json, permission_json
from remit_server.domain.errors import Denied, FailedPermission, Reason, Refusal, Remedy
from remit_server.domain.grant import Grant, GrantState, Issuance
from remit_server.domain.permission import Permission
from remit_server.domain.revocation import Effective, RevokeCause
from remit_server.domain.task import Capability, GrantId, Task, TaskId, TaskIntent, TaskState
from remit_server.iam import ActionPattern, Condition, ResourcePattern

# What is given when a row is added; the others are the database's own, or come later.
TASK_COLUMNS = (
    "task_id",
    "subject_issuer",
    "subject_id",
    "actor_id",
    "purpose",
    "labels",
    "state",
    "start_time",
    "end_time",
    "grants_so_far",
    "parent_task_id",
    "depth",
)
GRANT_COLUMNS = tuple(column.name for column in grants.c if column.name != "renewing_time")
ISSUANCE_COLUMNS = (
    "grant_id",
    "access_key_id",
    "session_policy_digest",
    "policy_revision",
    "issue_time",
    "expire_time",
    "packed_policy_percent",
)


def task_row(task: Task) -> dict[str, Any]:
    """Returns a task as its row."""
    return {
        "task_id": task.task_id,
        "subject_issuer": task.subject_issuer,
        "subject_id": task.subject_id,
        "actor_id": task.actor_id,
        "purpose": task.purpose,
        "labels": canonical_json(dict(task.labels)),
        "state": task.state.value,
        "start_time": task.start_time,
        "end_time": task.end_time,
        "grants_so_far": task.grants_so_far,
        "parent_task_id": task.parent_task_id,
        "depth": task.depth,
    }


def task_of(row: Row) -> Task:
    """Returns the task of a row."""
    return Task(
        task_id=TaskId(row["task_id"]),
        subject_issuer=row["subject_issuer"],
        subject_id=row["subject_id"],
        actor_id=row["actor_id"],
        purpose=row["purpose"],
        labels=json.loads(row["labels"]),
        state=TaskState(row["state"]),
        start_time=row["start_time"],
        end_time=row["end_time"],
        grants_so_far=row["grants_so_far"],
        parent_task_id=None if row["parent_task_id"] is None else TaskId(row["parent_task_id"]),
        depth=row["depth"],
    )


def grant_row(grant: Grant) -> dict[str, Any]:
    """Returns a grant as its row, without its issuances and the time it came to its state."""
    return {
        "grant_id": grant.grant_id,
        "task_id": grant.task_id,
        "subject_issuer": grant.subject_issuer,
        "subject_id": grant.subject_id,
        "actor_id": grant.actor_id,
        "state": grant.state.value,
        "role_arn": grant.role_arn,
        "region": grant.region,
        "session_policy": grant.session_policy,
        "session_policy_digest": grant.session_policy_digest,
        "entitlements": canonical_json(list(grant.entitlements)),
        "policy_revision": grant.policy_revision,
        "ceiling_digest": grant.ceiling_digest,
        "source_identity": grant.source_identity,
        "tags": canonical_json([list(tag) for tag in grant.tags]),
        "issue_time": grant.issue_time,
        "expire_time": grant.expire_time,
        "unguarded": canonical_json(list(grant.unguarded)),
        "outlives_task": grant.outlives_task,
        "revoke_time": grant.revoke_time,
        "intent": "" if grant.intent is None else intent_text(grant.intent),
        "requested_seconds": None
        if grant.requested_duration is None
        else int(grant.requested_duration.total_seconds()),
        "narrow": grant.narrow,
        "offline_renewal": grant.offline_renewal,
        "break_glass": grant.break_glass,
        "approval_id": grant.approval_id,
        "parent_grant_id": grant.parent_grant_id,
        "parent_task_id": grant.parent_task_id,
        "account": grant.account,
        "subject_part": grant.subject_part,
        "actor_part": grant.actor_part,
        "revocation_id": grant.revocation_id,
        "revoke_cause": None if grant.revoke_cause is None else grant.revoke_cause.value,
        "effective_time": grant.effective_time,
        "effective": None if grant.effective is None else grant.effective.value,
    }


def grant_of(row: Row, issued: Iterable[Row]) -> Grant:
    """Returns the grant of a row and the rows of its issuances, oldest first."""
    return Grant(
        grant_id=GrantId(row["grant_id"]),
        task_id=TaskId(row["task_id"]),
        subject_issuer=row["subject_issuer"],
        subject_id=row["subject_id"],
        actor_id=row["actor_id"],
        state=GrantState(row["state"]),
        role_arn=row["role_arn"],
        region=row["region"],
        session_policy=row["session_policy"],
        session_policy_digest=row["session_policy_digest"],
        entitlements=tuple(json.loads(row["entitlements"])),
        policy_revision=row["policy_revision"],
        ceiling_digest=row["ceiling_digest"],
        source_identity=row["source_identity"],
        tags=tuple((key, value) for key, value in json.loads(row["tags"])),
        issue_time=row["issue_time"],
        expire_time=row["expire_time"],
        unguarded=tuple(json.loads(row["unguarded"])),
        outlives_task=row["outlives_task"],
        issuances=tuple(_issuance_of(one) for one in issued),
        revoke_time=row["revoke_time"],
        intent=intent_of(row["intent"]) if row["intent"] else None,
        requested_duration=None if row["requested_seconds"] is None else timedelta(seconds=row["requested_seconds"]),
        narrow=row["narrow"],
        offline_renewal=row["offline_renewal"],
        break_glass=row["break_glass"],
        approval_id=row["approval_id"],
        parent_grant_id=None if row["parent_grant_id"] is None else GrantId(row["parent_grant_id"]),
        parent_task_id=None if row["parent_task_id"] is None else TaskId(row["parent_task_id"]),
        revocation_id=row["revocation_id"],
        revoke_cause=None if row["revoke_cause"] is None else RevokeCause(row["revoke_cause"]),
        effective_time=row["effective_time"],
        effective=None if row["effective"] is None else Effective(row["effective"]),
    )


def issuance_row(grant_id: GrantId, issuance: Issuance) -> dict[str, Any]:
    """Returns an issuance of a grant as its row."""
    return {
        "grant_id": grant_id,
        "access_key_id": issuance.access_key_id,
        "session_policy_digest": issuance.session_policy_digest,
        "policy_revision": issuance.policy_revision,
        "issue_time": issuance.issue_time,
        "expire_time": issuance.expire_time,
        "packed_policy_percent": issuance.packed_policy_percent,
    }


def _issuance_of(row: Row) -> Issuance:
    return Issuance(
        access_key_id=row["access_key_id"],
        session_policy_digest=row["session_policy_digest"],
        policy_revision=row["policy_revision"],
        issue_time=row["issue_time"],
        expire_time=row["expire_time"],
        packed_policy_percent=row["packed_policy_percent"],
    )


def intent_text(intent: TaskIntent) -> str:
    """Returns an intent as the JSON text it is kept by."""
    return canonical_json(
        {
            "purpose": intent.purpose,
            "permissions": [permission_json(permission) for permission in intent.permissions],
            "capabilities": [[item.name, dict(item.parameters)] for item in intent.capabilities],
            "labels": dict(intent.labels),
        }
    )


def intent_of(text: str) -> TaskIntent:
    """Returns the intent that `intent_text` wrote."""
    kept = json.loads(text)
    return TaskIntent(
        purpose=kept["purpose"],
        permissions=tuple(permission_of(permission) for permission in kept["permissions"]),
        capabilities=tuple(Capability(name, parameters) for name, parameters in kept["capabilities"]),
        labels=kept["labels"],
    )


def refusal_text(denied: Denied) -> str:
    """Returns a refusal as the JSON text it is remembered by."""
    refusal = denied.refusal
    return canonical_json(
        {
            "reason": denied.reason.value,
            "message": denied.message,
            "remedy": refusal.remedy.value,
            "failures": [[one.action, one.resource, one.rule, one.message] for one in refusal.failures],
            "offer": [permission_json(permission) for permission in refusal.offer],
            "split": [[permission_json(permission) for permission in part] for part in refusal.split],
        }
    )


def refusal_of(text: str) -> Denied:
    """Returns the refusal that `refusal_text` wrote."""
    kept = json.loads(text)
    refusal = Refusal(
        remedy=Remedy(kept["remedy"]),
        failures=tuple(FailedPermission(*failure) for failure in kept["failures"]),
        offer=tuple(permission_of(permission) for permission in kept["offer"]),
        split=tuple(tuple(permission_of(permission) for permission in part) for part in kept["split"]),
    )
    return Denied(Reason(kept["reason"]), kept["message"], refusal)


def permission_of(kept: Mapping[str, Any]) -> Permission:
    """Returns a permission that was once parsed; an offer may hold the policy variables of its ceiling."""
    return Permission(
        actions=tuple(ActionPattern.parse(action) for action in kept["actions"]),
        resources=tuple(ResourcePattern.parse(resource, authored=True) for resource in kept["resources"]),
        conditions=tuple(
            Condition(condition["operator"], condition["key"], tuple(condition["values"]))
            for condition in kept["conditions"]
        ),
    )
