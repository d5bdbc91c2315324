"""Which lines are needed for a set of denies, and which of them come first where room is short."""

from collections.abc import Callable, Iterable
from datetime import datetime

from remit_server.application.revocation.lines import Line, line_of, wider_patterns
from remit_server.domain.revocation import DenyTag, SessionDeny

Lines = dict[tuple[DenyTag, str], datetime | None]
"""Lines by tag and pattern; of two with the same, the one that denies more."""


def lines_of_denies(denies: Iterable[SessionDeny], coarser: Iterable[Line] = ()) -> Lines:
    """Returns the lines of the denies as they stand, and the coarser ones among them."""
    lines: Lines = {}
    for line in (*map(line_of, denies), *coarser):
        key = (line.tag, line.pattern)
        known = lines.get(key, line.before)
        lines[key] = None if known is None or line.before is None else max(known, line.before)
    return lines


def arranged(denies: Iterable[SessionDeny], lines: Lines) -> list[Line]:
    """Returns the widest line for each deny, and no other, those first that matter most.

    What is required comes before what is not, wide lines before narrow ones, those that are needed longest first.
    """
    needed: dict[Line, tuple[bool, int, float]] = {}
    for deny in denies:
        line = widest(deny, lines)
        if line is not None:
            rank = (not deny.required, line.pattern.count("."), -deny.covers_until.timestamp())
            needed[line] = min(rank, needed.get(line, rank))
    return sorted(needed, key=lambda line: (needed[line], line.tag, line.pattern))


def widest(deny: SessionDeny, lines: Lines) -> Line | None:
    """Returns the widest of the lines that refuses every session of the deny; None where none does."""
    for pattern in (*reversed([*wider_patterns(deny.pattern)]), deny.pattern):
        key = (deny.tag, pattern)
        if key in lines:
            line = Line(deny.tag, pattern, lines[key])
            if line.denies_all_of(deny):
                return line
    return None


def denied_by(lines: Iterable[Line]) -> Callable[[SessionDeny], bool]:
    """Returns a function that says whether these lines refuse every session of a deny."""
    known = lines_of_denies((), lines)
    return lambda deny: widest(deny, known) is not None
