"""What the security team's Rego answered, and exactly what it was asked."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from remit_server.domain.canonical import canonical_by
from remit_server.domain.entitlement import Entitlement
from remit_server.domain.errors import Remedy
from remit_server.domain.identity import Delegation
from remit_server.domain.permission import Permission
from remit_server.domain.task import TaskIntent
from remit_server.iam import ActionPattern, Condition, ResourcePattern


@dataclass(frozen=True, slots=True)
class PolicyReason:
    """One reason a policy gave for its no: a code of its author's, a sentence, and a way out."""

    code: str
    message: str
    remedy: Remedy


@dataclass(frozen=True, slots=True)
class KeptText:
    """A text that is kept beside the audit chain by its digest, where it can be erased and the chain stays whole."""

    text: str
    _digest: str = field(default="", init=False, compare=False, repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 of the text, in hex."""
        if not self._digest:
            object.__setattr__(self, "_digest", hashlib.sha256(self.text.encode()).hexdigest())
        return self._digest


@dataclass(frozen=True, slots=True)
class DecisionInput(KeptText):
    """The canonical JSON text that a policy is asked with; kept so that a decision can be repeated."""


@dataclass(frozen=True, slots=True)
class Allow:
    """Policy lets this subject delegate these entitlements to this actor, in the catalogue's order."""

    entitlements: tuple[Entitlement, ...]
    _kept: KeptText | None = field(default=None, init=False, compare=False, repr=False)

    @property
    def kept(self) -> KeptText:
        """The decision as 4-policy.md spells it, canonical: two engines that agree make the same bytes."""
        if self._kept is None:
            object.__setattr__(self, "_kept", KeptText(_allow_text(self.entitlements)))
        return self._kept  # type: ignore[return-value] # set above


@dataclass(frozen=True, slots=True)
class Deny:
    """Policy says no, for at least one reason."""

    reasons: tuple[PolicyReason, ...]

    @property
    def kept(self) -> KeptText:
        """The decision as 4-policy.md spells it, canonical."""
        reasons = [{"code": one.code, "message": one.message, "remedy": one.remedy.value} for one in self.reasons]
        return KeptText(canonical_json({"allow": False, "entitlements": [], "reasons": reasons}))


Decision = Allow | Deny


@dataclass(frozen=True, slots=True)
class Basis:
    """What a decision rests on, as it is kept: what policy was asked, what else planning went by, what policy said.

    `circumstances` is what of the ask is not in the question; `decision` is None where policy gave none.
    """

    question: DecisionInput
    circumstances: KeptText
    decision: KeptText | None = None

    @property
    def texts(self) -> tuple[KeptText, ...]:
        """Everything that is kept."""
        return tuple(text for text in (self.question, self.circumstances, self.decision) if text is not None)

    @property
    def decision_digest(self) -> str:
        """The digest of what policy said, empty where it said nothing."""
        return self.decision.digest if self.decision else ""


@dataclass(frozen=True, slots=True)
class ParentTask:
    """The task above, as policy sees it: whose, how many tasks stand above it, what its live grants rest on."""

    task_id: str
    actor_id: str
    depth: int
    entitlements: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "ParentTask":
        """Returns the task above that `as_json` wrote; raises ValueError, without the text, for any other."""
        try:
            match json.loads(text):
                case {"id": str(), "actor": str(), "depth": int(depth), "entitlements": [*names]} as told if (
                    set(told) == {"id", "actor", "depth", "entitlements"}
                    and not isinstance(depth, bool)
                    and depth >= 0
                    and all(isinstance(name, str) for name in names)
                ):
                    return cls(told["id"], told["actor"], depth, tuple(names))
        except RecursionError as wrong:
            raise ValueError("it is nested too deep") from wrong
        raise ValueError('it has to be {"id": text, "actor": text, "depth": 0 or more, "entitlements": [text]}')

    @property
    def as_json(self) -> Mapping[str, Any]:
        """It as policies read it."""
        return {
            "id": self.task_id,
            "actor": self.actor_id,
            "depth": self.depth,
            "entitlements": sorted(set(self.entitlements)),
        }


def canonical_json(value: Any) -> str:
    """Returns the one JSON text of a value: sorted keys, no spaces, ASCII; NaN and infinities raise ValueError."""
    return _canonical(value)


_canonical = canonical_by(json.JSONEncoder().default)


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
    parent_task: ParentTask | None = None,
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
                "parent_task": None if parent_task is None else parent_task.as_json,
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


def permission_of(value: Mapping[str, Any]) -> Permission:
    """Returns the permission of an intent that `permission_json` wrote; raises ValueError or KeyError for any other."""
    return Permission(
        actions=tuple(ActionPattern.parse(text) for text in value["actions"]),
        resources=tuple(ResourcePattern.parse(text) for text in value["resources"]),
        conditions=tuple(Condition(one["operator"], one["key"], tuple(one["values"])) for one in value["conditions"]),
    )


def permission_json(permission: Permission) -> Mapping[str, Any]:
    """Returns a permission as policies and records write it."""
    return {
        "actions": [action.text for action in permission.actions],
        "resources": [resource.text for resource in permission.resources],
        "conditions": [
            {"operator": condition.operator, "key": condition.key, "values": list(condition.values)}
            for condition in permission.conditions
        ],
    }


def _allow_text(entitlements: tuple[Entitlement, ...]) -> str:
    """Returns a yes as policies write it."""
    return canonical_json({"allow": True, "entitlements": [_entitlement(one) for one in entitlements], "reasons": []})


def _entitlement(one: Entitlement) -> Mapping[str, Any]:
    """Returns an entitlement as policies write it."""
    approval, bind = one.approval, one.bind
    return {
        "id": one.entitlement_id,
        "role_arn": one.role_arn,
        "kind": one.kind.value,
        "permissions": [permission_json(permission) for permission in one.permissions],
        "max_credential_seconds": int(one.max_credential.total_seconds()),
        "max_task_seconds": int(one.max_task.total_seconds()),
        "approval": None
        if approval is None
        else {
            "groups": list(approval.groups),
            "by": approval.by.value,
            "min_approvers": approval.min_approvers,
            "valid_seconds": int(approval.valid.total_seconds()),
        },
        "bind": None
        if bind is None
        else ({"source_cidrs": list(bind.source_cidrs)} if bind.source_cidrs else {"vpc_ids": list(bind.vpc_ids)}),
        "offline_renewal": one.offline_renewal,
    }
