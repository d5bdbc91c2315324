"""Reads plain JSON values field by field: every key known, every type exact, every list and number within bounds."""

import re
from typing import Any, Final

Where = tuple[str | int, ...]

_MOST_NAMED: Final = 5
TEXT: Final = re.compile(r"[^\x00-\x1f\x7f]*")


class Malformed(ValueError):  # noqa: N818 - named for what it says
    """A value breaks a rule: where it stands and which rule, never the value."""

    def __init__(self, where: Where, rule: str) -> None:
        self.where = where
        self.rule = rule
        super().__init__(f"{spelled(where)}: {rule}")


def spelled(where: Where) -> str:
    """Returns a place as people write it: `entitlements[0].permissions`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in where)
    return text.removeprefix(".") or "the whole value"


def members(
    value: Any, where: Where, *, required: frozenset[str], optional: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Returns an object that has all required members and no unknown one."""
    if not isinstance(value, dict):
        raise Malformed(where, "must be an object")
    missing = sorted(required - value.keys())
    unknown = sorted(str(key) for key in value.keys() - required - optional)
    faults = [f"lacks {', '.join(missing)}"] if missing else []
    if unknown:
        names = ", ".join(repr(key[:40]) for key in unknown[:_MOST_NAMED])
        faults.append(f"has {'an unknown member' if len(unknown) == 1 else 'unknown members, such as'} {names}")
    if faults:
        raise Malformed(where, " and ".join(faults))
    return value


def mapping(value: Any, where: Where, *, most: int) -> dict[str, Any]:
    """Returns an object of free keys, at most so many."""
    if not isinstance(value, dict):
        raise Malformed(where, "must be an object")
    if len(value) > most:
        raise Malformed(where, f"has over {most} members")
    return value


def items(value: Any, where: Where, *, least: int, most: int) -> list[Any]:
    """Returns a list with a number of items within bounds."""
    if not isinstance(value, list):
        raise Malformed(where, "must be a list")
    if not least <= len(value) <= most:
        raise Malformed(where, f"must have {least} to {most} items")
    return value


def text(value: Any, where: Where, grammar: re.Pattern[str], meaning: str, *, most: int = 512) -> str:
    """Returns a string that matches a grammar as a whole."""
    if not isinstance(value, str) or not 1 <= len(value) <= most or not grammar.fullmatch(value):
        raise Malformed(where, f"must be {meaning}")
    return value


def texts(
    value: Any, where: Where, grammar: re.Pattern[str], meaning: str, *, least: int = 1, most: int
) -> tuple[str, ...]:
    """Returns a list of distinct strings that each match a grammar as a whole."""
    found = tuple(
        text(item, (*where, place), grammar, meaning)
        for place, item in enumerate(items(value, where, least=least, most=most))
    )
    if len(set(found)) != len(found):
        raise Malformed(where, "names something twice")
    return found


def whole(value: Any, where: Where, *, least: int, most: int) -> int:
    """Returns a whole number within bounds; true and 1.0 are none."""
    if type(value) is not int or not least <= value <= most:
        raise Malformed(where, f"must be a whole number from {least} to {most}")
    return value


def flag(value: Any, where: Where) -> bool:
    """Returns true or false; nothing else is either."""
    if value is not True and value is not False:
        raise Malformed(where, "must be true or false")
    return value
