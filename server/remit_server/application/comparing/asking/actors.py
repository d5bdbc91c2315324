"""Actors that stand for all others: one for each set of patterns that can match together, and one that none does."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice, product
from typing import Final

from remit_server.application.comparing.ports import MatchesActor
from remit_server.iam import Pattern, PatternTooComplex

MOST_PATTERNS: Final = 200
MOST_ACTORS: Final = 64
UNNAMED: Final = "spiffe://unnamed.invalid/agent"
MOST_INSTANCES: Final = 81
_READ: Final = "any"
_WORDS: Final = ("742", "zqj", "XKW", "890", "~")
_PARTED: Final = re.compile(r"([/:])")
_TOKEN: Final = re.compile(r"(\\.|\[!?[^\]]+\]|\*+|\?)")
_PLAIN: Final = re.compile(r"[^\[\]{}!\\]+")  # a glob whose only wildcards are * and ?


@dataclass(frozen=True, slots=True)
class Representatives:
    """Actors to ask as, each with the name of its class, and the patterns for which none was found."""

    actors: tuple[tuple[str, str], ...]
    missed: tuple[str, ...]
    left_out: int


def representatives(patterns: Iterable[str], matches: MatchesActor) -> Representatives:
    """Returns an actor for every non-empty intersection of the patterns that was found, by what matches it."""
    known = sorted(set(patterns))
    closed, word = _closed(known), _word(known)
    found: dict[frozenset[str], tuple[str, str]] = {}
    for pattern in (*sorted(known, key=_plainness), *sorted(closed - set(known))):
        for actor in _instances(pattern, word):
            matching = frozenset(one for one in known if matches(one, actor))
            if matching and matching not in found:
                found[matching] = (actor, pattern)
    missed = tuple(one for one in known if not any(one in matching for matching in found))
    listed = sorted(found.values())
    return Representatives(
        (*listed[:MOST_ACTORS], (UNNAMED, "an agent that nothing names")), missed, len(listed[MOST_ACTORS:])
    )


def _plainness(pattern: str) -> tuple[bool, str]:
    """Sorts patterns without wildcards first: people know an actor by them."""
    return "*" in pattern or "?" in pattern, pattern


def _closed(patterns: Sequence[str]) -> set[str]:
    """Returns the patterns with the intersections of them, of those again, and so on, within a bound."""
    closed = {pattern for pattern in patterns if _PLAIN.fullmatch(pattern)}
    fresh = set(closed)
    while fresh and len(closed) < MOST_PATTERNS:
        pairs = ((one, other) for one in sorted(fresh) for other in sorted(closed) if one != other)
        met = {both for one, other in islice(pairs, 20_000) for both in _met(one, other)}
        fresh = met - closed
        closed |= set(sorted(fresh)[: MOST_PATTERNS - len(closed)])
    return closed


def _met(one: str, other: str) -> Iterator[str]:
    """Yields patterns that together match what both do: step by step, since `*` stays within one."""
    mine, theirs = _PARTED.split(one), _PARTED.split(other)
    if len(mine) != len(theirs) or mine[1::2] != theirs[1::2]:
        return
    try:
        steps = [Pattern(left).intersect(Pattern(right)) for left, right in zip(mine, theirs, strict=True)]
    except (PatternTooComplex, ValueError):
        return
    yield from ("".join(step.text for step in way) for way in islice(product(*steps), 8))


def _instances(pattern: str, word: str) -> Iterator[str]:
    """Yields actors that the pattern may match; whether it does is for its engine to say.

    Each run of stars stands for a word that people read, for one that no pattern has a letter of, or for nothing; two
    stars or more also for several steps, which one star never does.
    """
    for alternative in alternatives(pattern):
        tokens = _TOKEN.split(alternative)
        choices = [_choices(token, word) for token in tokens]
        yield from ("".join(chosen) for chosen in islice(product(*choices), MOST_INSTANCES))


def _choices(piece: str, word: str) -> tuple[str, ...]:
    """Returns what may stand for a piece of a glob: words, the ends of a class, a letter, or the piece itself."""
    if piece[:1] == "*":
        steps = () if piece == "*" else (f"{_READ}/{word}", f"{_READ}:{word}")
        return (_READ, word, "", *steps)
    if piece[:1] == "\\":
        return (piece[1:],)
    if piece[:1] == "[" and len(piece) > 1:
        return (word[0],) if piece[1] == "!" else tuple(dict.fromkeys((piece[1], piece[-2])))
    return (word[0] if piece == "?" else piece,)


def _word(patterns: Sequence[str]) -> str:
    """Returns a word whose letters stand in no pattern, as far as there is one."""
    letters = set("".join(patterns))
    return next((word for word in _WORDS if letters.isdisjoint(word)), _WORDS[-1])


def alternatives(pattern: str) -> Iterator[str]:
    """Yields the pattern with each one of its first alternatives `{a,b}`, within a bound."""
    waiting, yielded = [pattern], 0
    while waiting and yielded < MOST_ACTORS:
        text = waiting.pop(0)
        braces = re.search(r"\{([^{}]*)\}", text)
        if braces is None:
            yielded += 1
            yield text
        else:
            waiting += [f"{text[: braces.start()]}{one}{text[braces.end() :]}" for one in braces[1].split(",")]


def pairs_of(names: Sequence[str], most: int) -> tuple[tuple[tuple[str, str], ...], int]:
    """Returns pairs of names, the first so many, and how many are left out."""
    total = len(names) * (len(names) - 1) // 2
    return tuple(islice(combinations(names, 2), most)), max(0, total - most)
