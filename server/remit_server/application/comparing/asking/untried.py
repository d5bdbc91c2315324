"""Patterns of agents that no number of examples exhausts: what changed of them is told, unless it is proven within."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from remit_server.application.comparing.asking.actors import MOST_ACTORS, alternatives
from remit_server.application.comparing.values import Doubt, DoubtKind, Side
from remit_server.iam import Pattern, PatternTooComplex

_PARTED: Final = re.compile(r"[/:]")
_CLASS: Final = re.compile(r"[\[\]\\]")
_WILD: Final = re.compile(r"[*?\[\]{}\\]")


def untried(news: Iterable[tuple[str, str]], before: Side, after: Side) -> Iterator[Doubt]:
    """Yields each pattern of a changed entitlement that may name agents beside those which were asked for.

    One agent stands for a pattern of plain stars. None does for a class such as `[a-d]`, nor for `**`, which is any
    number of steps.
    """
    for group, name in sorted(news):
        was_there = name in before.groups.get(group, ()) and name in before.entries
        then = before.entries[name].actors if was_there else ()
        for pattern in after.entries[name].actors if name in after.entries else ():
            if not _is_tried(pattern, then):
                text = f"{group}: whether {pattern} of {name} names agents that were not asked for is not proven"
                yield Doubt(DoubtKind.LEFT_OUT, text)


def _is_tried(pattern: str, then: Sequence[str]) -> bool:
    """Says whether what a pattern names is shown by examples, or was named by one pattern of before."""
    if not _WILD.search(pattern):
        return True
    if not any(_is_rich(one) for one in (pattern, *then)):
        return True
    return not _CLASS.search(pattern) and any(_is_within(pattern, one) for one in then)


def _is_rich(pattern: str) -> bool:
    """Says whether a pattern is more than alternatives of plain stars."""
    ways = tuple(alternatives(pattern))
    return len(ways) >= MOST_ACTORS or any("**" in way or "{" in way or _CLASS.search(way) for way in ways)


def _is_within(inner: str, outer: str) -> bool:
    """Says whether all that the inner pattern names, the outer does; no where that is not plain to see."""
    if inner == outer:
        return True
    if any(set("{}[]\\") & set(one) for one in (inner, outer)):
        return False
    mine, theirs = _PARTED.split(inner), _PARTED.split(outer)
    if _PARTED.findall(inner)[: len(theirs) - 1] != _PARTED.findall(outer):
        return False
    if theirs[-1] == "**":
        mine = [*mine[: len(theirs) - 1], "**"]
    return len(mine) == len(theirs) and all(map(_is_step_within, mine, theirs))


def _is_step_within(inner: str, outer: str) -> bool:
    """Says the same of one step between slashes or colons."""
    if inner == outer:
        return True
    if "**" in inner or "**" in outer:
        return False
    try:
        return Pattern(outer).includes(Pattern(inner))
    except (PatternTooComplex, ValueError):
        return False
