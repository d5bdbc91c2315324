"""Conditions of two statements taken together, and values of one condition taken apart or united."""

import math
from collections.abc import Iterable, Sequence
from itertools import product

from remit_server.iam.language.automaton import VARIABLE, BudgetError, Steps
from remit_server.iam.language.condition import Condition
from remit_server.iam.language.pattern import Pattern, PatternTooComplex
from remit_server.iam.language.reading import Network, network_of

_LIKE = "StringLike"
_IP = "IpAddress"
POSITIVE = frozenset(
    {
        "StringEquals",
        "StringEqualsIgnoreCase",
        "NumericEquals",
        "DateEquals",
        "Bool",
        "BinaryEquals",
        "ArnEquals",
        "ArnLike",
        _LIKE,
        _IP,
    }
)
"""Operators whose values are alternatives: one that fits is enough, so fewer values hold more rarely."""
NEGATIVE = frozenset(
    {
        "StringNotEquals",
        "StringNotEqualsIgnoreCase",
        "StringNotLike",
        "NumericNotEquals",
        "DateNotEquals",
        "ArnNotEquals",
        "ArnNotLike",
        "NotIpAddress",
    }
)
"""Operators none of whose values may fit: more values hold more rarely."""
_UNITABLE = frozenset({"StringEquals", "StringEqualsIgnoreCase", _LIKE, _IP, "ArnEquals", "ArnLike"})
_ALL = "ForAllValues"
_MOST_ALTERNATIVES = 200
# What comparing the values of two conditions, or of one among themselves, may cost; past it nothing is merged.
_MOST_STEPS = 20_000
_MOST_NETWORKS = 10_000


def conjoined(
    some: Sequence[Condition], others: Sequence[Condition], steps: Steps | None = None
) -> tuple[Condition, ...] | None:
    """Returns conditions that imply both sides, or None when that cannot be written as one statement.

    A statement holds one list of values for an operator and key: where both sides have one, the result has the
    values common to both (every value of both, for a negative operator). Raises BudgetError when the steps given
    are used up.
    """
    result = {_slot(condition): condition for condition in some}
    for condition in others:
        present = result.get(_slot(condition))
        both = condition if present is None else _common(present, condition, steps)
        if both is None:
            return None
        result[_slot(condition)] = both
    return canonical(result.values())


def canonical(conditions: Iterable[Condition]) -> tuple[Condition, ...]:
    """Puts conditions in one order, so that equal conditions compare equal."""
    conditions = tuple(conditions)
    if len(conditions) <= 1:
        return conditions
    return tuple(sorted(set(conditions), key=lambda one: (one.operator, one.folded_key, one.values)))


def united(some: Sequence[Condition], others: Sequence[Condition]) -> tuple[Condition, ...] | None:
    """Returns the conditions that hold exactly where one of the two sides does, if one statement can say so.

    The sides may differ in the values of one positive condition: values of one condition are alternatives.
    """
    only_some, only_others = set(some) - set(others), set(others) - set(some)
    if len(only_some) != 1 or len(only_others) != 1:
        return None
    (one,), (other,) = only_some, only_others
    qualifier, base = _taken_apart(one.operator)
    if _slot(one) != _slot(other) or qualifier == _ALL or base not in _UNITABLE:
        return None
    both = Condition(one.operator, one.key, (*one.values, *other.values))
    return canonical([*(set(some) - only_some), both])


def widest(conditions: Sequence[Condition]) -> tuple[Condition, ...]:
    """Drops, among the wildcard values of each condition, those that another one includes."""
    return tuple(
        condition
        if len(condition.values) == 1 or _taken_apart(condition.operator)[1] != _LIKE
        else Condition(condition.operator, condition.key, _widest(condition.values))
        for condition in conditions
    )


def by_value(conditions: Sequence[Condition]) -> list[tuple[Condition, ...]]:
    """Takes conditions apart into alternatives with one value each: together they hold where the given ones do.

    Returns the conditions as they are where each has one value, or where there would be very many alternatives.
    """
    combinations = math.prod(len(condition.values) for condition in conditions)
    if combinations == 1 or combinations > _MOST_ALTERNATIVES:
        return [tuple(conditions)]
    alternatives: list[tuple[Condition, ...]] = [()]
    for condition in conditions:
        qualifier, base = _taken_apart(condition.operator)
        values = condition.values if qualifier != _ALL and base in _UNITABLE else (None,)
        parts = [
            condition if value is None else Condition(condition.operator, condition.key, (value,)) for value in values
        ]
        alternatives = [(*one, part) for one in alternatives for part in parts]
    return alternatives


def _common(one: Condition, other: Condition, steps: Steps | None) -> Condition | None:
    if one == other:
        return one
    _, base = _taken_apart(one.operator)
    if any(VARIABLE in value for value in (*one.values, *other.values)):
        return None  # whether it is contained in both could not be proven
    if base in NEGATIVE:
        return Condition(one.operator, one.key, (*one.values, *other.values))
    if base not in POSITIVE:
        return None
    values = _common_values(base, one.values, other.values, steps)
    return Condition(one.operator, one.key, tuple(values)) if values else None


def _common_values(base: str, some: Sequence[str], others: Sequence[str], steps: Steps | None) -> set[str]:
    if base == _LIKE:
        return _common_patterns(some, others, steps)
    if base == _IP:
        return _common_networks(some, others)
    return set(some) & set(others)


def _common_patterns(some: Sequence[str], others: Sequence[str], given: Steps | None) -> set[str]:
    steps = given or Steps(_MOST_STEPS)
    mine, theirs = [Pattern(value) for value in some], [Pattern(value) for value in others]
    found: set[str] = set()
    try:
        for one in mine:
            for other in theirs:
                steps.take(one.cost)
                found.update(pattern.text for pattern in one.intersect(other, steps))
    except PatternTooComplex:
        return set()
    except BudgetError:
        if given is not None:
            raise
        return set()
    return set(_widest(found))


def _common_networks(some: Iterable[str], others: Iterable[str]) -> set[str]:
    mine, theirs = _networks(some), _networks(others)
    if len(mine) * len(theirs) > _MOST_NETWORKS:
        return set()
    return {
        str(max(one, other, key=lambda network: network.prefixlen))
        for one, other in product(mine, theirs)
        if one.version == other.version and one.overlaps(other)
    }


def _networks(values: Iterable[str]) -> list[Network]:
    """Reads networks; none where one of them cannot be read without a guess."""
    networks = [network_of(value) for value in values]
    return [] if None in networks else [network for network in networks if network is not None]


def _widest(values: Iterable[str]) -> tuple[str, ...]:
    if any(VARIABLE in value for value in values):
        return tuple(values)
    kept: list[Pattern] = []
    steps = Steps(_MOST_STEPS)
    for pattern in sorted(map(Pattern, values), key=lambda one: (len(one.text), one.text)):
        try:
            steps.take(pattern.cost * len(kept))
        except BudgetError:
            return tuple(values)
        if not any(wide.includes(pattern) for wide in kept):
            kept = [*(narrow for narrow in kept if not pattern.includes(narrow)), pattern]
    return tuple(pattern.text for pattern in kept)


def _slot(condition: Condition) -> tuple[str, str]:
    return condition.operator, condition.folded_key


def _taken_apart(operator: str) -> tuple[str, str]:
    qualifier, colon, rest = operator.partition(":")
    return (qualifier, rest.removesuffix("IfExists")) if colon else ("", operator.removesuffix("IfExists"))
