"""Lints about what rules read of `input`: members that never come, and those that are better not decided by."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from remit_server.adapters.policy.findings import Finding
from remit_server.adapters.rego.linting.definitions import resolved
from remit_server.adapters.rego.linting.modules import Module
from remit_server.adapters.rego.linting.paths import ANY, Follower, Path, Read
from remit_server.adapters.rego.syntax import dotted, nodes

ISSUE: Final = "data.remit.issue"
ADMIN: Final = "data.remit.admin"
_UNWISE: Final = {
    ("task", "purpose"): ("reads-purpose", "which is written by the agent, for people"),
    ("delegation_history",): ("reads-history", "which is for information only (RFC 8693 4.1)"),
}
_WHOLE: Final = frozenset({(), ("task",), (ANY,), ("task", ANY)})

Schema = Mapping[str, Any]


def input_findings(modules: Sequence[Module], schemas: Mapping[str, Schema]) -> Iterator[Finding]:
    """Yields what rules read of input and should not; `schemas` are those of the entrypoints' packages."""
    askers = _askers(modules)
    for read in Follower(modules).reads():
        kinds = askers.get(read.package) or {ISSUE, ADMIN}
        if ISSUE in kinds:
            yield from _unwise(read)
        asked = [schemas[kind] for kind in sorted(kinds)]
        wrongs = [wrong for schema in asked if (wrong := _wrong(read.path, schema)) is not None]
        if read.certain and len(wrongs) == len(asked):
            yield _unknown(read, wrongs[0])


def _unwise(read: Read) -> Iterator[Finding]:
    """Yields advice on a read of what is for people or for information, by itself or as a part of the whole."""
    for path, (rule, why) in _UNWISE.items():
        if read.path[: len(path)] == path:
            problem = f"a rule reads input.{'.'.join(path)}{_through(read, path)}, {why}"
            yield Finding(read.file, read.line, problem, "Decide by something else", rule)
    if read.path in _WHOLE and (read.whole or ANY in read.path):
        what = "input" if "task" not in read.path else "input.task"
        problem = f"a rule reads the whole of {what}, and so also what it must not decide by"
        yield Finding(read.file, read.line, problem, "Read the members that it needs by their names", "reads-whole")


def _through(read: Read, path: Path) -> str:
    """Says by which other name something is read."""
    written = f"input.{'.'.join(path)}"
    return "" if read.through.startswith(written) else f" (as {read.through})"


@dataclass(frozen=True, slots=True)
class _Wrong:
    """The step of a path that leads nowhere, where it was tried, and what may have been meant."""

    at: int
    known: tuple[str, ...]


def _unknown(read: Read, wrong: _Wrong) -> Finding:
    """Returns the error for a read of what never comes."""
    step = read.path[wrong.at]
    place = ".".join(("input", *read.path[: wrong.at]))
    near = difflib.get_close_matches(step, wrong.known, 1)
    if near:
        mend = f"Did you mean {near[0]}?"
    elif wrong.known:
        mend = f"It has {', '.join(sorted(wrong.known))}"
    else:
        mend = "Read the value itself, or its elements by `some ... in`"
    through = _through(read, read.path)
    problem = f"{place}.{step}{through} is read, and {place} has no such member"
    return Finding(read.file, read.line, problem, mend, "unknown-input")


def _wrong(path: Path, schema: Schema) -> _Wrong | None:
    """Returns the first step that a schema does not have, or None; what a schema leaves open has everything."""
    places = [schema]
    for at, step in enumerate(path):
        below = [found for place in places for found in _step(place, step)]
        if not below:
            return _Wrong(at, tuple(sorted({name for place in places for name in _members(place)})))
        if any(found is None for found in below):
            return None
        places = [found for found in below if found is not None]
    return None


def _step(place: Schema, step: str) -> list[Schema | None]:
    """Returns what a step leads to, None for anything; nothing where it leads nowhere."""
    if choices := place.get("oneOf") or place.get("anyOf"):
        return [found for choice in choices for found in _step(choice, step)]
    kinds = place.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if "object" in kinds:
        return _member(place, step)
    if "array" in kinds:
        return [place.get("items")] if step == ANY or step.isdigit() else []
    return [] if kinds or "enum" in place or "const" in place else [None]


def _member(place: Schema, step: str) -> list[Schema | None]:
    """Returns what a step leads to in an object."""
    listed = place.get("properties", {})
    others = place.get("additionalProperties", True)
    if step == ANY:
        return [*listed.values(), *([] if others is False else [None])]
    if step in listed:
        return [listed[step]]
    if others is False:
        return []
    return [None if others is True else others]


def _members(place: Schema) -> list[str]:
    """Returns the members that a place is known to have."""
    choices = place.get("oneOf") or place.get("anyOf") or ()
    return [*place.get("properties", {}), *(name for choice in choices for name in _members(choice))]


def _askers(modules: Sequence[Module]) -> dict[str, set[str]]:
    """Returns, per package, which of the two entrypoints' packages reach it."""
    packages = {module.package for module in modules}
    reached: dict[str, set[str]] = {}
    edges = {package: set[str]() for package in packages}
    known = {definition.path for module in modules for definition in module.definitions}
    for module in modules:
        for name in _names(module):
            path = resolved(name, module, known)
            edges[module.package] |= {one for one in packages if path == one or path.startswith(f"{one}.")}
    for kind in (ISSUE, ADMIN):
        waiting: list[str] = [kind] if kind in packages else []
        seen = set(waiting)
        while waiting:
            package = waiting.pop()
            reached.setdefault(package, set()).add(kind)
            new = edges[package] - seen
            seen |= new
            waiting.extend(new)
    return reached


def _names(module: Module) -> set[str]:
    """Returns every dotted name that a file refers to."""
    return {
        dotted(node)[0]
        for definition in module.definitions
        for node in nodes(definition.text)
        if {"RefDot", "RefBrack", "Var"} & node.keys()
    }
