"""The most that a run may ask for, as its developer set it: what lies within and what does not.

NOTE: this keeps a model within what its developer meant it to ask for; what may be had is the gateway's to say, always.
"""

import re
from collections.abc import Iterable, Sequence

from remit.errors import FailedPermission, Refused, Remedy
from remit.intent import Capability, Permission

RULE = "run-limit"
BEYOND = "RUN_LIMIT_EXCEEDED"
Item = Permission | Capability


def check_within(asked: Iterable[Item], limits: Sequence[Item]) -> None:
    """Raises Refused, which offers the permissions that lie within, when any of them lies beyond the limits."""
    items = tuple(asked)
    beyond = [item for item in items if not _is_within(item, limits)]
    if not beyond:
        return
    raise Refused(
        "this run may not ask for that: its developer set less as the most it may ask for",
        reason=BEYOND,
        remedy=Remedy.NARROW if limits else Remedy.GIVE_UP,
        failures=tuple(failure for item in beyond for failure in _failures(item)),
        offer=tuple(item for item in items if item not in beyond and isinstance(item, Permission)),
    )


def _is_within(asked: Item, limits: Sequence[Item]) -> bool:
    """Says whether the limits cover it; a capability only where they name that same capability."""
    if isinstance(asked, Capability):
        return asked in limits
    allowed = [limit for limit in limits if isinstance(limit, Permission)]
    pairs = [(action, resource) for action in asked.actions for resource in asked.resources]
    return bool(pairs) and all(
        any(_covers(limit, action, resource, asked) for limit in allowed) for action, resource in pairs
    )


def _covers(limit: Permission, action: str, resource: str, asked: Permission) -> bool:
    """Says whether one permission allows the action on the resource under the conditions that were asked for."""
    return (
        any(_contains(pattern.lower(), action.lower()) for pattern in limit.actions)
        and any(_contains(pattern, resource) for pattern in limit.resources)
        and set(limit.conditions) <= set(asked.conditions)
    )


def _contains(pattern: str, inner: str) -> bool:
    """Says whether everything that `inner` may match is matched by `pattern`: only a `*` takes in another `*`."""
    parts = (
        ".*" if character == "*" else "[^*]" if character == "?" else re.escape(character)
        for character in re.sub(r"\*+", "*", pattern)
    )
    return re.fullmatch("".join(parts), inner, re.DOTALL) is not None


def _failures(item: Item) -> list[FailedPermission]:
    """Names what was asked for beyond the limits."""
    if isinstance(item, Capability):
        return [FailedPermission(item.name, "", RULE, "a capability is asked for as it is named there, or not at all")]
    return [FailedPermission(action, resource, RULE, "") for action in item.actions for resource in item.resources]
