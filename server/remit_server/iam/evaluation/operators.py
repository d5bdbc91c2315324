"""What a condition's operator means for one request; whatever is not understood is unknown, never a guess."""

import ipaddress
import operator
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from remit_server.iam.language.condition import Condition
from remit_server.iam.language.pattern import Pattern
from remit_server.iam.language.reading import network_of, number_of, truth_of

Context = Mapping[str, str | tuple[str, ...]]
"""Condition keys (case does not matter) and their values; a key without values counts as absent."""

Test = Callable[[str, str], bool]

_ALL = "ForAllValues"
_ANY = "ForAnyValue"
_IF_EXISTS = "IfExists"
_ORDERINGS: dict[str, Callable[[Any, Any], bool]] = {
    "Equals": operator.eq,
    "LessThan": operator.lt,
    "LessThanEquals": operator.le,
    "GreaterThan": operator.gt,
    "GreaterThanEquals": operator.ge,
}
_ARN_SEGMENTS = 6
_SECONDS = re.compile(r"[1-9][0-9]{8,10}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})")


def holds(condition: Condition, context: Context) -> bool | None:
    """Says whether the condition holds for a request with this context; None when that cannot be known.

    Unknown are: operators not listed in the IAM user guide ("Condition operators"), values that the operator
    cannot read, and values with a policy variable.
    """
    if any("${" in value for value in condition.values):
        return None
    values = _values_of(condition.key, context)
    if condition.operator == "Null":
        return _null(condition.values, present=bool(values))
    qualifier, base, optional = _taken_apart(condition.operator)
    negative, test = _test_of(base)
    if test is None or qualifier not in {"", _ALL, _ANY}:
        return None
    if not values:
        return optional or qualifier == _ALL or (negative and not qualifier)
    try:
        matched = [any(test(value, wanted) for wanted in condition.values) for value in values]
    except ValueError:
        return None
    return _combined(matched, qualifier, negative=negative)


def _combined(matched: list[bool], qualifier: str, *, negative: bool) -> bool:
    if not qualifier:  # several values without a qualifier: a negative operator then wants that none matches
        return any(matched) is not negative
    satisfied = [match is not negative for match in matched]
    return all(satisfied) if qualifier == _ALL else any(satisfied)


def _taken_apart(name: str) -> tuple[str, str, bool]:
    qualifier, colon, rest = name.partition(":")
    if not colon:
        qualifier, rest = "", name
    base = rest.removesuffix(_IF_EXISTS)
    return qualifier, base, base != rest


def _test_of(base: str) -> tuple[bool, Test | None]:
    """Finds the test for one value, and whether the operator wants it to fail."""
    if base in _TESTS:
        return False, _TESTS[base]
    positive = base.replace("Not", "", 1)
    if positive != base and positive in _NEGATABLE:
        return True, _TESTS[positive]
    return False, None


def _values_of(key: str, context: Context) -> tuple[str, ...]:
    for name, value in context.items():
        if name.lower() == key.lower():
            return (value,) if isinstance(value, str) else tuple(value)
    return ()


def _null(wanted: tuple[str, ...], *, present: bool) -> bool | None:
    answers = {value.lower() for value in wanted}
    if not answers or answers - {"true", "false"}:
        return None
    return ("false" if present else "true") in answers


def _like(value: str, wanted: str) -> bool:
    return Pattern(wanted).matches(value)


def _boolean(value: str, wanted: str) -> bool:
    if truth_of(value) is None or truth_of(wanted) is None:
        raise ValueError("A Bool condition compares true and false.")
    return truth_of(value) is truth_of(wanted)


def _in_network(value: str, wanted: str) -> bool:
    network = network_of(wanted)
    if network is None:
        raise ValueError("An IP condition compares with networks that everybody reads alike.")
    return ipaddress.ip_address(value) in network


def _arn_like(value: str, wanted: str) -> bool:
    """Compares ARNs segment by segment; wildcards do not cross the first five colons."""
    values, patterns = value.split(":", _ARN_SEGMENTS - 1), wanted.split(":", _ARN_SEGMENTS - 1)
    if len(values) != _ARN_SEGMENTS or len(patterns) != _ARN_SEGMENTS:
        return False
    return all(_like(part, pattern) for part, pattern in zip(values, patterns, strict=True))


def _numeric(compare: Callable[[Decimal, Decimal], bool]) -> Test:
    return lambda value, wanted: compare(_number(value), _number(wanted))


def _date(compare: Callable[[float, float], bool]) -> Test:
    return lambda value, wanted: compare(_moment(value), _moment(wanted))


def _number(text: str) -> Decimal:
    number = number_of(text)
    if number is None:
        raise ValueError("A Numeric condition compares numbers that everybody reads alike.")
    return number


def _moment(text: str) -> float:
    """Reads what can only be seconds since 1970, or a time with its zone in ISO 8601, as seconds since 1970."""
    if _SECONDS.fullmatch(text):
        return float(text)
    if not _TIME.fullmatch(text):
        raise ValueError("A Date condition compares times with a zone, or seconds of nine to eleven digits.")
    return datetime.fromisoformat(text).timestamp()


_TESTS: dict[str, Test] = {
    "StringEquals": operator.eq,
    "StringEqualsIgnoreCase": lambda value, wanted: value.lower() == wanted.lower(),
    "StringLike": _like,
    "Bool": _boolean,
    "BinaryEquals": operator.eq,
    "IpAddress": _in_network,
    "ArnEquals": _arn_like,
    "ArnLike": _arn_like,
    **{f"Numeric{name}": _numeric(compare) for name, compare in _ORDERINGS.items()},
    **{f"Date{name}": _date(compare) for name, compare in _ORDERINGS.items()},
}
_NEGATABLE = {
    "StringEquals",
    "StringEqualsIgnoreCase",
    "StringLike",
    "NumericEquals",
    "DateEquals",
    "IpAddress",
    "ArnEquals",
    "ArnLike",
}
