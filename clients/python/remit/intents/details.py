"""A task intent as the `authorization_details` of RFC 9396: JSON of the type `remit_task`, read strictly.

docs/remit-task.schema.json is its schema.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from remit.intent import Capability, Condition, Permission
from remit.intents.grammar import (
    MOST_CAPABILITIES,
    MOST_CONDITIONS,
    MOST_LABELS,
    MOST_PERMISSIONS,
    check_capability,
    check_label,
    check_permission,
    check_purpose,
)
from remit.intents.mistakes import nearest, wrong
from remit.intents.task_intent import TaskIntent

TYPE = "remit_task"
EXAMPLE = (
    '{"type": "remit_task", "capabilities": '
    '[{"name": "s3.read_prefix", "parameters": {"bucket": "reports", "prefix": "2026/q3/"}}]}'
)


class _DoubtError(ValueError):
    """Says why a text is no JSON that everybody reads alike."""


def parse_details(text: str, path: str) -> TaskIntent:
    """Reads the JSON of one task intent; raises InvalidRequest for anything that is not exactly that."""
    document = _json(text, path)
    if isinstance(document, list):
        if len(document) != 1:
            raise wrong(path, f"authorization_details holds exactly one object of the type {TYPE}", example=EXAMPLE)
        document, path = document[0], f"{path}[0]"
    members = _object(document, path, ("type", "purpose", "permissions", "capabilities", "labels"), required=("type",))
    if members["type"] != TYPE:
        raise wrong(f"{path}.type", f'is "{TYPE}"', example=EXAMPLE)
    permissions = _list(members, "permissions", MOST_PERMISSIONS, path, _permission)
    capabilities = _list(members, "capabilities", MOST_CAPABILITIES, path, _capability)
    if not permissions and not capabilities:
        raise wrong(path, "at least one permission or capability is needed", example=EXAMPLE)
    return TaskIntent(_purpose(members, path), tuple(permissions), tuple(capabilities), _labels(members, path))


def _json(text: str, path: str) -> Any:
    """Reads JSON in which nothing can be read in two ways."""
    try:
        return json.loads(text, object_pairs_hook=_unambiguous, parse_constant=_no_constant)
    except _DoubtError as doubt:
        raise wrong(path, str(doubt), example=EXAMPLE) from None
    except (ValueError, RecursionError):
        raise wrong(path, "is no JSON", example=EXAMPLE) from None


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _DoubtError("gives a member twice")
    return members


def _no_constant(_: str) -> NoReturn:
    raise _DoubtError("holds a number that JSON does not have")


def _object(value: Any, path: str, known: tuple[str, ...], *, required: tuple[str, ...]) -> dict[str, Any]:
    """Returns the members of an object that has all required and no unknown ones."""
    if not isinstance(value, dict):
        raise wrong(path, "is a JSON object", example=EXAMPLE)
    if {"Version", "Statement", "Effect", "Action", "Resource"} & value.keys():
        raise wrong(
            path, "IAM JSON is not accepted: write what is needed as permissions or capabilities", example=EXAMPLE
        )
    unknown = next((name for name in value if name not in known), None)
    if unknown is not None:
        near = nearest(unknown, known)
        hint = f", the nearest is {near}" if near else ""
        raise wrong(path, f"has an unknown member; it may have {', '.join(known)}{hint}", example=EXAMPLE)
    missing = [name for name in required if name not in value]
    if missing:
        raise wrong(path, f"needs {' and '.join(missing)}", example=EXAMPLE)
    return value


def _list(members: Mapping[str, Any], name: str, most: int, path: str, read: Callable[[Any, str], Any]) -> list[Any]:
    """Reads a list of objects; an absent one is empty."""
    value = members.get(name, [])
    if not isinstance(value, list) or len(value) > most:
        raise wrong(f"{path}.{name}", f"is a list of at most {most}", example=EXAMPLE)
    return [read(item, f"{path}.{name}[{index}]") for index, item in enumerate(value)]


def _permission(value: Any, path: str) -> Permission:
    required = ("actions", "resources")
    members = _object(value, path, (*required, "conditions"), required=required)
    conditions = _list(members, "conditions", MOST_CONDITIONS, path, _condition)
    actions, resources = (_strings(members[name], f"{path}.{name}") for name in required)
    return check_permission(Permission(actions, resources, conditions), path)


def _condition(value: Any, path: str) -> Condition:
    names = ("operator", "key", "values")
    members = _object(value, path, names, required=names)
    operator, key = (_string(members[name], f"{path}.{name}") for name in ("operator", "key"))
    return Condition(operator, key, _strings(members["values"], f"{path}.values"))


def _capability(value: Any, path: str) -> Capability:
    members = _object(value, path, ("name", "parameters"), required=("name",))
    parameters = _strings_by_name(members.get("parameters", {}), f"{path}.parameters")
    return check_capability(Capability(_string(members["name"], f"{path}.name"), **parameters), path)


def _purpose(members: Mapping[str, Any], path: str) -> str | None:
    if "purpose" not in members:
        return None
    purpose = _string(members["purpose"], f"{path}.purpose")
    check_purpose(purpose, f"{path}.purpose")
    return purpose


def _labels(members: Mapping[str, Any], path: str) -> dict[str, str]:
    labels = _strings_by_name(members.get("labels", {}), f"{path}.labels")
    if len(labels) > MOST_LABELS:
        raise wrong(f"{path}.labels", f"there are at most {MOST_LABELS} labels")
    for name, value in labels.items():
        check_label(name, value, f"{path}.labels")
    return labels


def _string(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise wrong(path, "is a string", example=EXAMPLE)
    return value


def _strings(value: Any, path: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise wrong(path, "is a list of strings", example=EXAMPLE)
    return value


def _strings_by_name(value: Any, path: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise wrong(path, "is an object whose members are strings", example=EXAMPLE)
    return value
