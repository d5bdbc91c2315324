"""Approvals and votes to rows and back, each exactly: what is read equals what was written."""

import json
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from remit_server.adapters.database.schema.rows import permission_of
from remit_server.adapters.database.writing.prepared import Row
from remit_server.domain.approval import Approval, ApprovalKind, ApprovalNeed, ApprovalState, Requirement, Vote
from remit_server.domain.decision import canonical_json, permission_json
from remit_server.domain.task import TaskId


def approval_row(approval: Approval) -> dict[str, Any]:
    """Returns an approval as its row, without its votes."""
    return {
        "approval_id": approval.approval_id,
        "kind": approval.kind.value,
        "state": approval.state.value,
        "digest": approval.digest,
        "task_id": approval.task_id,
        "subject_issuer": approval.subject_issuer,
        "subject_id": approval.subject_id,
        "subject_handles": canonical_json(sorted(approval.subject_handles)),
        "actor_id": approval.actor_id,
        "purpose": approval.purpose,
        "session_policy": approval.session_policy,
        "role_arn": approval.role_arn,
        "entitlements": canonical_json(list(approval.entitlements)),
        "adds": canonical_json([permission_json(permission) for permission in approval.adds]),
        "duration_seconds": int(approval.duration.total_seconds()),
        "requirements": canonical_json([[list(one.groups), one.min_approvers] for one in approval.need.requirements]),
        "by_subject": approval.need.by_subject,
        "valid_seconds": int(approval.need.valid.total_seconds()),
        "policy_revision": approval.policy_revision,
        "create_time": approval.create_time,
        "lapse_time": approval.lapse_time,
        "decide_time": approval.decide_time,
        "valid_until": approval.valid_until,
    }


def approval_of(row: Row, votes: Iterable[Row]) -> Approval:
    """Returns the approval of a row and the rows of its votes, oldest first."""
    need = ApprovalNeed(
        requirements=tuple(Requirement(tuple(groups), least) for groups, least in json.loads(row["requirements"])),
        by_subject=row["by_subject"],
        valid=timedelta(seconds=row["valid_seconds"]),
    )
    return Approval(
        approval_id=row["approval_id"],
        kind=ApprovalKind(row["kind"]),
        state=ApprovalState(row["state"]),
        digest=row["digest"],
        task_id=TaskId(row["task_id"]),
        subject_issuer=row["subject_issuer"],
        subject_id=row["subject_id"],
        subject_handles=frozenset(json.loads(row["subject_handles"])),
        actor_id=row["actor_id"],
        purpose=row["purpose"],
        session_policy=row["session_policy"],
        role_arn=row["role_arn"],
        entitlements=tuple(json.loads(row["entitlements"])),
        adds=tuple(permission_of(permission) for permission in json.loads(row["adds"])),
        duration=timedelta(seconds=row["duration_seconds"]),
        need=need,
        policy_revision=row["policy_revision"],
        create_time=row["create_time"],
        lapse_time=row["lapse_time"],
        decide_time=row["decide_time"],
        valid_until=row["valid_until"],
        votes=tuple(_vote_of(vote) for vote in votes),
    )


def vote_row(approval_id: str, vote: Vote) -> dict[str, Any]:
    """Returns a vote on an approval as its row."""
    return {
        "approval_id": approval_id,
        "approver_issuer": vote.approver_issuer,
        "approver_id": vote.approver_id,
        "approved": vote.approved,
        "comment": vote.comment,
        "time": vote.time,
        "groups": canonical_json(list(vote.groups)),
        "handles": canonical_json(sorted(vote.handles)),
    }


def _vote_of(row: Row) -> Vote:
    return Vote(
        approver_issuer=row["approver_issuer"],
        approver_id=row["approver_id"],
        approved=row["approved"],
        comment=row["comment"],
        time=row["time"],
        groups=tuple(json.loads(row["groups"])),
        handles=frozenset(json.loads(row["handles"])),
    )
