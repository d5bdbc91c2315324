"""The ways in which a candidate's answer differs from the one on record, each with its name and what it means."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Difference(StrEnum):
    """Stable identifiers, in the order in which a report tells them.

    The first part is about what was asked and how it was answered, the part from REACH_WIDER on about what the same
    subject could have asked for through the same agent at that moment.
    """

    FAILED = "FAILED"
    NEWLY_ALLOWED = "NEWLY_ALLOWED"
    NEWLY_REFUSED = "NEWLY_REFUSED"
    WIDER = "WIDER"
    OTHER_ROLE = "OTHER_ROLE"
    OTHER_RIGHTS = "OTHER_RIGHTS"
    UNDECIDED = "UNDECIDED"
    NO_LONGER_ASKED = "NO_LONGER_ASKED"
    ASKED_OTHERWISE = "ASKED_OTHERWISE"
    BREAK_GLASS = "BREAK_GLASS"
    LONGER = "LONGER"
    UNBOUND = "UNBOUND"
    BOUND_OTHERWISE = "BOUND_OTHERWISE"
    OFFLINE = "OFFLINE"
    NARROWER = "NARROWER"
    NEWLY_ASKED = "NEWLY_ASKED"
    NO_BREAK_GLASS = "NO_BREAK_GLASS"
    SHORTER = "SHORTER"
    BOUND = "BOUND"
    NOT_OFFLINE = "NOT_OFFLINE"
    OTHER_ENTITLEMENTS = "OTHER_ENTITLEMENTS"
    REFUSED_OTHERWISE = "REFUSED_OTHERWISE"
    SPELT_OTHERWISE = "SPELT_OTHERWISE"
    REACH_WIDER = "REACH_WIDER"
    REACH_UNASKED = "REACH_UNASKED"
    REACH_UNDECIDED = "REACH_UNDECIDED"
    TERMS_LOOSER = "TERMS_LOOSER"
    REACH_NARROWER = "REACH_NARROWER"
    REACH_ASKED = "REACH_ASKED"
    TERMS_STRICTER = "TERMS_STRICTER"

    @property
    def meaning(self) -> str:
        """What it says of a decision, in one sentence for people."""
        return _MEANINGS[self]

    @property
    def widens(self) -> bool:
        """Says whether somebody may do more, or may do it more easily; doubt is a yes."""
        return self in _WIDENING

    @property
    def refuses(self) -> bool:
        """Says whether somebody is told no who was told yes, or gets no answer at all."""
        return self in {Difference.NEWLY_REFUSED, Difference.FAILED}

    @property
    def is_of_reach(self) -> bool:
        """Says whether it is about what could have been asked, not about what was."""
        return self.name.startswith(("REACH_", "TERMS_"))


class Effect(StrEnum):
    """What all the differences in one decision come to; the first that holds."""

    FAILED = "FAILED"
    NEWLY_ALLOWED = "NEWLY_ALLOWED"
    NEWLY_REFUSED = "NEWLY_REFUSED"
    LOOSER = "LOOSER"
    STRICTER = "STRICTER"
    OTHERWISE = "OTHERWISE"
    REACH_ONLY = "REACH_ONLY"


_MEANINGS: Final = {
    Difference.FAILED: "The candidate gives no usable decision: live, this would be an outage.",
    Difference.NEWLY_ALLOWED: "It was refused and would be allowed.",
    Difference.NEWLY_REFUSED: "It was allowed and would be refused.",
    Difference.WIDER: "The credentials would be able to do more.",
    Difference.OTHER_ROLE: "The credentials would be of another role.",
    Difference.OTHER_RIGHTS: "The credentials would be able to do other things: more here, less there.",
    Difference.UNDECIDED: "Whether the credentials could do more is not proven within the budget: read both policies.",
    Difference.NO_LONGER_ASKED: "People had to say yes; nobody would be asked.",
    Difference.ASKED_OTHERWISE: "Other people would have to say yes, or more or fewer of them, or for another time.",
    Difference.BREAK_GLASS: "It would be issued at once by break-glass and reviewed afterwards.",
    Difference.LONGER: "The credentials, or the task, would last longer.",
    Difference.UNBOUND: "The credentials would no longer be bound to networks.",
    Difference.BOUND_OTHERWISE: "The credentials would be bound to other networks.",
    Difference.OFFLINE: "It could be renewed while the user is away.",
    Difference.NARROWER: "The credentials would be able to do less.",
    Difference.NEWLY_ASKED: "It was issued at once; people would have to say yes before.",
    Difference.NO_BREAK_GLASS: "It would no longer rest on break-glass.",
    Difference.SHORTER: "The credentials, or the task, would end earlier.",
    Difference.BOUND: "The credentials would be bound to networks.",
    Difference.NOT_OFFLINE: "It could no longer be renewed while the user is away.",
    Difference.OTHER_ENTITLEMENTS: "The same rights would rest on other entitlements.",
    Difference.REFUSED_OTHERWISE: "It would still be refused, for another reason or in other words.",
    Difference.SPELT_OTHERWISE: "The same rights would be written in other words.",
    Difference.REACH_WIDER: "The user could ask for more through this agent.",
    Difference.REACH_UNASKED: "The user could have it without anybody being asked.",
    Difference.REACH_UNDECIDED: "Whether the user could ask for more is not proven within the budget.",
    Difference.TERMS_LOOSER: "An entitlement that the user has would be given on easier terms.",
    Difference.REACH_NARROWER: "The user could ask for less through this agent.",
    Difference.REACH_ASKED: "The user could have it only once people say yes.",
    Difference.TERMS_STRICTER: "An entitlement that the user has would be given on harder terms.",
}
_WIDENING: Final = frozenset(
    {
        Difference.NEWLY_ALLOWED,
        Difference.WIDER,
        Difference.OTHER_ROLE,
        Difference.OTHER_RIGHTS,
        Difference.UNDECIDED,
        Difference.NO_LONGER_ASKED,
        Difference.ASKED_OTHERWISE,
        Difference.BREAK_GLASS,
        Difference.LONGER,
        Difference.UNBOUND,
        Difference.BOUND_OTHERWISE,
        Difference.OFFLINE,
        Difference.REACH_WIDER,
        Difference.REACH_UNASKED,
        Difference.REACH_UNDECIDED,
        Difference.TERMS_LOOSER,
    }
)
ORDER: Final = {difference: place for place, difference in enumerate(Difference)}


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference in one decision; equal findings are told together, with a count.

    `gained` and `lost` are permissions as people read them (`s3:PutObject on arn:aws:s3:::reports/*`), `reasons` the
    rest of what makes it this difference and no other. `shown` is what only this decision has, for an example.
    """

    difference: Difference
    role_arn: str = ""
    gained: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        """What it is told together by."""
        return self.difference.value, self.role_arn, self.gained, self.lost, self.reasons


def effect_of(findings: Sequence[Finding]) -> Effect:
    """Returns what the differences in one decision come to; there is at least one."""
    of_answer = [one.difference for one in findings if not one.difference.is_of_reach]
    for difference in of_answer:
        if difference.value in _OWN:
            return Effect(difference.value)
    if any(one.widens for one in of_answer):
        return Effect.LOOSER
    if any(one in _STRICTER for one in of_answer):
        return Effect.STRICTER
    return Effect.OTHERWISE if of_answer else Effect.REACH_ONLY


_OWN: Final = frozenset({Effect.FAILED.value, Effect.NEWLY_ALLOWED.value, Effect.NEWLY_REFUSED.value})
_STRICTER: Final = frozenset(
    {
        Difference.NARROWER,
        Difference.NEWLY_ASKED,
        Difference.NO_BREAK_GLASS,
        Difference.SHORTER,
        Difference.BOUND,
        Difference.NOT_OFFLINE,
    }
)
