"""What agents ask for, as the use cases take it: parsed, of the right shape, nothing of it verified."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from remit_server.application.ports import RequestKey
from remit_server.domain.decision import canonical_json, permission_json
from remit_server.domain.identity import Admitted, Delegation
from remit_server.domain.secret import Secret
from remit_server.domain.task import TaskId, TaskIntent


@dataclass(frozen=True, slots=True)
class Ask:
    """One agent's wish for credentials: who asks, whose token it presents, for which task, what it needs and how long.

    `task_id` None starts a task; `requested_duration` None means the default; `narrow` takes what may be had of the
    intent.
    """

    by: Admitted
    unverified_subject_token: Secret
    task_id: TaskId | None
    intent: TaskIntent
    requested_duration: timedelta | None = None
    narrow: bool = False


@dataclass(frozen=True, slots=True)
class IssueRequest:
    """An ask that wants credentials; `request_id` (a UUID) makes a repeat the same request."""

    request_id: str
    ask: Ask


def request_key(request: IssueRequest, delegation: Delegation) -> RequestKey:
    """Returns what idempotency goes by.

    Actor and request_id, held to every field but the tokens and to the verified subject.
    """
    ask, subject = request.ask, delegation.subject
    content = canonical_json(
        {
            "subject": [subject.issuer, subject.subject],
            "task_id": ask.task_id,
            "purpose": ask.intent.purpose,
            "labels": dict(ask.intent.labels),
            "permissions": [permission_json(permission) for permission in ask.intent.permissions],
            "capabilities": [[item.name, dict(item.parameters)] for item in ask.intent.capabilities],
            "duration": None if ask.requested_duration is None else ask.requested_duration.total_seconds(),
            "narrow": ask.narrow,
        }
    )
    return RequestKey(delegation.actor.actor_id, request.request_id, hashlib.sha256(content.encode()).hexdigest())
