"""Reads tables of settings strictly: every key has a kind, and an unknown one is refused with the nearest."""

import re
from collections.abc import Mapping
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from remit.local.errors import InvalidSettings

_DURATION = re.compile(r"(?P<count>[0-9]{1,9})(?P<unit>s|m|h|)")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


def duration_of(text: str) -> timedelta:
    """Reads `900`, `900s`, `15m` or `1h`; raises ValueError with what is accepted."""
    found = _DURATION.fullmatch(text)
    if found is None or not int(found["count"]):
        raise ValueError("write a time as 900 (seconds), 900s, 15m or 1h")
    return timedelta(seconds=int(found["count"]) * _UNITS[found["unit"]])


class Table:
    """One table of a settings file; each reading method takes a key, and `done` refuses the keys that were not read."""

    def __init__(self, values: object, name: str, file: Path) -> None:
        self._name = name
        self._file = file
        self._known: list[str] = []
        if not isinstance(values, Mapping):
            self.refuse(f"[{name}] must be a table")
        self._values: Mapping[str, Any] = values

    @property
    def name(self) -> str:
        """Its name as it is written, `[login]`."""
        return f"[{self._name}]"

    def text(self, key: str) -> str | None:
        """Returns a text, None where the key is not there."""
        value = self._read(key)
        if value is not None and (not isinstance(value, str) or not value.strip()):
            self._wrong(key, "a text in quotes")
        return value

    def choice(self, key: str, of: tuple[str, ...]) -> str:
        """Returns one of these texts, the first where the key is not there."""
        value = self.text(key) or of[0]
        if value not in of:
            self._wrong(key, " or ".join(f'"{item}"' for item in of))
        return value

    def path(self, key: str) -> Path | None:
        """Returns a path, `~` expanded; relative ones are beside the settings file."""
        value = self.text(key)
        return None if value is None else self._file.parent / Path(value).expanduser()

    def texts(self, key: str) -> tuple[str, ...]:
        """Returns a list of texts, an empty one where the key is not there."""
        value = self._read(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
            self._wrong(key, "a list of texts in quotes")
        return tuple(value)

    def flag(self, key: str) -> bool:
        """Returns true or false, false where the key is not there."""
        value = self._read(key)
        if value is not None and not isinstance(value, bool):
            self._wrong(key, "true or false")
        return bool(value)

    def duration(self, key: str) -> timedelta | None:
        """Returns a time, None where the key is not there."""
        value = self._read(key)
        if value is None:
            return None
        try:
            return duration_of(str(value))
        except ValueError:
            self._wrong(key, 'a time such as 900 (seconds), "15m" or "1h"')

    def labels(self, key: str) -> tuple[tuple[str, str], ...]:
        """Returns a table of texts as sorted pairs, an empty one where the key is not there."""
        value = self._read(key)
        if value is None:
            return ()
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            self._wrong(key, 'a table of texts such as { team = "finance" }')
        return tuple(sorted(value.items()))

    def table(self, key: str) -> "Table | None":
        """Returns a table within this one, None where the key is not there."""
        value = self._read(key)
        return None if value is None else Table(value, self._dotted(key), self._file)

    def tables(self) -> "dict[str, Table]":
        """Returns every key as a table."""
        return {key: Table(self._read(key), self._dotted(key), self._file) for key in self._values}

    def done(self) -> None:
        """Refuses keys that were not read."""
        for key in self._values:
            if key not in self._known:
                near = get_close_matches(key, self._known, n=1)
                hint = f"; did you mean {near[0]}?" if near else f": known are {', '.join(sorted(self._known))}"
                self.refuse(f"{self._dotted(key)} is no setting{hint}")

    def refuse(self, what: str) -> NoReturn:
        """Raises InvalidSettings for this file."""
        raise InvalidSettings(f"{self._file}: {what}", advice="correct the file; docs/cli.md lists every setting")

    def _read(self, key: str) -> Any:
        self._known.append(key)
        return self._values.get(key)

    def _dotted(self, key: str) -> str:
        return f"{self._name}.{key}" if self._name else key

    def _wrong(self, key: str, what: str) -> NoReturn:
        # NOTE: never the value: somebody may have put a token where the name of its source belongs.
        self.refuse(f"{self._dotted(key)} must be {what}")
