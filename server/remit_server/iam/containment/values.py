"""What the values of one condition say about the values of another, operator by operator.

Each operator takes some values of its key and refuses the others. Here it is proven that all values one operator takes
are taken by another one. What AWS does not document (how it reads a number of thirty digits, a year that may be
seconds, a network with host bits, a letter outside ASCII without its case) proves nothing; see `language/reading.py`.
Source: IAM user guide, "IAM JSON policy elements: Condition operators".
"""

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache

from remit_server.iam.language.pattern import Pattern
from remit_server.iam.language.reading import Network, network_of, number_of, truth_of

# Proofs seen again are not made again; both bounds together bound the memory, whoever writes.
_REMEMBERED = 4096
_REMEMBERED_LENGTH = 512
_VALUE_LENGTH = 16
# What comparing the values of two conditions may cost, in comparisons of patterns; past it nothing is proven.
_MOST_STEPS = 20_000
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
# NOTE: fewer digits may be a year or a day, more of them milliseconds or a time of day.
_SECONDS = re.compile(r"[1-9][0-9]{8,10}")
# NOTE: one letter outside ASCII may be spelled with several of these, as the sharp s and the ligatures are.
_JOINED_LETTERS = re.compile(r"[filst]{2,}", re.IGNORECASE | re.ASCII)
_ARN_SEGMENTS = 6
_WITH_WILDCARDS = frozenset({"StringLike", "ArnEquals", "ArnLike"})

_Place = tuple[Decimal, int]
"""A place between values in order: just before the value (0), or just after it (1)."""
_FIRST, _LAST = (Decimal("-Infinity"), 0), (Decimal("Infinity"), 1)


@dataclass(frozen=True, slots=True)
class Taken:
    """Names the values that an operator, without qualifier and IfExists, takes of its key."""

    operator: str
    values: tuple[str, ...]

    @property
    def is_negative(self) -> bool:
        """Whether the operator takes what none of its values fits."""
        return "Not" in self.operator

    @property
    def opposite(self) -> "Taken":
        """What a negative operator refuses."""
        return Taken(self.operator.replace("Not", ""), self.values)

    @property
    def length(self) -> int:
        """What remembering the values costs, in characters."""
        return sum(map(len, self.values)) + _VALUE_LENGTH * len(self.values)


def lies_in(some: Taken, others: Taken) -> bool:
    """Says whether each value that the one takes is taken by the other; True only when proven."""
    return (known_lies_in if some.length + others.length <= _REMEMBERED_LENGTH else _lies_in)(some, others)


def _lies_in(some: Taken, others: Taken) -> bool:
    kind = _kind_of(some.operator)
    if kind is None or kind != _kind_of(others.operator):
        return False
    if kind in _ORDERED:
        return _lies_in_order(some, others, _ORDERED[kind])
    match some.is_negative, others.is_negative:
        case False, False:
            return _covers(kind, others, some)
        case True, True:
            return _covers(kind, some.opposite, others.opposite)
        case False, True:
            return _is_apart(kind, some, others.opposite)
        case _:
            return False


known_lies_in = lru_cache(_REMEMBERED)(_lies_in)


def takes_nothing_empty(taken: Taken) -> bool:
    """Says whether a positive operator is known not to take the empty text."""
    if taken.operator in _WITH_WILDCARDS:
        return not any(Pattern(value).matches("") for value in taken.values)
    return not taken.is_negative and "" not in taken.values


def _kind_of(operator: str) -> str | None:
    positive = operator.replace("Not", "")
    return next((kind for kind in _KINDS if positive.startswith(kind)), None)


def _covers(kind: str, wide: Taken, narrow: Taken) -> bool:
    """Says whether each value of the narrow operator lies in one of the wide one, or in several networks together."""
    if wide.operator == narrow.operator and set(narrow.values) <= set(wide.values):
        return True
    if kind == "IpAddress":
        return _covers_networks(wide.values, narrow.values)
    includes = _INCLUDING.get(kind)
    if includes is None or _costs_too_much(wide, narrow):
        return False
    return all(
        any(includes(wide.operator, outer, narrow.operator, inner) for outer in wide.values) for inner in narrow.values
    )


def _is_apart(kind: str, one: Taken, other: Taken) -> bool:
    """Says whether no value is taken by both operators."""
    apart = _APART.get(kind)
    if apart is None or _costs_too_much(one, other):
        return False
    return all(apart(one.operator, mine, other.operator, theirs) for mine in one.values for theirs in other.values)


def _costs_too_much(one: Taken, other: Taken) -> bool:
    return (sum(map(len, one.values)) // 16 + len(one.values)) * len(other.values) > _MOST_STEPS


# Texts: StringEquals is the text itself, StringLike has wildcards, StringEqualsIgnoreCase every spelling in ASCII.


def _text_includes(outer: str, wide: str, inner: str, narrow: str) -> bool:
    """Says whether each text that the inner operator takes for `narrow` is one the outer takes for `wide`."""
    if inner == "StringLike":
        pattern = Pattern(narrow)
        if outer == "StringLike":
            return Pattern(wide).includes(pattern)
        return pattern.is_literal and _text_includes(outer, wide, "StringEquals", narrow)
    if outer == "StringEqualsIgnoreCase":
        return wide == narrow or (wide.isascii() and narrow.isascii() and wide.lower() == narrow.lower())
    if inner == "StringEquals" or _has_one_spelling(narrow):
        return Pattern(wide).matches(narrow) if outer == "StringLike" else wide == narrow
    return outer == "StringLike" and narrow.isascii() and Pattern(wide).includes(_over_spellings(narrow))


def _text_apart(one: str, mine: str, other: str, theirs: str) -> bool:
    """Says whether no text is taken by both operators."""
    if other == "StringLike" and one != "StringLike":
        return _text_apart(other, theirs, one, mine)
    if one == "StringLike":
        if other == "StringLike":
            return not Pattern(mine).overlaps(Pattern(theirs))
        if other == "StringEquals":
            return not Pattern(mine).matches(theirs)
        return mine.isascii() and theirs.isascii() and not _fits_a_spelling(Pattern(mine.lower()), theirs.lower())
    if "StringEqualsIgnoreCase" in (one, other):
        return mine.isascii() and theirs.isascii() and mine.lower() != theirs.lower()
    return mine != theirs


def _fits_a_spelling(pattern: Pattern, text: str) -> bool:
    """Says whether a pattern may match a spelling of an ASCII text, both of them in small letters."""
    shortened = _JOINED_LETTERS.sub("?*", text)
    return pattern.matches(text) if shortened == text else pattern.overlaps(Pattern(shortened))


def _over_spellings(text: str) -> Pattern:
    """Returns a pattern over all spellings of an ASCII text, and more."""
    shortened = _JOINED_LETTERS.sub("?*", text)
    return Pattern("".join("?" if each.isalpha() else each for each in shortened))


def _has_one_spelling(text: str) -> bool:
    return text.isascii() and not any(each.isalpha() for each in text)


# ARNs are compared segment by segment; what is proven of segments is true of whole texts as well.


def _arn_includes(_outer: str, wide: str, _inner: str, narrow: str) -> bool:
    mine, theirs = wide.split(":", _ARN_SEGMENTS - 1), narrow.split(":", _ARN_SEGMENTS - 1)
    if len(mine) != _ARN_SEGMENTS or len(theirs) != _ARN_SEGMENTS:
        return False
    return all(Pattern(one).includes(Pattern(other)) for one, other in zip(mine, theirs, strict=True))


def _arn_apart(_one: str, mine: str, _other: str, theirs: str) -> bool:
    return not Pattern(mine).overlaps(Pattern(theirs))


def _bool_includes(_outer: str, wide: str, _inner: str, narrow: str) -> bool:
    return truth_of(narrow) is not None and truth_of(wide) is truth_of(narrow)


def _covers_networks(wide: Sequence[str], narrow: Sequence[str]) -> bool:
    outer, inner = _networks(wide), _networks(narrow)
    if outer is None or inner is None or len(outer) * len(inner) > _MOST_STEPS:
        return False
    return all(any(_is_subnet(network, other) for other in outer) for network in inner)


def _networks(values: Sequence[str]) -> list[Network] | None:
    """Reads networks, neighbours joined; None where one cannot be read, or not without a guess."""
    networks = [network_of(value) for value in values]
    if None in networks:
        return None
    fours = [each for each in networks if isinstance(each, ipaddress.IPv4Network)]
    sixes = [each for each in networks if isinstance(each, ipaddress.IPv6Network)]
    return [*ipaddress.collapse_addresses(fours), *ipaddress.collapse_addresses(sixes)]


def _is_subnet(inner: Network, outer: Network) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def _network_apart(_one: str, mine: str, _other: str, theirs: str) -> bool:
    """NOTE: of an address of the other version nothing is known, because one may be written as the other."""
    some, others = _networks((mine,)), _networks((theirs,))
    if some is None or others is None:
        return False
    return all(one.version == other.version and not one.overlaps(other) for one in some for other in others)


# Numbers and dates: each operator takes spans of the values in order.


def _lies_in_order(some: Taken, others: Taken, read: Callable[[Sequence[str]], list[Decimal] | None]) -> bool:
    numbers = read((*some.values, *others.values))
    if numbers is None:
        return some.operator == others.operator and set(some.values) == set(others.values)
    inner = _spans(some.operator, numbers[: len(some.values)])
    outer = _joined(_spans(others.operator, numbers[len(some.values) :]))
    return all(any(start <= one and end >= two for start, end in outer) for one, two in inner)


def _spans(operator: str, numbers: Sequence[Decimal]) -> list[tuple[_Place, _Place]]:
    before, after = [(number, 0) for number in numbers], [(number, 1) for number in numbers]
    match operator.removeprefix("Numeric").removeprefix("Date"):
        case "Equals":
            return list(zip(before, after, strict=True))
        case "NotEquals":
            between = zip((_FIRST, *sorted(after)), (*sorted(before), _LAST), strict=True)
            return [(start, end) for start, end in between if start < end]
        case "LessThan":
            return [(_FIRST, end) for end in before]
        case "LessThanEquals":
            return [(_FIRST, end) for end in after]
        case "GreaterThan":
            return [(start, _LAST) for start in after]
        case _:
            return [(start, _LAST) for start in before]


def _joined(spans: Sequence[tuple[_Place, _Place]]) -> list[tuple[_Place, _Place]]:
    joined: list[tuple[_Place, _Place]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _numbers(values: Sequence[str]) -> list[Decimal] | None:
    numbers = [number for number in map(number_of, values) if number is not None]
    return numbers if len(numbers) == len(values) else None


def _moments(values: Sequence[str]) -> list[Decimal] | None:
    """Reads times, all of them in one form: whole seconds of UTC, or what can only be whole seconds since 1970."""
    if all(_SECONDS.fullmatch(value) for value in values):
        return [Decimal(value) for value in values]
    if not all(_TIME.fullmatch(value) for value in values):
        return None
    try:
        return [Decimal(int(datetime.fromisoformat(value).timestamp())) for value in values]
    except ValueError:
        return None


_KINDS = ("String", "Numeric", "Date", "Bool", "BinaryEquals", "IpAddress", "Arn")
_ORDERED = {"Numeric": _numbers, "Date": _moments}
_INCLUDING = {"String": _text_includes, "Arn": _arn_includes, "Bool": _bool_includes}
_APART = {"String": _text_apart, "Arn": _arn_apart, "IpAddress": _network_apart}
