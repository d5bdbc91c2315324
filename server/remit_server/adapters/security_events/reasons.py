"""What a source gives as its reason, made fit for records and logs."""

from collections.abc import Mapping
from typing import Any, Final

LONGEST: Final = 200


def shown(text: str) -> str:
    """Returns a text of a stranger, cut, with everything that steers a terminal or a log replaced."""
    return "".join(one if one.isprintable() else "?" for one in text[:LONGEST])


def reason_of(event: Mapping[str, Any]) -> str:
    """Returns the reason of an event: RISC's `reason`, CAEP's `reason_admin` (a text, or one for each language)."""
    for name in ("reason", "reason_admin", "reason_user"):
        value = event.get(name)
        if isinstance(value, dict):
            value = value.get("en", next(iter(value.values()), None))
        if isinstance(value, str) and value:
            return shown(value)
    changed = [event.get(name) for name in ("credential_type", "change_type")]
    return shown(" ".join(part for part in changed if isinstance(part, str)))
