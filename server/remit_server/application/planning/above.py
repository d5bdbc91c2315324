"""Grants of the task above: what an agent holds that handed work on, and within which alone that is done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from remit_server.domain.entitlement import Bind
from remit_server.domain.grant import Grant
from remit_server.iam import Document, Statement, allows_of, bounds_of, condition_guards_on


@dataclass(frozen=True)
class GrantAbove:
    """A live grant of the task above: by its ids, its role, the very session policy it has, and when that ends."""

    task_id: str
    grant_id: str
    role_arn: str
    session_policy: str
    session_policy_digest: str
    end: datetime

    @classmethod
    def of(cls, grant: Grant) -> "GrantAbove":
        """Returns what of a grant counts for what lies within it."""
        return cls(
            task_id=grant.task_id,
            grant_id=grant.grant_id,
            role_arn=grant.role_arn,
            session_policy=grant.session_policy,
            session_policy_digest=grant.session_policy_digest,
            end=grant.policy_end,
        )

    @property
    def name(self) -> str:
        """Its resource name."""
        return f"tasks/{self.task_id}/grants/{self.grant_id}"

    @cached_property
    def document(self) -> Document:
        """Its session policy, read back from the record."""
        return Document.parse(self.session_policy, authored=True)

    @cached_property
    def allows(self) -> Document:
        """The permissions that it is made of."""
        return allows_of(self.document)

    @property
    def bind(self) -> Bind | None:
        """Where alone its credentials work, None where that is not bound."""
        bounds = bounds_of(self.document)
        return Bind(bounds.source_cidrs, bounds.vpc_ids) if bounds.source_cidrs or bounds.vpc_ids else None

    def guards_on(self, intent: Document) -> tuple[Statement, ...]:
        """Returns its Denies that guard conditions on anything that an intent is about."""
        return condition_guards_on(self.document, intent)


def above_json(above: Sequence[GrantAbove]) -> list[Mapping[str, Any]]:
    """Returns grants as circumstances keep them."""
    return [
        {
            "task_id": one.task_id,
            "grant_id": one.grant_id,
            "role_arn": one.role_arn,
            "session_policy": one.session_policy,
            "session_policy_digest": one.session_policy_digest,
            "end": one.end.isoformat(timespec="microseconds"),
        }
        for one in above
    ]


def above_of(kept: Sequence[Mapping[str, Any]]) -> tuple[GrantAbove, ...]:
    """Returns the grants that `above_json` wrote."""
    return tuple(GrantAbove(**{**one, "end": datetime.fromisoformat(one["end"])}) for one in kept)
