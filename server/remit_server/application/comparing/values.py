"""What a comparison of two policies says, as frozen values: changes with a direction, who they are for, and doubts."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any


class Direction(StrEnum):
    """Which way a change goes. BOTH is another thing than before: wider for some, narrower for others."""

    WIDENING = "widening"
    NARROWING = "narrowing"
    BOTH = "both"
    NEUTRAL = "neutral"

    @property
    def widens(self) -> bool:
        """Says whether something is allowed now that was not."""
        return self in {Direction.WIDENING, Direction.BOTH}

    @property
    def narrows(self) -> bool:
        """Says whether something is no longer allowed."""
        return self in {Direction.NARROWING, Direction.BOTH}

    def flipped(self) -> "Direction":
        """Returns the direction of the way back."""
        turned = {Direction.WIDENING: Direction.NARROWING, Direction.NARROWING: Direction.WIDENING}
        return turned.get(self, self)


class Verdict(StrEnum):
    """What the whole comparison comes to. UNPROVEN: nothing wider was seen, and that is no proof."""

    EQUAL = "equal"
    NARROWING = "narrowing"
    WIDENING = "widening"
    UNPROVEN = "unproven"


class What(StrEnum):
    """What a change is about."""

    PERMISSION = "permission"
    REFUSAL = "refusal"
    REASON = "reason"
    MAX_CREDENTIAL = "max_credential_seconds"
    MAX_TASK = "max_task_seconds"
    APPROVAL = "approval"
    KIND = "kind"
    BIND = "bind"
    OFFLINE_RENEWAL = "offline_renewal"
    CAPABILITY = "capability"
    ROLE_ORDER = "role_order"
    ADMINISTRATION = "administration"


@dataclass(frozen=True, slots=True)
class Asker:
    """One who asks, standing for all whom nothing in either catalogue tells apart from them.

    `actor_class` and `moment` are how people call the class of the actor and of the time; `variation` numbers the
    caller's own probe (0: none).
    """

    groups: tuple[str, ...]
    issuer: str
    actor: str
    actor_class: str
    labels: tuple[tuple[str, str], ...]
    time: str
    moment: str
    variation: int = 0


@dataclass(frozen=True, slots=True)
class Example:
    """One concrete call that shows a change.

    `context` pairs condition texts with whether they hold. `evaluated` says that AWS's own order of evaluation, asked
    apart from the proof, allows it on one side and not on the other; `engine` what the rules said to this very
    intent on the wider side: "allows", the codes of its no, or "" where it was not asked.
    """

    action: str
    resource: str
    context: tuple[tuple[str, bool], ...] = ()
    evaluated: bool = False
    engine: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs. `before` and `after` are values in words; `where` is the role, template or right."""

    direction: Direction
    what: What
    where: str
    entitlement: str = ""
    action: str = ""
    resource: str = ""
    conditions: str = ""
    before: str = ""
    after: str = ""
    example: Example | None = field(default=None, compare=False)

    def flipped(self) -> "Change":
        """Returns the change as seen on the way back."""
        return replace(self, direction=self.direction.flipped(), before=self.after, after=self.before)


@dataclass(frozen=True, slots=True)
class Reach:
    """A change in what members of these groups can reach, with everybody for whom it was seen."""

    groups: tuple[str, ...]
    change: Change
    askers: tuple[Asker, ...]


class DoubtKind(StrEnum):
    """Why something cannot be proven."""

    RULES = "rules"
    DATA = "data"
    LEFT_OUT = "left_out"
    UNREACHED = "unreached"
    UNDECIDED = "undecided"
    UNANSWERED = "unanswered"

    @property
    def reviewable(self) -> bool:
        """Says whether a person who has read the change may settle it; a proof or an answer that failed, nobody can."""
        return self not in {DoubtKind.UNDECIDED, DoubtKind.UNANSWERED}


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something that was not, or could not be, looked at; any doubt counts as a no."""

    kind: DoubtKind
    text: str


@dataclass(frozen=True, slots=True)
class Looked:
    """How far the comparison looked: what its verdict stands on."""

    groups: int
    groups_known: int
    askers: int
    questions: int
    intents: int
    held: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """The whole outcome: who reaches what otherwise, what else changed, and what stays in doubt."""

    before: str
    after: str
    reaches: tuple[Reach, ...]
    others: tuple[Change, ...]
    doubts: tuple[Doubt, ...]
    looked: Looked
    review: str

    @property
    def changes(self) -> tuple[Change, ...]:
        """Every change, of whatever kind."""
        return (*(reach.change for reach in self.reaches), *self.others)

    @property
    def widens(self) -> bool:
        """Says whether anything wider was seen."""
        return any(change.direction.widens for change in self.changes)

    @property
    def narrows(self) -> bool:
        """Says whether anything narrower was seen."""
        return any(change.direction.narrows for change in self.changes)

    @property
    def verdict(self) -> Verdict:
        """The worst that is to be said: what was seen, else what cannot be proven."""
        if self.widens:
            return Verdict.WIDENING
        if self.doubts:
            return Verdict.UNPROVEN
        return Verdict.NARROWING if self.narrows else Verdict.EQUAL

    def passes(self, *, allow_widening: bool = False, reviewed: str = "") -> bool:
        """Says whether a pipeline may go on.

        `reviewed` must be this comparison's own `review`: a yes to one change is none to the next. It settles doubts
        that reading can settle, never a widening that was seen.
        """
        if allow_widening or self.verdict in {Verdict.EQUAL, Verdict.NARROWING}:
            return True
        by_reading = all(doubt.kind.reviewable for doubt in self.doubts)
        return self.verdict is Verdict.UNPROVEN and by_reading and bool(reviewed) and reviewed == self.review


def review_of(before: str, after: str) -> str:
    """Returns the word by which a person says that they read the change from one revision to another."""
    return hashlib.sha256(f"{before}\0{after}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Entry:
    """An entitlement of a catalogue as far as it says for whom it is, and what it gives."""

    entitlement_id: str
    actors: tuple[str, ...]
    issuers: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]
    hours: tuple[tuple[str, ...], str, str, str] | None
    permissions: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Right:
    """One right of the catalogue of administration: of a group, or of a (issuer, id), and all it says."""

    group: str
    caller: tuple[str, str]
    may: tuple[str, ...]
    issuers: tuple[str, ...]
    told: str


@dataclass(frozen=True, slots=True)
class Rules:
    """A bundle's rules by digest, the texts that stand in them, and what of the input they read.

    `digests` are (path of the rule, file, digest).
    """

    digests: tuple[tuple[str, str, str], ...] = ()
    literals: tuple[str, ...] = ()
    literals_left_out: int = 0
    reads: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two policies, read: everything of it that can be compared without asking its engine.

    `groups` leads from a group to entitlement ids, `stated` from an id to all that is written of an entitlement, which
    `entries` reads where asked; `data` leads from a path of any other data to its digest; `texts` are the texts in it.
    """

    revision: str
    roles: tuple[str, ...]
    groups: Mapping[str, Sequence[str]]
    stated: Mapping[str, Mapping[str, Any]]
    entries: Mapping[str, Entry]
    rights: tuple[Right, ...]
    capabilities: Mapping[str, Any]
    data: Mapping[str, str]
    texts: tuple[str, ...]
    rules: Rules
