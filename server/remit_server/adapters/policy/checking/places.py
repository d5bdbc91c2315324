"""Where things stand in a bundle's data files: looked up again, deeper than reading keeps them, when asked for."""

import copy
import json
import time
from collections.abc import Callable, ItemsView, Iterator, Mapping
from typing import Any, Final

from remit_server.adapters.policy.bundles.bundle import Bundle
from remit_server.adapters.policy.findings import Finding
from remit_server.adapters.strict_fields import Where, spelled
from remit_server.adapters.strict_yaml import MalformedYaml, strict_yaml

ENTITLEMENTS: Final = "remit/catalog/entitlements"
CAPABILITIES: Final = "remit/catalog/capabilities"
ADMINISTRATION: Final = "remit/catalog/administration"
_LINES_TO_DEPTH: Final = 8

Lines = Mapping[tuple[str | int, ...], int]


class Places:
    """The data files of a bundle, and the line of each value in them; none in JSON."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files
        self._known: dict[str, tuple[str, Lines]] = {}

    def of(self, folder: str, where: Where) -> tuple[str, int]:
        """Returns the file of a value and the nearest line known."""
        path, lines = self._known.get(folder) or self._known.setdefault(folder, self._read(folder))
        while where and where not in lines:
            where = where[:-1]
        return path, lines.get(where, 0)

    def finding(self, folder: str, where: Where, problem: str, mend: str, rule: str) -> Finding:
        """Returns a finding about a value."""
        return Finding(*self.of(folder, where), f"{spelled(where)}: {problem}", mend, rule)

    def _read(self, folder: str) -> tuple[str, Lines]:
        """Returns the data file of a folder, and its lines."""
        path = f"{folder}/data.yaml"
        if path in self._files:
            try:
                return path, strict_yaml(self._files[path].decode("utf-8"), lines_to_depth=_LINES_TO_DEPTH)[1]
            except (MalformedYaml, UnicodeDecodeError):
                return path, {}
        return (f"{folder}/data.json" if f"{folder}/data.json" in self._files else folder), {}


class OutOfTime(Exception):  # noqa: N818 - named for what it says
    """The moment has come until which a catalogue was to be looked through."""


class _Until(dict[str, Any]):
    """A part of the catalogue that may be looked through until a moment (of the monotonic clock), then no more."""

    def __init__(self, held: Mapping[str, Any], moment: float) -> None:
        super().__init__(held)
        self._moment = moment

    def _check(self) -> None:
        if time.monotonic() > self._moment:
            raise OutOfTime

    def __getitem__(self, name: str) -> Any:
        self._check()
        return super().__getitem__(name)

    def __iter__(self) -> Iterator[str]:
        for name in super().__iter__():
            self._check()
            yield name

    def items(self) -> Any:
        return ItemsView(self)


class Catalogue:
    """The catalogue of a bundle that was read without a fault: plain data."""

    def __init__(self, bundle: Bundle) -> None:
        catalog = json.loads(bundle.data_json).get("remit", {}).get("catalog", {})
        held = catalog.get("entitlements", {})
        self.roles: list[str] = held.get("roles", [])
        self.by_group: dict[str, list[str]] = held.get("by_group", {})
        self.entitlements: dict[str, dict[str, Any]] = held.get("entitlements", {})
        self.capabilities: dict[str, dict[str, Any]] = catalog.get("capabilities", {})
        self.administration: Any = catalog.get("administration")

    def until(self, moment: float) -> "Catalogue":
        """Returns the same, to be looked through until a moment: from then on it raises OutOfTime."""
        timed = copy.copy(self)
        timed.by_group, timed.entitlements = _Until(self.by_group, moment), _Until(self.entitlements, moment)
        timed.capabilities = _Until(self.capabilities, moment)
        return timed


Told = tuple[Where, str, str, str]
"""What a check yields: where, what is wrong, how to mend it, and the rule; a `Places` makes it a finding."""

Check = Callable[[Catalogue], "list[Told]"]
