"""Lints about what rules read of the bundle's data, and define over it."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from remit_server.adapters.policy.findings import Finding
from remit_server.adapters.rego.linting.definitions import resolved
from remit_server.adapters.rego.linting.modules import Definition, Module
from remit_server.adapters.rego.syntax import dotted, nodes

Outline = Mapping[str, Any]
"""The upper members of the bundle's data, an object per object; None for what is left open."""

_ROOT: Final = "data.remit"


def data_findings(modules: Sequence[Module], outline: Outline) -> Iterator[Finding]:
    """Yields rules that stand over data, and names of data that is not there."""
    known = {definition.path for module in modules for definition in module.definitions}
    packages = {module.package for module in modules}
    for module in modules:
        seen: set[str] = set()
        for definition in module.definitions:
            if definition.path not in seen:
                seen.add(definition.path)
                yield from _over_data(definition, outline)
            yield from _unknown(module, definition, known | packages, outline)


def _over_data(definition: Definition, outline: Outline) -> Iterator[Finding]:
    """Yields a rule whose path the data has too."""
    place: Any = outline
    for step in definition.path.split(".")[1:]:
        if not isinstance(place, Mapping) or step not in place:
            return
        place = place[step]
    problem = f"the bundle's data gives {definition.path.removeprefix('data.')} a value too"
    yield Finding(definition.file, definition.line, problem, "Rename the rule, or take the data out", "rule-over-data")


def _unknown(module: Module, definition: Definition, defined: set[str], outline: Outline) -> Iterator[Finding]:
    """Yields names below data.remit that lead to no rule, no package and no data, the longest reference of each."""
    told: set[tuple[int, str]] = set()
    inner: set[int] = set()
    for node in nodes(definition.text):
        for kind in ("RefDot", "RefBrack"):
            if kind in node:
                inner.add(id(node[kind]["refr"]))
        if id(node) in inner or not {"RefDot", "RefBrack", "Var"} & node.keys():
            continue
        name, line = dotted(node)
        path = resolved(name, module, ())
        if path.startswith(f"{_ROOT}.") and not _is_there(path, defined, outline) and (line, path) not in told:
            told.add((line, path))
            near = difflib.get_close_matches(path, sorted(defined | set(_spelled(outline))), 1, cutoff=0.8)
            mend = f"Did you mean {near[0]}?" if near else "Correct the name, or put the data into the bundle"
            yield Finding(module.file, line, f"{path} is neither a rule nor data of this bundle", mend, "unknown-data")


def _is_there(path: str, defined: set[str], outline: Outline) -> bool:
    """Says whether a path leads to, into or above a rule, or to data."""
    if any(path == one or path.startswith(f"{one}.") or one.startswith(f"{path}.") for one in defined if _rule(one)):
        return True
    place: Any = outline
    for step in path.split(".")[1:]:
        if not isinstance(place, Mapping):
            return True  # open: what is below is for the data to say
        if step not in place:
            return False
        place = place[step]
    return True


def _rule(path: str) -> bool:
    """Says whether a path is below the root."""
    return path.startswith(f"{_ROOT}.")


def _spelled(outline: Outline, prefix: str = "data") -> Iterator[str]:
    """Yields every path of the outline."""
    for name, below in outline.items():
        yield f"{prefix}.{name}"
        if isinstance(below, Mapping):
            yield from _spelled(below, f"{prefix}.{name}")
