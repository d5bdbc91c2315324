"""The JSON Schemas of the policy contract: the gateway's own copies, which no bundle can change."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files as packaged
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from remit_server.adapters.policy.findings import Finding

ISSUE_INPUT: Final = "input.json"
ADMIN_INPUT: Final = "admin-input.json"
_FOLDER: Final = "schemas"
_MEND: Final = "Run `remit-server policy schemas --output policies/schemas`"


@cache
def schemas() -> Mapping[str, str]:
    """Returns the text of each schema by its file's name."""
    folder = packaged("remit_server.adapters.policy") / _FOLDER
    return MappingProxyType(
        {
            entry.name: entry.read_text("utf-8")
            for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
            if entry.name.endswith(".json")
        }
    )


def schema(name: str) -> Any:
    """Returns one schema as a value."""
    return json.loads(schemas()[name])


def write_schemas(folder: Path) -> tuple[Path, ...]:
    """Writes every schema into a folder, for editors, and returns what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in schemas().items():
        (folder / name).write_text(text, encoding="utf-8")
        written.append(folder / name)
    return tuple(written)


def schema_findings(files: Mapping[str, bytes]) -> Iterator[Finding]:
    """Yields advice where a bundle brings schemas, and they are not this gateway's."""
    brought = {path for path in files if path.startswith(f"{_FOLDER}/")}
    for name, text in schemas().items() if brought else ():
        path = f"{_FOLDER}/{name}"
        if path not in brought:
            yield Finding(path, 0, "it is missing", _MEND, "schema-differs")
        elif files[path] != text.encode("utf-8"):
            yield Finding(path, 0, "it is not this gateway's schema of that name", _MEND, "schema-differs")
