"""Whether a session policy allows a call: its Allow statements, read as AWS reads them.

Its guards deny what no Allow statement covers, and nothing of what one covers, so they need not be looked at.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from remit.intent import Condition, Permission


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a session policy says of a call: `by` are the permissions that cover it, `others` all further ones."""

    by: tuple[Permission, ...]
    others: tuple[Permission, ...]

    @property
    def always(self) -> bool:
        """Whether one covers it without a condition."""
        return any(not permission.conditions for permission in self.by)


def allowed(session_policy: str, action: str, resource: str | None) -> Allowed:
    """Says what covers an action on a resource; without a resource, what covers the action on any.

    Raises ValueError for what is no session policy of Remit's.
    """
    permissions = permissions_of(session_policy)
    by = tuple(permission for permission in permissions if _covers(permission, action, resource))
    return Allowed(by, tuple(permission for permission in permissions if permission not in by))


def permissions_of(session_policy: str) -> tuple[Permission, ...]:
    """Returns what a session policy allows; raises ValueError for what is none of Remit's."""
    try:
        statements = json.loads(session_policy)["Statement"]
        return tuple(_permission(statement) for statement in statements if statement["Effect"] == "Allow")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("that is no session policy of Remit's") from None


def _permission(statement: Mapping[str, Any]) -> Permission:
    conditions = [
        Condition(operator, key, values)
        for operator, tests in statement.get("Condition", {}).items()
        for key, values in tests.items()
    ]
    return Permission(statement["Action"], statement["Resource"], conditions)


def _covers(permission: Permission, action: str, resource: str | None) -> bool:
    return any(matches(pattern.lower(), action.lower()) for pattern in permission.actions) and (
        resource is None or any(matches(pattern, resource) for pattern in permission.resources)
    )


def matches(pattern: str, text: str) -> bool:
    """Says whether a text matches a pattern of `*` and `?`, in time that grows with the product of their lengths."""
    at = star = back = 0
    starred = False
    place = 0
    while place < len(text):
        if at < len(pattern) and pattern[at] == "*":
            starred, star, back = True, at, place
            at += 1
        elif at < len(pattern) and pattern[at] in {"?", text[place]}:
            at, place = at + 1, place + 1
        elif starred:
            back += 1
            at, place = star + 1, back
        else:
            return False
    return all(character == "*" for character in pattern[at:])
