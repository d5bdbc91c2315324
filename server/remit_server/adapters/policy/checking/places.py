"""Where things stand in a bundle's data files: looked up again, deeper than reading keeps them, when asked for."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from remit_server.adapters.policy.bundle import Bundle
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


Told = tuple[Where, str, str, str]
"""What a check yields: where, what is wrong, how to mend it, and the rule; a `Places` makes it a finding."""

Check = Callable[[Catalogue], "list[Told]"]
