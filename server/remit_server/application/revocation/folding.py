"""Coarser denies for when room runs out: many lines become one by time, and only where nobody alive falls under it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from remit_server.application.revocation.lines import (
    CLOCK_SLACK,
    EVERY,
    SECOND,
    Line,
    before_which_all_began,
    line_of,
)
from remit_server.application.revocation.placing import cost_of
from remit_server.domain.revocation import DenyTag, SessionDeny

MOST_SUBJECTS: Final = 256  # that the ledger is asked about at a time
EVERYBODY: Final = None
Living = Mapping[str | None, datetime | None]
"""Per subject, or None for everybody, since when there may be sessions that are to live; None: there are none."""


@dataclass(frozen=True, slots=True)
class Fold:
    """What one coarser line may replace: its pattern, the earliest and latest time it may have, what that saves."""

    pattern: str
    low: datetime
    high: datetime
    saved: int


def subjects_worth_asking(denies: Iterable[SessionDeny]) -> tuple[str | None, ...]:
    """Returns whose living sessions decide about coarser lines: everybody's, and of the subjects with most lines."""
    grouped = _by_subject(denies)
    most = sorted(grouped, key=lambda subject: (-cost_of(map(line_of, grouped[subject])), subject))
    return (EVERYBODY, *most[:MOST_SUBJECTS])


def folds_of(denies: Sequence[SessionDeny], living: Living, now: datetime) -> list[Fold]:
    """Returns the folds by subject, those that save most first."""
    grouped = _by_subject(denies)
    found = (_fold(f"{subject}.*", grouped[subject], living[subject], now) for subject in grouped if subject in living)
    return sorted((fold for fold in found if fold is not None), key=lambda fold: (-fold.saved, fold.pattern))


def fold_of_everybody(denies: Sequence[SessionDeny], living: Living, now: datetime) -> list[Fold]:
    """Returns the one fold over all subjects; an empty list where none is safe."""
    if EVERYBODY not in living:
        return []
    by_grant = [deny for deny in denies if deny.tag is DenyTag.GRANT]
    fold = _fold(EVERY, by_grant, living[EVERYBODY], now)
    return [] if fold is None else [fold]


def folded_lines(folds: Iterable[Fold]) -> list[Line]:
    """Returns a line for each fold; as few different times as will do, because each time costs a statement."""
    lines: list[Line] = []
    moment: datetime | None = None
    for fold in sorted(folds, key=lambda fold: (fold.high, fold.pattern)):
        if moment is None or moment < fold.low:
            moment = fold.high
        lines.append(Line(DenyTag.GRANT, fold.pattern, moment))
    return lines


def _fold(pattern: str, denies: Sequence[SessionDeny], alive_since: datetime | None, now: datetime) -> Fold | None:
    """Returns what the pattern may replace.

    NOTE: whoever is opened from now on must live, too: the time lies as far before now as clocks may differ.
    """
    high = _whole(now - CLOCK_SLACK)
    if alive_since is not None:
        high = min(high, _whole(alive_since - CLOCK_SLACK) - SECOND)
    old = [deny for deny in denies if before_which_all_began(deny) <= high]
    if not old:
        return None
    saved = cost_of(map(line_of, old)) - len(pattern)
    return Fold(pattern, max(map(before_which_all_began, old)), high, saved)


def _by_subject(denies: Iterable[SessionDeny]) -> dict[str, list[SessionDeny]]:
    grouped: dict[str, list[SessionDeny]] = {}
    for deny in denies:
        if deny.tag is DenyTag.GRANT and deny.subject and deny.pattern.startswith(f"{deny.subject}."):
            grouped.setdefault(deny.subject, []).append(deny)
    return grouped


def _whole(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)
