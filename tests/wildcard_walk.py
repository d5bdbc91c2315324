"""Lists one shortest text for each way in which a list of wildcard patterns can match, by walking all at once.

Written for the checker of invariant I3, which must not lean on the gateway's own pattern code.
"""

from functools import lru_cache

Places = frozenset[int]
MAX_STATES = 20_000
_FRESH = "~^!"  # letters that none of the patterns may hold


class TooManyStates(AssertionError):  # noqa: N818 - an outcome of a check
    """The patterns can match in more ways than the walk is willing to list."""


@lru_cache(4096)
def walk(patterns: tuple[str, ...]) -> tuple[tuple[str, tuple[bool, ...]], ...]:
    """Returns (text, which patterns match it), each combination once; raises TooManyStates."""
    fresh = next(letter for letter in _FRESH if not any(letter in pattern for pattern in patterns))
    start = tuple(_settled(pattern, frozenset({0})) for pattern in patterns)
    texts, waiting = {start: ""}, [start]
    found = {_matches(patterns, start): ""}
    for state in waiting:
        for letter in sorted(_next_letters(patterns, state) | {fresh}):
            after = tuple(_after(pattern, places, letter) for pattern, places in zip(patterns, state, strict=True))
            found.setdefault(_matches(patterns, after), texts[state] + letter)
            if after not in texts:
                texts[after] = texts[state] + letter
                waiting.append(after)
        if len(texts) > MAX_STATES:
            raise TooManyStates(f"over {MAX_STATES} states for {len(patterns)} patterns")
    return tuple((text, matches) for matches, text in found.items())


def _matches(patterns: tuple[str, ...], state: tuple[Places, ...]) -> tuple[bool, ...]:
    return tuple(len(pattern) in places for pattern, places in zip(patterns, state, strict=True))


def _next_letters(patterns: tuple[str, ...], state: tuple[Places, ...]) -> set[str]:
    letters = {
        pattern[place]
        for pattern, places in zip(patterns, state, strict=True)
        for place in places
        if place < len(pattern)
    }
    return letters - {"*", "?"}


@lru_cache(1 << 17)
def _after(pattern: str, places: Places, letter: str) -> Places:
    """Returns where in the pattern one may stand after the letter."""
    moved = {place if pattern[place] == "*" else place + 1 for place in places if _takes(pattern, place, letter)}
    return _settled(pattern, frozenset(moved))


def _takes(pattern: str, place: int, letter: str) -> bool:
    return place < len(pattern) and pattern[place] in ("*", "?", letter)


def _settled(pattern: str, places: Places) -> Places:
    """Adds the places behind stars, which may stand for nothing."""
    settled = set(places)
    for place in places:
        at = place
        while at < len(pattern) and pattern[at] == "*":
            at += 1
            settled.add(at)
    return frozenset(settled)
