"""The one JSON text of a value: sorted keys, no spaces, ASCII."""

from collections.abc import Callable
from json import encoder
from typing import Any, Final

quoted: Final = encoder.encode_basestring_ascii
"""Returns a text as JSON writes it."""


def canonical_by(default: Callable[[Any], Any]) -> Callable[[Any], str]:
    """Returns what writes values as canonical JSON; `default` turns what is none into JSON values, or raises TypeError.

    NaN and infinities raise ValueError, and a value that holds itself RecursionError.
    """
    # `JSONEncoder.encode` makes this again for each text, which takes longer than a short text does.
    make: Any = encoder.c_make_encoder  # type: ignore[attr-defined]  # as JSONEncoder calls it
    encode = make(None, default, quoted, None, ":", ",", True, False, False)  # noqa: FBT003 - sorted; nothing is skipped; no NaN
    return lambda value: "".join(encode(value, 0))
