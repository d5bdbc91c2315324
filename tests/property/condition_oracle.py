"""A slow second opinion on conditions: evaluates each operator of AWS plainly, on the values that a request carries.

Shares nothing with the checker, nor with the evaluator: its own wildcards, its own networks, its own numbers.
Source: IAM user guide, "IAM JSON policy elements: Condition operators" and "Multivalued context keys".
"""

import calendar
import socket
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache, partial

Values = tuple[str, ...] | None
"""What a request carries for a key; None where the key is missing."""


@cache
def glob(pattern: str, text: str) -> bool:
    """Matches a whole text, one character of the pattern at a time."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return glob(pattern[1:], text) or (text != "" and glob(pattern, text[1:]))
    return text != "" and pattern[0] in ("?", text[0]) and glob(pattern[1:], text[1:])


def is_unsure(kind: str, text: str) -> bool:
    """Says whether AWS may read a written value in another way than the plain one.

    A date: as seconds since 1970 or as a year. A number: with a zero before it in base eight, a zero below zero as one.
    A network: a length with a zero before it not at all, an address of IPv6 as a network of 32 bits. A truth: by case.
    """
    match kind:
        case "Date":
            return text.isdecimal() and (text[0] == "0" or not 9 <= len(text) <= 11)
        case "Numeric":
            digits = text.removeprefix("-")
            return text == "-0" or (digits[0] == "0" and digits[1:2] not in {"", "."})
        case "IpAddress":
            length = text.partition("/")[2]
            return (length != "0" and length.startswith("0")) or (":" in text and not length)
        case "Bool":
            return text.lower() not in {"true", "false"}
        case _:
            return False


def holds(operator: str, wanted: Sequence[str], present: Values, *, otherwise: bool = False) -> bool:
    """Says whether a condition holds for a request with these values of its key.

    Values that nobody is sure of are read plainly, or all of them in the other way that `is_unsure` names.
    """
    if operator == "Null":
        return ("true" if present is None else "false") in {value.lower() for value in wanted}
    qualifier, _, name = operator.rpartition(":")
    base = name.removesuffix("IfExists")
    positive = base.replace("Not", "")
    negative = positive != base
    if present is None:
        return name != base or qualifier == "ForAllValues" or (negative and qualifier == "")
    fits = [any(_fits(positive, value, one, otherwise=otherwise) for value in wanted) for one in present]
    match qualifier:
        case "ForAllValues":
            return not any(fit == negative for fit in fits)
        case "ForAnyValue":
            return any(fit != negative for fit in fits)
        case _:
            return not any(fits) if negative else any(fits)


def _fits(positive: str, wanted: str, present: str, *, otherwise: bool) -> bool:
    kind = next((kind for kind in ("Numeric", "Date") if positive.startswith(kind)), None)
    if kind is None:
        unsure = otherwise and is_unsure(positive, wanted)
        return (_OTHERWISE if unsure else _FITTING)[positive](wanted, present)
    read = partial(_number if kind == "Numeric" else _moment, otherwise=otherwise)
    difference = read(present) - read(wanted)
    match positive.removeprefix(kind):
        case "Equals":
            return difference == 0
        case "LessThan":
            return difference < 0
        case "LessThanEquals":
            return difference <= 0
        case "GreaterThan":
            return difference > 0
        case _:
            return difference >= 0


def _number(text: str, *, otherwise: bool) -> Fraction:
    if otherwise and is_unsure("Numeric", text):
        return Fraction(-1, 10) if text == "-0" else Fraction(int(text, 8))
    return Fraction(text)


def _moment(text: str, *, otherwise: bool) -> Fraction:
    if otherwise and is_unsure("Date", text):
        return Fraction(calendar.timegm((int(text[:4]), 1, 1, 0, 0, 0)))
    if text.isdecimal():
        return Fraction(text)
    return Fraction(calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")))


def _in_network(wanted: str, present: str) -> bool:
    network, _, length = wanted.partition("/")
    (address, bits), (base, own_bits) = _address(present), _address(network)
    kept = bits - int(length or bits)
    return bits == own_bits and address >> kept == base >> kept


def _address(text: str) -> tuple[int, int]:
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    packed = socket.inet_pton(family, text)
    return int.from_bytes(packed, "big"), 8 * len(packed)


def _arn_fits(wanted: str, present: str) -> bool:
    segments, own = wanted.split(":", 5), present.split(":", 5)
    return len(segments) == len(own) == 6 and all(map(glob, segments, own))


_FITTING: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda wanted, present: wanted == present,
    "StringEqualsIgnoreCase": lambda wanted, present: wanted.upper() == present.upper(),
    "StringLike": glob,
    "Bool": lambda wanted, present: wanted.lower() == present.lower(),
    "BinaryEquals": lambda wanted, present: wanted == present,
    "IpAddress": _in_network,
    "ArnEquals": _arn_fits,
    "ArnLike": _arn_fits,
}
_OTHERWISE: dict[str, Callable[[str, str], bool]] = {
    "Bool": lambda wanted, present: wanted == present,
    "IpAddress": lambda wanted, present: "/" not in wanted and _in_network(f"{wanted}/32", present),
}
