"""The missing slash: a wildcard right after a name, which also reaches whatever else begins with that name."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from remit_server.adapters.policy.checking.places import Catalogue, Told
from remit_server.adapters.strict_fields import Where
from remit_server.domain.capability import ParameterKind

# What ends a name, so that a wildcard after it reaches nothing beside it: tasks/t1/*, app:*, logs-*.
_ENDS_A_NAME: Final = "/:-_.=@*?"
# A wildcard after a letter, a digit or a policy variable, with nothing or a separator behind it.
_OPEN_END: Final = re.compile(r"(?P<name>[^*?]*[A-Za-z0-9}])\*+(?P<rest>$|[/:].*)")
_SECRET: Final = re.compile(r"-\?{6}$")
_KINDS: Final = {
    "s3": re.compile(r"arn:[^:]*:s3:[^:]*:[^:]*:(?P<name>.+)"),
    "logs": re.compile(r"arn:[^:]*:logs:[^:]*:[^:]*:log-group:(?P<name>.+)"),
    "ssm": re.compile(r"arn:[^:]*:ssm:[^:]*:[^:]*:parameter/(?P<name>.+)"),
    "secretsmanager": re.compile(r"arn:[^:]*:secretsmanager:[^:]*:[^:]*:secret:(?P<name>.+)"),
}
_PREFIX_KEYS: Final = frozenset({"s3:prefix"})
_PARAMETER: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}$")


def entitlement_slashes(catalogue: Catalogue) -> Iterator[Told]:
    """Yields the open ends in the entitlements' resources and prefixes."""
    for name, entry in catalogue.entitlements.items():
        for number, permission in enumerate(entry["permissions"]):
            yield from _slashes(permission, ("entitlements", name, "permissions", number), {})


def capability_slashes(catalogue: Catalogue) -> Iterator[Told]:
    """Yields the open ends in the capabilities' templates; a parameter whose type ends with a slash ends a name."""
    for name, capability in catalogue.capabilities.items():
        kinds = {key: value["type"] for key, value in capability["parameters"].items()}
        for number, permission in enumerate(capability["permissions"]):
            yield from _slashes(permission, (name, "permissions", number), kinds)


def _slashes(permission: Mapping[str, Any], where: Where, kinds: Mapping[str, str]) -> Iterator[Told]:
    """Yields the open ends of one permission."""
    for number, resource in enumerate(permission["resources"]):
        found = _open_resource(resource, kinds)
        if found is not None:
            service, name = found
            yield (*_told((*where, "resources", number), resource, name, service), "missing-slash")
    for number, condition in enumerate(permission.get("conditions", ())):
        if condition["key"].lower() in _PREFIX_KEYS and "like" in condition["operator"].lower():
            for place, name in _open_values(condition["values"], kinds):
                told = _told((*where, "conditions", number, "values", place), condition["values"][place], name, "s3")
                yield (*told, "missing-slash")


def _open_values(values: Sequence[str], kinds: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """Yields the prefixes with an open end, and the name before it."""
    for place, value in enumerate(values):
        name = open_end(value, kinds)
        if name is not None:
            yield place, name


def _open_resource(resource: str, kinds: Mapping[str, str]) -> tuple[str, str] | None:
    """Returns the service and the name before an open end, or None."""
    for service, grammar in _KINDS.items():
        found = grammar.fullmatch(resource)
        if found is not None:
            name = open_end(found["name"], kinds)
            return None if name is None else (service, name)
    return None


def open_end(text: str, kinds: Mapping[str, str] | None = None) -> str | None:
    """Returns the name right after which a wildcard stands, or None where a separator or nothing is between."""
    found = _OPEN_END.fullmatch(text)
    if found is None or _SECRET.search(text):
        return None
    parameter = _PARAMETER.search(found["name"])
    if parameter is not None and _ends_itself((kinds or {}).get(parameter.group(1), "")):
        return None
    return found["name"]


def _ends_itself(kind: str) -> bool:
    """Says whether every value of a parameter type ends with a slash."""
    return kind in {ParameterKind.S3_PREFIX.value[0], ParameterKind.SSM_PATH.value[0]}


def _told(where: Where, text: str, name: str, service: str) -> tuple[Where, str, str]:
    """Returns where, what is reached beside what was meant, and how to write it."""
    other = f"{name}0" if name[-1].isdigit() or name[-1] == "}" else f"{name}s"
    beside = other if service == "secretsmanager" else f"{other}/..."
    problem = f"{text} also reaches {beside}"
    if service == "secretsmanager":
        return where, problem, f"Write {name}-?????? for one secret, or {name}/* for those below"
    if service == "logs":
        return where, problem, f"Write {name} and {name}:* for one log group, or {name}/* for those below"
    return where, problem, f"Write {name}/* for what is below, or {name} for itself"
