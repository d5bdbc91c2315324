"""Who is asked for: the classes of askers that something in either policy tells apart, within a bound."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice, product
from typing import Final

from remit_server.application.comparing.asking.actors import representatives
from remit_server.application.comparing.asking.moments import Moment, moments
from remit_server.application.comparing.asking.touched import spread
from remit_server.application.comparing.ports import MatchesActor
from remit_server.application.comparing.values import Asker, Doubt, DoubtKind, Entry, Side

MOST_OF_A_GROUP: Final = 256
MOST_OF_A_PAIR: Final = 48
MOST_COMBINED: Final = 20_000
MOST_NAMED: Final = 12
UNNAMED_ISSUER: Final = "https://unnamed.invalid"
Labels = tuple[tuple[str, str], ...]
Combined = tuple[tuple[str, str], str, Labels, Moment]


@dataclass(frozen=True, slots=True)
class Askers:
    """The classes of one set of groups, and what could not be made into one."""

    askers: tuple[Asker, ...]
    doubts: tuple[Doubt, ...]


@dataclass(frozen=True, slots=True)
class Asking:
    """Makes askers for two policies: `agents` and `issuers` are what rules that changed name themselves.

    A group that leads to nothing is asked for as those of the `samples`.
    """

    before: Side
    after: Side
    matches: MatchesActor
    variations: int = 0
    agents: tuple[str, ...] = field(default_factory=tuple)
    issuers: tuple[str, ...] = field(default_factory=tuple)
    samples: tuple[Entry, ...] = field(default_factory=tuple)

    def of(self, groups: tuple[str, ...]) -> Askers:
        """Returns one asker for each combination of actor, issuer, labels and hours that entitlements name.

        Where there are too many, one for each set of entitlements that an actor then reaches.
        """
        entries = list(self._entries(groups)) or list(self.samples)
        found = representatives(
            (*self.agents, *(pattern for entry in entries for pattern in entry.actors)), self.matches
        )
        times, zones = moments(entry.hours for entry in entries if entry.hours)
        issuers = (UNNAMED_ISSUER, *sorted({*self.issuers, *(issuer for entry in entries for issuer in entry.issuers)}))
        labels = sorted({(), *(entry.labels for entry in entries)})
        most = MOST_OF_A_GROUP if len(groups) < 2 else MOST_OF_A_PAIR  # noqa: PLR2004 - one group or a pair
        total = len(found.actors) * len(issuers) * len(labels) * len(times)
        kinds: Iterable[Combined] = product(found.actors, issuers, labels, times)
        left = max(0, total - MOST_COMBINED)
        if total > most:
            kinds = list(self._apart(islice(kinds, MOST_COMBINED), entries))
            left += max(0, len(kinds) - most)
        askers = tuple(
            Asker(groups, issuer, actor, pattern, label, time.text, time.name, variation)
            for (actor, pattern), issuer, label, time in islice(kinds, most)
            for variation in range(self.variations + 1)
        )
        return Askers(askers, tuple(_doubts(groups, found.missed, zones, left + found.left_out)))

    def _apart(self, kinds: Iterable[Combined], entries: list[Entry]) -> Iterator[Combined]:
        """Yields the first of those by which an actor reaches the same entitlements."""
        seen: set[tuple[str, frozenset[int]]] = set()
        for kind in kinds:
            (actor, _), issuer, labels, time = kind
            reached = frozenset(
                at
                for at, entry in enumerate(entries)
                if (not entry.issuers or issuer in entry.issuers)
                and set(entry.labels) <= set(labels)
                and (entry.hours is None or entry.hours in time.windows)
                and any(self.matches(pattern, actor) for pattern in entry.actors)
            )
            if (actor, reached) not in seen:
                seen.add((actor, reached))
                yield kind

    def _entries(self, groups: tuple[str, ...]) -> Iterator[Entry]:
        """Yields the entitlements to which the groups lead, of either side."""
        for side in (self.before, self.after):
            for group in groups:
                yield from (side.entries[name] for name in side.groups.get(group, ()) if name in side.entries)


def asking(before: Side, after: Side, matches: MatchesActor, *, variations: int, everywhere: bool) -> Asking:
    """Returns what makes the askers; when rules changed, agents and issuers that stand in them are asked for, too."""
    if not everywhere:
        return Asking(before, after, matches, variations)
    texts = sorted({*before.rules.literals, *after.rules.literals})
    agents = [text for text in texts if text.startswith("spiffe://")]
    issuers = [text for text in texts if text.startswith("https://")]
    samples = tuple(after.entries[name] for name in spread(sorted(after.stated), MOST_NAMED))
    return Asking(before, after, matches, variations, tuple(agents[:MOST_NAMED]), tuple(issuers[:MOST_NAMED]), samples)


def _doubts(groups: tuple[str, ...], missed: Iterable[str], zones: Iterable[str], left: int) -> Iterator[Doubt]:
    """Yields what was not asked."""
    who = " with ".join(groups) or "nobody's group"
    for pattern in missed:
        yield Doubt(DoubtKind.LEFT_OUT, f"{who}: no agent was found that {pattern} names, so none was asked for")
    for zone in zones:
        yield Doubt(DoubtKind.LEFT_OUT, f"{who}: the time zone {zone} is not known here, so its hours were not tried")
    if left:
        text = f"{who}: {left:,} combinations of agent, issuer, labels and hours were left out"
        yield Doubt(DoubtKind.LEFT_OUT, text)
