"""What a gateway says of a simulated decision, as the same JSON values that a simulation on files comes to."""

import hashlib
import json
from datetime import UTC
from typing import TYPE_CHECKING

from remit_server.cli.policy.telling.simulated import MOST_CHARACTERS, Told

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from collections.abc import Iterable

    from google.protobuf.timestamp_pb2 import Timestamp

    from remit_server.transport.grpc.policy.calls import Permission, SimulatedApproval, SimulateDecisionResponse


def told_there(answer: "SimulateDecisionResponse") -> Told:
    """Returns all that a gateway told; raises ValueError for what is no JSON where JSON was promised."""
    asked = json.loads(answer.input) if answer.input else None
    subject = asked["subject"] if asked else None
    common: Told = {
        "revision": answer.revision,
        "allowed": answer.allowed,
        "subject": {"issuer": subject["issuer"], "id": subject["id"]} if subject else None,
        "groups": subject["groups"] if subject else [],
        "agent": asked["actor"]["id"] if asked else "",
        "input": asked,
        "decision": json.loads(answer.decision) if answer.decision else None,
        "notes": list(answer.notes),
    }
    if answer.allowed:
        return common | _plan(answer) | {"cloudtrail": dict(answer.cloudtrail)}
    return common | _refusal(answer)


def _plan(answer: "SimulateDecisionResponse") -> Told:
    policy = answer.session_policy
    return {
        "role_arn": answer.role_arn,
        "entitlements": list(answer.entitlements),
        "session_policy": json.loads(policy),
        "session_policy_text": policy,
        "session_policy_digest": hashlib.sha256(policy.encode()).hexdigest(),
        "size": {"characters": answer.size.characters, "most": MOST_CHARACTERS},
        "covers": list(answer.covers),
        "unguarded": list(answer.unguarded),
        "outlives_task": answer.outlives_task,
        "expire_time": _time(answer.expire_time),
        "task_end_time": _time(answer.task_end_time),
        "approval": _need(answer.approval) if answer.HasField("approval") else None,
        "review": _need(answer.review) if answer.HasField("review") else None,
        "break_glass": answer.break_glass,
        "offline_renewal": answer.offline_renewal,
        "ceiling_digest": answer.ceiling_digest,
    }


def _need(need: "SimulatedApproval") -> Told:
    return {
        "of": [{"groups": list(one.groups), "min_approvers": one.min_approvers} for one in need.requirements],
        "by_subject": need.by_subject,
        "valid_seconds": need.valid.seconds,
    }


def _refusal(answer: "SimulateDecisionResponse") -> Told:
    from remit_server.transport.grpc.policy.calls import remedy_name

    refusal = answer.refusal
    return {
        "reason": answer.reason,
        "message": answer.message,
        "remedy": remedy_name(refusal),
        "failures": [
            {"action": one.action, "resource": one.resource, "rule": one.rule, "message": one.message}
            for one in refusal.failures
        ],
        "offer": _permissions(refusal.offer),
        "split": [_permissions(part.permissions) for part in refusal.split],
    }


def _permissions(permissions: "Iterable[Permission]") -> list[Told]:
    return [
        {
            "actions": list(one.actions),
            "resources": list(one.resources),
            "conditions": [
                {"operator": each.operator, "key": each.key, "values": list(each.values)} for each in one.conditions
            ],
        }
        for one in permissions
    ]


def _time(time: "Timestamp") -> str:
    return time.ToDatetime(tzinfo=UTC).isoformat()
