"""Small mistakes in the catalogue, each of which delegates more or shows more."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from remit_server.adapters.strict_yaml import MalformedYaml, strict_yaml

CATALOGUE: Final = ("remit", "catalog", "entitlements")
ADMINISTRATION: Final = ("remit", "catalog", "administration")
# What an entitlement is without one of these: open to whom it kept out.
_LIMITS: Final[Mapping[str, str]] = {
    "issuers": "to users of every issuer",
    "hours": "at every hour",
    "task_labels": "for tasks with any labels",
    "approval": "without anybody's approval",
    "bind": "from every network",
}


@dataclass(frozen=True, slots=True)
class CatalogueMutant:
    """One mistake in the catalogue: where in its data, the value put there, what was done, what it would give away.

    `at` leads to the member that is replaced, or taken out where `value` is None; `entitlement` is the id it is about.
    """

    at: tuple[str | int, ...]
    value: Any
    what: str
    widening: str
    entitlement: str = ""


def catalogue_mutants(tree: Mapping[str, Any]) -> Iterator[CatalogueMutant]:
    """Yields every mutant of a bundle's data, by id."""
    catalogue = _at(tree, CATALOGUE)
    groups = catalogue.get("by_group", {})
    for name, entry in sorted(catalogue.get("entitlements", {}).items()):
        at = (*CATALOGUE, "entitlements", name)
        yield from _of_limits(at, name, entry)
        yield from _of_permissions(at, name, entry)
        if any(name not in ids for ids in groups.values()):
            everywhere = {group: sorted({*ids, name}) for group, ids in groups.items()}
            yield CatalogueMutant(
                (*CATALOGUE, "by_group"), everywhere, f"{name}: added to every group", f"{name} to every group", name
            )
    yield from _of_administration(_at(tree, ADMINISTRATION))


def mutated(tree: Mapping[str, Any], mutant: CatalogueMutant) -> dict[str, Any]:
    """Returns the data with the mistake in it; what it does not touch is shared."""
    top = copy.copy(dict(tree))
    level: Any = top
    for step in mutant.at[:-1]:
        level[step] = copy.copy(level[step])
        level = level[step]
    if mutant.value is None:
        del level[mutant.at[-1]]
    else:
        level[mutant.at[-1]] = mutant.value
    return top


def _of_limits(at: tuple[str | int, ...], name: str, entry: Mapping[str, Any]) -> Iterator[CatalogueMutant]:
    """Yields an entitlement without each of its limits, for every agent, twice as long, offline."""
    for limit, widening in _LIMITS.items():
        if entry.get(limit):
            yield CatalogueMutant((*at, limit), None, f"{name}: dropped {limit}", f"{name} {widening}", name)
    if "**" not in entry.get("actors", []):
        yield CatalogueMutant(
            (*at, "actors"), ["**"], f'{name}: widened actors to "**"', f"{name} to every agent", name
        )
    for limit in ("max_credential_seconds", "max_task_seconds"):
        if limit in entry:
            doubled = 2 * entry[limit]
            yield CatalogueMutant((*at, limit), doubled, f"{name}: doubled {limit}", f"{name} for longer", name)
    if not entry.get("offline_renewal", False):
        what = f"{name}: set offline_renewal"
        widening = f"{name} renewed without the user's token"
        yield CatalogueMutant((*at, "offline_renewal"), value=True, what=what, widening=widening, entitlement=name)


def _of_permissions(at: tuple[str | int, ...], name: str, entry: Mapping[str, Any]) -> Iterator[CatalogueMutant]:
    """Yields an entitlement with each action, each resource widened, each condition dropped."""
    for number, permission in enumerate(entry.get("permissions", [])):
        spot = (*at, "permissions", number)
        for place, action in enumerate(permission.get("actions", [])):
            wide = f"{action.partition(':')[0]}:*"
            if wide != action:
                what = f"{name}: widened {action} to {wide}"
                yield CatalogueMutant((*spot, "actions", place), wide, what, f"{name} with {wide}", name)
        for place, resource in enumerate(permission.get("resources", [])):
            wide = f"{':'.join(resource.split(':')[:5])}:*" if resource.startswith("arn:") else "*"
            if wide != resource:
                what = f"{name}: widened {resource} to {wide}"
                yield CatalogueMutant((*spot, "resources", place), wide, what, f"{name} on {wide}", name)
        if permission.get("conditions"):
            what = f"{name}: dropped the conditions of {', '.join(permission.get('actions', []))}"
            yield CatalogueMutant((*spot, "conditions"), [], what, f"{name} whatever the conditions", name)


def _of_administration(administration: Mapping[str, Any]) -> Iterator[CatalogueMutant]:
    """Yields each group's right with every grant visible, and from every issuer."""
    for group, rights in sorted(administration.get("by_group", {}).items()):
        for number, right in enumerate(rights):
            at = (*ADMINISTRATION, "by_group", group, number)
            if right.get("visible") != "all":
                what = f"{group}: made everything visible"
                yield CatalogueMutant((*at, "visible"), "all", what, f"{group} the sight of every grant")
            if right.get("issuers"):
                what = f"{group}: dropped issuers"
                yield CatalogueMutant((*at, "issuers"), None, what, f"the rights of {group} to users of every issuer")


Places = Mapping[str, tuple[str, Mapping[tuple[str | int, ...], int]]]


def places_of(files: Mapping[str, bytes]) -> Places:
    """Returns for each data folder its file, and the lines on which the upper values of that begin (none for JSON)."""
    found: dict[str, tuple[str, Mapping[tuple[str | int, ...], int]]] = {}
    for path, content in files.items():
        where = PurePosixPath(path)
        if where.name == "data.json":
            found[str(where.parent)] = (path, {})
        elif where.name == "data.yaml":
            try:
                found[str(where.parent)] = (path, strict_yaml(content.decode("utf-8"))[1])
            except (MalformedYaml, UnicodeDecodeError):
                continue  # who reads the bundle refuses it
    return found


def place_of(mutant: CatalogueMutant, places: Places) -> tuple[str, int]:
    """Returns the file and the line of what a mutant changes, or of the nearest thing around it."""
    folder = "/".join(str(step) for step in mutant.at[: len(CATALOGUE)])
    path, lines = places.get(folder, (f"{folder}/", {}))
    inner = mutant.at[len(CATALOGUE) :]
    return path, next((lines[inner[:size]] for size in range(len(inner), 0, -1) if inner[:size] in lines), 0)


def _at(tree: Mapping[str, Any], steps: tuple[str, ...]) -> Mapping[str, Any]:
    """Returns the object at a path of the data, an empty one where there is none."""
    found: Any = tree
    for step in steps:
        found = found.get(step) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}
