"""How much fits a session policy: two hundred intents as they are emitted and naively, and into how many they split."""

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from benchmarks.rig.intents import Intent, corpus

from remit_server.iam import Derived, Document, Effect, ResourcePattern, Statement, derive, time_bound
from remit_server.iam.issuing.blocks import overlapping
from remit_server.iam.issuing.cells import DIRECT_CALL
from remit_server.iam.issuing.compaction import LIMIT
from remit_server.iam.language.negation import negated

END = datetime(2030, 1, 1, tzinfo=UTC)
_UNLIMITED = 1_000_000


@dataclass(frozen=True, slots=True)
class Emitted:
    """Holds what became of one intent: its session policy, or the parts into which a split is proposed."""

    intent: Intent
    derived: Derived | None
    parts: tuple[Document, ...]
    size: int
    naive_size: int

    @property
    def permissions(self) -> int:
        """How many permissions are asked for."""
        return len(self.intent.document.statements)


def emitted(intent: Intent) -> Emitted:
    """Derives the session policy as the gateway does, and measures the naive one beside it."""
    document = intent.document
    found = derive(document, [document], end=END)
    naive_size = len(naive(document).text)
    if isinstance(found, Derived):
        return Emitted(intent, found, (), found.size, naive_size)
    whole = derive(document, [document], end=END, limit=_UNLIMITED)
    return Emitted(intent, None, found.proposal, whole.size, naive_size)


def naive(intent: Document) -> Document:
    """Emits one Allow for each permission, and the guards that one would write for each of them."""
    allows = intent.statements
    everything = tuple(dict.fromkeys(action for each in allows for action in each.actions))
    nothing_else = Statement(Effect.DENY, everything, _EVERYWHERE, (DIRECT_CALL,), not_action=True)
    places = (
        Statement(Effect.DENY, each.actions, _places(each, allows), (DIRECT_CALL,), not_resource=True)
        for each in allows
    )
    conditions = (
        Statement(Effect.DENY, each.actions, each.resources, (*opposite, DIRECT_CALL))
        for each in allows
        for condition in each.conditions
        if (opposite := negated(condition)) is not None
    )
    return Document((*allows, nothing_else, *places, *conditions, time_bound(END)))


_EVERYWHERE = (ResourcePattern.parse("*"),)


def _places(allow: Statement, allows: Iterable[Statement]) -> tuple[ResourcePattern, ...]:
    """Lists all resources that any of the actions is allowed on."""
    return tuple(
        resource for other in allows if overlapping(allow.actions, other.actions) for resource in other.resources
    )


@dataclass(frozen=True, slots=True)
class Summary:
    """Holds the figures of a corpus; ratios are to the naive emission."""

    intents: int
    fitting: int
    fitting_naively: int
    median_size_of_naive: float
    splits: tuple[tuple[int, int], ...]
    unsplit: int

    @classmethod
    def of(cls, found: Sequence[Emitted]) -> "Summary":
        """Counts what became of the intents."""
        splits = Counter(len(each.parts) for each in found if each.derived is None)
        return cls(
            intents=len(found),
            fitting=sum(each.derived is not None for each in found),
            fitting_naively=sum(each.naive_size <= LIMIT for each in found),
            median_size_of_naive=round(statistics.median(each.size / each.naive_size for each in found), 3),
            splits=tuple(sorted((parts, count) for parts, count in splits.items() if parts)),
            unsplit=splits[0],
        )


def main() -> None:
    """Prints the figures of each kind of work, and of all."""
    found = [emitted(intent) for intent in corpus()]
    works = dict.fromkeys(each.intent.work for each in found)
    print(
        "| work | intents | permissions (median, most) | fits | fits naively | size to naive (median) | splits into |"
    )
    print("|---|---|---|---|---|---|---|")
    for work in (*works, "all"):
        _row(work, [each for each in found if work in (each.intent.work, "all")])


def _row(work: str, found: Sequence[Emitted]) -> None:
    summary = Summary.of(found)
    asked = [each.permissions for each in found]
    splits = ", ".join(f"{parts}: {count}" for parts, count in summary.splits) or "none"
    unsplit = f"; {summary.unsplit} not at all" if summary.unsplit else ""
    print(
        f"| {work} | {summary.intents} | {statistics.median(asked):g}, {max(asked)} "
        f"| {summary.fitting / summary.intents:.1%} | {summary.fitting_naively / summary.intents:.1%} "
        f"| {summary.median_size_of_naive:.2f} | {splits}{unsplit} |"
    )


if __name__ == "__main__":
    main()
