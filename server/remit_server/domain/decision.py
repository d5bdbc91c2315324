"""What the security team's Rego answered, and exactly what it was asked."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from remit_server.domain.entitlement import Entitlement
from remit_server.domain.errors import Remedy
from remit_server.domain.identity import Delegation
from remit_server.domain.permission import Permission
from remit_server.domain.task import TaskIntent


@dataclass(frozen=True, slots=True)
class PolicyReason:
    """One reason a policy gave for its no: a code of its author's, a sentence, and a way out."""

    code: str
    message: str
    remedy: Remedy


@dataclass(frozen=True, slots=True)
class Allow:
    """Policy lets this subject delegate these entitlements to this actor, in the catalogue's order."""

    entitlements: tuple[Entitlement, ...]


@dataclass(frozen=True, slots=True)
class Deny:
    """Policy says no, for at least one reason."""

    reasons: tuple[PolicyReason, ...]


Decision = Allow | Deny


@dataclass(frozen=True, slots=True)
class DecisionInput:
    """The canonical JSON text that a policy is asked with; kept by its digest so that a decision can be repeated."""

    text: str

    @property
    def digest(self) -> str:
        """SHA-256 of the text, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def canonical_json(value: Any) -> str:
    """Returns the one JSON text of a value: sorted keys, no spaces, ASCII; NaN and infinities raise ValueError."""
    return _CANONICAL.encode(value)


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def decision_input(
    delegation: Delegation,
    intent: TaskIntent,
    permissions: tuple[Permission, ...],
    *,
    task_id: str | None,
    grants_so_far: int,
    requested_duration: timedelta,
    now: datetime,
    source_ip: str,
    renewal: bool = False,
) -> DecisionInput:
    """Builds the policy's input (4-policy.md): verified identities, the expanded intent, and no token anywhere."""
    subject, actor = delegation.subject, delegation.actor
    return DecisionInput(
        canonical_json(
            {
                "subject": {
                    "issuer": subject.issuer,
                    "id": subject.subject,
                    "email": subject.email or "",
                    "groups": list(subject.groups),
                    "claims": dict(subject.claims),
                    "auth_time": subject.auth_time or 0,
                    "acr": subject.acr or "",
                    "amr": list(subject.amr),
                },
                "actor": {
                    "id": actor.actor_id,
                    "kind": actor.kind.value,
                    "issuer": actor.issuer,
                    "claims": dict(actor.claims),
                },
                "delegation_history": list(delegation.history),
                "parent_task": None,
                "task": {
                    "id": task_id or "",
                    "purpose": intent.purpose,
                    "labels": dict(intent.labels),
                    "grants_so_far": grants_so_far,
                },
                "intent": {
                    "permissions": [permission_json(permission) for permission in permissions],
                    "capabilities": [capability.name for capability in intent.capabilities],
                },
                "requested_duration_seconds": int(requested_duration.total_seconds()),
                "context": {
                    "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "source_ip": source_ip,
                    "renewal": renewal,
                },
            }
        )
    )


def permission_json(permission: Permission) -> Mapping[str, Any]:
    """Returns a permission as policies and records write it."""
    return {
        "actions": [str(action) for action in permission.actions],
        "resources": [str(resource) for resource in permission.resources],
        "conditions": [
            {"operator": condition.operator, "key": condition.key, "values": list(condition.values)}
            for condition in permission.conditions
        ],
    }
