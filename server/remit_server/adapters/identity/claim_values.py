"""Reads single claims into plain values, or refuses the token: a claim of an unexpected shape is never guessed at."""

import unicodedata
from collections.abc import Mapping
from typing import Any, Final

from remit_server.adapters.identity.token_parsing import TokenRefused
from remit_server.config.identity_rules import is_plain_text

_LONGEST_EMAIL: Final = 320
_LAST_DATE: Final = 253_402_300_799  # 9999-12-31T23:59:59Z


def text_claim(claims: Mapping[str, Any], name: str) -> str:
    """Returns a claim that must be there, as 1 to 255 printable ASCII characters."""
    value = claims.get(name)
    if not isinstance(value, str) or not is_plain_text(value):
        raise TokenRefused(f"the claim `{name}` must be there, as 1 to 255 printable ASCII characters")
    return value


def optional_text(claims: Mapping[str, Any], name: str) -> str | None:
    """Returns a claim that may be missing, but must be plain text when it is there."""
    return text_claim(claims, name) if name in claims else None


def optional_email(claims: Mapping[str, Any]) -> str | None:
    """Returns the claim `email`, which may be missing and may hold letters of any script (RFC 6531)."""
    value = claims.get("email")
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= _LONGEST_EMAIL or not is_visible(value):
        raise TokenRefused(f"the claim `email` must be a string of at most {_LONGEST_EMAIL} visible characters")
    return value


def optional_seconds(claims: Mapping[str, Any], name: str) -> int | None:
    """Returns a time in whole seconds since the epoch, or None when the claim is missing."""
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LAST_DATE:
        raise TokenRefused(f"the claim `{name}` must be a number of seconds")
    return int(value)


def list_claim(claims: Mapping[str, Any], name: str, *, longest: int, characters: int) -> tuple[str, ...]:
    """Returns a claim that is a list of strings, empty when it is missing."""
    value = claims.get(name, [])
    if not isinstance(value, list) or len(value) > longest:
        raise TokenRefused(f"the claim `{name}` must be a list of at most {longest} strings")
    for item in value:
        if not isinstance(item, str) or not 1 <= len(item) <= characters or not is_visible(item):
            raise TokenRefused(f"the claim `{name}` must hold strings of 1 to {characters} visible characters")
    return tuple(value)


def flag_claim(claims: Mapping[str, Any], name: str) -> None:
    """Checks a claim that is documented as the word `true` or the word `false`."""
    if claims.get(name) not in ("true", "false"):  # a tuple: the value may be unhashable
        raise TokenRefused(f'the claim `{name}` must be "true" or "false"')


def kept_value(claims: Mapping[str, Any], name: str) -> Any:
    """Returns a claim as policies will read it; refuses invisible characters at any depth, which make records lie."""
    if not _is_clean(claims[name]):
        raise TokenRefused(f"the claim `{name}` holds control characters")
    return claims[name]


def is_visible(text: str) -> bool:
    """Says whether the text has no control, format, private or unassigned characters (Unicode category C)."""
    return not any(unicodedata.category(character).startswith("C") for character in text)


def _is_clean(value: Any) -> bool:
    """Says whether every string inside the value, member names too, is visible. The depth is bounded by the parser."""
    if isinstance(value, str):
        return is_visible(value)
    if isinstance(value, dict):
        return all(_is_clean(part) for member in value.items() for part in member)
    if isinstance(value, list):
        return all(_is_clean(item) for item in value)
    return True
