"""Reads JSON text into plain values, and refuses what other readers would disagree about."""

import json
from typing import Any


class MalformedJson(ValueError):  # noqa: N818 - named for what it says
    """The text is not JSON as this gateway reads it; says what is wrong, never the text itself."""

    def __init__(self, why: str, line: int | None = None) -> None:
        super().__init__(why)
        self.line = line


def strict_json(text: str, *, max_characters: int) -> Any:
    """Returns the value of one JSON text.

    Raises MalformedJson for a repeated key, NaN or an infinity, a number out of range, a lone surrogate, nesting that
    exhausts the stack, or a text over `max_characters`: RFC 8259 leaves each of them to the reader.
    """
    if len(text) > max_characters:
        raise MalformedJson(f"longer than {max_characters} characters")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_without_repeated_keys,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
        # NOTE: json reads "\ud800" into a lone surrogate, which no other part can encode.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as wrong:
        raise MalformedJson(f"not JSON: {wrong.msg} at column {wrong.colno}", wrong.lineno) from None
    except UnicodeEncodeError:
        raise MalformedJson("holds half of a surrogate pair") from None
    except RecursionError:
        raise MalformedJson("nested too deeply") from None
    except MalformedJson:
        raise
    except ValueError:  # CPython refuses integers of more than 4,300 digits
        raise MalformedJson("holds a number out of range") from None
    return value


def _without_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns the object; raises MalformedJson when a key stands twice."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedJson("an object names a key twice")
    return members


def _no_constant(name: str) -> Any:
    """Refuses NaN, Infinity and -Infinity, which are not JSON."""
    raise MalformedJson(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    """Returns the number; raises MalformedJson when it overflows to an infinity."""
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise MalformedJson("holds a number out of range")
    return number
