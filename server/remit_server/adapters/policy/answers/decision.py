"""Turns an engine's answer into a decision; anything but a complete decision is an outage, never a yes."""

import re
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final

from remit_server.adapters.policy.bundles.entitlement_json import entitlement
from remit_server.adapters.strict_fields import TEXT, Malformed, Where, items, members, text
from remit_server.adapters.strict_json import MalformedJson, strict_json
from remit_server.domain.decision import Allow, Decision, Deny, PolicyReason
from remit_server.domain.errors import Outage, Reason, Remedy

MAX_CHARACTERS: Final = 256 * 1024
MAX_ENTITLEMENTS: Final = 64
MAX_REASONS: Final = 32
MAX_MESSAGE: Final = 512
REMEMBERED, LONGEST_REMEMBERED = 128, 32 * 1024
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_KEYS: Final = frozenset({"allow", "entitlements", "reasons"})


class PolicyUnavailable(Outage):
    """Policy gave no usable answer, so nothing is granted. `why` is for the log; the caller gets one fixed sentence."""

    def __init__(self, why: str) -> None:
        super().__init__(
            Reason.POLICY_UNAVAILABLE,
            "the policy engine gave no usable decision, so nothing was granted; ask again in a moment",
            retry_after=timedelta(seconds=1),
        )
        self.why = why


class PolicyBusy(Outage):
    """As many questions wait for policy as may wait, or this one waited too long; the engine itself may be well."""

    def __init__(self) -> None:
        message = "too many policy decisions wait, so nothing was granted; ask again in a moment"
        super().__init__(Reason.OVERLOADED, message, retry_after=timedelta(seconds=1))


def decision_of(answer: str) -> Decision:
    """Returns the decision that an engine's JSON text spells out; raises PolicyUnavailable for anything else."""
    return _remembered(answer) if len(answer) <= LONGEST_REMEMBERED else _read(answer)


# NOTE: a text means the same decision whoever asked, and people of the same groups get the same text. Reading it takes
# up to a millisecond, finding it again none. Only complete decisions are remembered.
@lru_cache(maxsize=REMEMBERED)
def _remembered(answer: str) -> Decision:
    """Does as `_read` does, once for each of the latest texts."""
    return _read(answer)


def _read(answer: str) -> Decision:
    """Does as `decision_of` does."""
    try:
        value = strict_json(answer, max_characters=MAX_CHARACTERS)
    except MalformedJson as wrong:
        raise PolicyUnavailable(f"the decision is malformed: {wrong}") from wrong
    return decision_in(value)


def decision_in(value: Any) -> Decision:
    """Returns the decision in an answer that `strict_json` has read; raises PolicyUnavailable for anything else."""
    try:
        return _decision(value)
    except Malformed as wrong:
        raise PolicyUnavailable(f"the decision is malformed: {wrong}") from wrong


def _decision(value: Any) -> Decision:
    """Returns the decision; raises Malformed unless it is exactly the object of 4-policy.md."""
    raw = members(value, (), required=_KEYS)
    if raw["allow"] is True:
        return _allow(raw)
    if raw["allow"] is not False:
        raise Malformed(("allow",), "must be true or false")
    items(raw["entitlements"], ("entitlements",), least=0, most=0)
    reasons = items(raw["reasons"], ("reasons",), least=1, most=MAX_REASONS)
    return Deny(tuple(reason_of(item, ("reasons", place)) for place, item in enumerate(reasons)))


def _allow(raw: dict[str, Any]) -> Allow:
    """Returns the yes: at least one entitlement, each under its own id, and no reason against it."""
    items(raw["reasons"], ("reasons",), least=0, most=0)
    listed = items(raw["entitlements"], ("entitlements",), least=1, most=MAX_ENTITLEMENTS)
    entitlements = tuple(entitlement(item, ("entitlements", place)) for place, item in enumerate(listed))
    if len({one.entitlement_id for one in entitlements}) != len(entitlements):
        raise Malformed(("entitlements",), "names an id twice")
    return Allow(entitlements)


def reason_of(value: Any, where: Where) -> PolicyReason:
    """Returns one reason of a no; raises Malformed."""
    raw = members(value, where, required=frozenset({"code", "message", "remedy"}))
    if not isinstance(raw["remedy"], str) or raw["remedy"] not in {remedy.value for remedy in Remedy}:
        raise Malformed((*where, "remedy"), f"must be one of {', '.join(remedy.value for remedy in Remedy)}")
    return PolicyReason(
        code=text(raw["code"], (*where, "code"), _CODE, "a code of a-z, 0-9 and '_'"),
        message=text(raw["message"], (*where, "message"), TEXT, "one line of text", most=MAX_MESSAGE),
        remedy=Remedy(raw["remedy"]),
    )
