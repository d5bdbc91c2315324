"""Who is asked for: the classes of askers that something in either catalogue tells apart, within a bound."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, product
from typing import Final

from remit_server.application.comparing.asking.actors import representatives
from remit_server.application.comparing.asking.moments import moments
from remit_server.application.comparing.ports import MatchesActor
from remit_server.application.comparing.values import Asker, Doubt, DoubtKind, Entry, Side

MOST_OF_A_GROUP: Final = 256
MOST_OF_A_PAIR: Final = 48
UNNAMED_ISSUER: Final = "https://unnamed.invalid"


@dataclass(frozen=True, slots=True)
class Askers:
    """The classes of one set of groups, and what could not be made into one."""

    askers: tuple[Asker, ...]
    doubts: tuple[Doubt, ...]


def askers_of(groups: tuple[str, ...], before: Side, after: Side, matches: MatchesActor, *, variations: int) -> Askers:
    """Returns one asker for each combination of actor, issuer, labels and hours that the groups' entitlements name."""
    entries = list(_entries(groups, before, after))
    found = representatives((pattern for entry in entries for pattern in entry.actors), matches)
    times, zones = moments(entry.hours for entry in entries if entry.hours)
    issuers = (*sorted({issuer for entry in entries for issuer in entry.issuers}), UNNAMED_ISSUER)
    labels = sorted({(), *(entry.labels for entry in entries)})
    combined = product(found.actors, issuers, labels, times, range(variations + 1))
    most = MOST_OF_A_GROUP if len(groups) < 2 else MOST_OF_A_PAIR  # noqa: PLR2004 - one group or a pair
    askers = tuple(
        Asker(groups, issuer, actor, pattern, label, time, moment, variation)
        for (actor, pattern), issuer, label, (time, moment), variation in islice(combined, most)
    )
    total = len(found.actors) * len(issuers) * len(labels) * len(times) * (variations + 1)
    left = found.left_out + total - len(askers)
    return Askers(askers, tuple(_doubts(groups, found.missed, zones, left)))


def _entries(groups: Iterable[str], before: Side, after: Side) -> Iterator[Entry]:
    """Yields the entitlements to which the groups lead, of either side."""
    for side in (before, after):
        for group in groups:
            yield from (side.entries[name] for name in side.groups.get(group, ()) if name in side.entries)


def _doubts(groups: tuple[str, ...], missed: Iterable[str], zones: Iterable[str], left: int) -> Iterator[Doubt]:
    """Yields what was not asked."""
    who = " with ".join(groups) or "nobody's group"
    for pattern in missed:
        yield Doubt(DoubtKind.LEFT_OUT, f"{who}: no agent was found that {pattern} names, so none was asked for")
    for zone in zones:
        yield Doubt(DoubtKind.LEFT_OUT, f"{who}: the time zone {zone} is not known here, so its hours were not tried")
    if left:
        yield Doubt(
            DoubtKind.LEFT_OUT, f"{who}: {left:,} combinations of agent, issuer, labels and hours were left out"
        )
