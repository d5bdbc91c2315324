"""Turns an engine's answer on the security side into a decision; anything but a complete one is an outage."""

import re
from typing import Any, Final

from remit_server.adapters.policy.answers.decision import MAX_CHARACTERS, MAX_REASONS, PolicyUnavailable, reason_of
from remit_server.adapters.strict_fields import Malformed, Where, items, members, texts
from remit_server.adapters.strict_json import MalformedJson, strict_json
from remit_server.domain.administration import AdminAllow, AdminDecision, AdminDeny, Scope, Visible
from remit_server.domain.decision import PolicyReason
from remit_server.domain.errors import Remedy

MAX_SCOPES: Final = 32
MAX_NAMED: Final = 256
_KEYS: Final = frozenset({"allow", "reasons", "visible"})
_NAME: Final = re.compile(r"[\x21-\x7e]+", re.ASCII)
_SCOPE: Final = frozenset({"accounts", "roles", "actors", "subject_issuers"})
# What a bundle without the package remit.admin says to everybody.
NOBODY: Final = AdminDeny(
    (
        PolicyReason(
            "no_administration",
            "The active policy has no package remit.admin and so lets nobody call this. The ways back: an administrator"
            " of the configuration goes back, or who has the database runs `remit-server policy activate --offline`.",
            Remedy.GIVE_UP,
        ),
    )
)


def admin_decision_of(answer: str) -> AdminDecision:
    """Returns the decision that an engine's JSON text spells out; raises PolicyUnavailable for anything else."""
    try:
        value = strict_json(answer, max_characters=MAX_CHARACTERS)
    except MalformedJson as wrong:
        raise PolicyUnavailable(f"the decision on the security side is malformed: {wrong}") from wrong
    return admin_decision_in(value)


def admin_decision_in(value: Any) -> AdminDecision:
    """Returns the decision in an answer that `strict_json` has read; raises PolicyUnavailable for anything else."""
    try:
        return _decision(value)
    except Malformed as wrong:
        raise PolicyUnavailable(f"the decision on the security side is malformed: {wrong}") from wrong


def _decision(value: Any) -> AdminDecision:
    """Returns the decision; raises Malformed unless it is exactly the object that the schema describes."""
    raw = members(value, (), required=_KEYS)
    if raw["allow"] is True:
        items(raw["reasons"], ("reasons",), least=0, most=0)
        return AdminAllow(_visible(raw["visible"]))
    if raw["allow"] is not False:
        raise Malformed(("allow",), "must be true or false")
    if raw["visible"] is not None:
        raise Malformed(("visible",), "must be null beside a no")
    reasons = items(raw["reasons"], ("reasons",), least=1, most=MAX_REASONS)
    return AdminDeny(tuple(reason_of(item, ("reasons", place)) for place, item in enumerate(reasons)))


def _visible(value: Any) -> Visible:
    """Returns what a yes makes visible: `"all"`, `"own"`, or a list of which any is enough."""
    if value == "all":
        return Visible(everything=True)
    if value == "own":
        return Visible(own=True)
    listed = items(value, ("visible",), least=1, most=MAX_SCOPES)
    scopes = tuple(_scope(item, ("visible", place)) for place, item in enumerate(listed) if item != "own")
    return Visible(own="own" in listed, scopes=scopes)


def _scope(value: Any, where: Where) -> Scope:
    """Returns one scope, which names something."""
    raw = members(value, where, required=frozenset(), optional=_SCOPE)
    if not raw:
        raise Malformed(where, "must name accounts, roles, actors or subject_issuers")
    named = {
        name: frozenset(texts(listed, (*where, name), _NAME, "a name without spaces", most=MAX_NAMED))
        for name, listed in raw.items()
    }
    return Scope(**named)
