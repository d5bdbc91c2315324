"""What a change of data touches: the groups to ask about, found without asking anything."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, TypeVar

from remit_server.application.comparing.values import Doubt, DoubtKind, Side

MOST_GROUPS: Final = 200
SPOT_CHECKS: Final = 16
MOST_WORDS: Final = 32
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _./-]{0,63}")
Name = TypeVar("Name")


@dataclass(frozen=True, slots=True)
class Touched:
    """Groups whose members may reach something else, and some others that are asked for comparison.

    `mentioned` are words of rules that changed: a rule may give something to a group that no catalogue knows.
    `news` are (group, entitlement) pairs of the later side that are new or changed: each should be seen in an answer.
    """

    groups: tuple[str, ...]
    spot_checks: tuple[str, ...]
    known: int
    news: frozenset[tuple[str, str]]
    everywhere: bool
    doubts: tuple[Doubt, ...]
    mentioned: tuple[str, ...] = ()


def touched(before: Side, after: Side) -> Touched:
    """Returns the groups that a change touches: all of them, within a bound, when more than the catalogue changed."""
    names = sorted({*before.groups, *after.groups})
    changed = {name for name in {*before.stated, *after.stated} if _differs(name, before.stated, after.stated)}
    nearest = [name for name in names if _is_touched(name, before.groups, after.groups, changed)]
    doubts = (*_rule_doubts(before, after), *_data_doubts(before, after))
    news = frozenset(
        (group, name)
        for group in nearest
        for name in after.groups.get(group, ())
        if name in changed or name not in before.groups.get(group, ())
    )
    rest = sorted(set(names) - set(nearest))
    if not doubts:
        return Touched(tuple(nearest), spread(rest, SPOT_CHECKS), len(names), news, everywhere=False, doubts=())
    room = max(0, MOST_GROUPS - len(nearest))
    asked = (*nearest, *spread(rest, room))
    if left := len(names) - len(asked):
        text = f"{left:,} of {len(names):,} groups were not asked about, though rules or their data changed"
        doubts = (*doubts, Doubt(DoubtKind.LEFT_OUT, text))
    words = tuple(_words(before, after))
    return Touched(asked, (), len(names), news, everywhere=True, doubts=doubts, mentioned=words)


def _words(before: Side, after: Side) -> Iterator[str]:
    """Yields texts of the rules that may be the name of a group, those of the later side alone first."""
    then, now = set(before.rules.literals), set(after.rules.literals)
    known = {*before.groups, *after.groups}
    words = [*sorted(now - then), *sorted(then - now), *sorted(then & now)]
    yield from islice((word for word in words if _WORD.fullmatch(word) and word not in known), MOST_WORDS)


def spread(names: Sequence[Name], most: int) -> tuple[Name, ...]:
    """Returns so many of the names at the most, evenly spread and the same each time."""
    if len(names) <= most:
        return tuple(names)
    return tuple(names[at * len(names) // most] for at in range(most))


def _differs(name: str, before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]) -> bool:
    """Says whether an entitlement says something else; its description is for people and tells nothing."""
    then, now = before.get(name), after.get(name)
    if then is None or now is None or then == now:
        return then != now
    return any(then.get(key) != now.get(key) for key in {*then, *now} - {"description"})


def _is_touched(
    group: str, before: Mapping[str, Sequence[str]], after: Mapping[str, Sequence[str]], changed: set[str]
) -> bool:
    """Says whether a group leads to other entitlements than before, or to one that changed."""
    then, now = set(before.get(group, ())), set(after.get(group, ()))
    return then != now or not changed.isdisjoint(now)


def _rule_doubts(before: Side, after: Side) -> Iterable[Doubt]:
    """Yields one doubt per file whose rules changed, comments and layout aside."""
    then, now = before.rules.digests, after.rules.digests
    gone, come = _without(then, now), _without(now, then)
    files: dict[str, set[str]] = {}
    for path, file, _ in (*gone, *come):
        files.setdefault(file, set()).add(path.removeprefix("data."))
    for file, paths in sorted(files.items()):
        text = f"rules changed in {file} ({_named(sorted(paths))}): what they do for every input cannot be proven"
        yield Doubt(DoubtKind.RULES, text)


def _without(
    those: Iterable[tuple[str, str, str]], others: Iterable[tuple[str, str, str]]
) -> list[tuple[str, str, str]]:
    """Returns the rules that have no like among the others, wherever they stand."""
    left: dict[tuple[str, str], int] = {}
    for path, _, digest in others:
        left[path, digest] = left.get((path, digest), 0) + 1
    missing = []
    for path, file, digest in those:
        left[path, digest] = left.get((path, digest), 0) - 1
        if left[path, digest] < 0:
            missing.append((path, file, digest))
    return missing


def _data_doubts(before: Side, after: Side) -> Iterable[Doubt]:
    """Yields one doubt per piece of data beside the catalogue that changed: rules may do anything with it."""
    for path in sorted({*before.data, *after.data}):
        if before.data.get(path) != after.data.get(path):
            text = f"data changed in {path}, which rules may read: what they do for every input cannot be proven"
            yield Doubt(DoubtKind.DATA, text)


def _named(names: Sequence[str], most: int = 6) -> str:
    """Returns the first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
