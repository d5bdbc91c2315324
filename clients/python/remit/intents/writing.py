"""Intents as text again: what is written here, the parser reads back as the same."""

from typing import Any

from remit.errors import InvalidRequest
from remit.intent import Capability, Permission
from remit.intents.task_intent import TaskIntent
from remit.intents.texts import parse_text


def text_of(item: Permission | Capability) -> str:
    """Returns the shortest text for `--allow` and `allow=` that means exactly this: one line, or else JSON."""
    line = _line(item)
    try:
        if parse_text(line, "allow") == item:
            return line
    except InvalidRequest:
        pass  # a key with a comma before what looks like an ARN, say
    if isinstance(item, Permission):
        return details_of(TaskIntent(permissions=(item,)))
    return details_of(TaskIntent(capabilities=(item,)))


def details_of(intent: TaskIntent) -> str:
    """Returns the RFC 9396 form: an `authorization_details` array of one object of the type `remit_task`."""
    import json  # noqa: PLC0415 - only this form needs it

    members: dict[str, Any] = {"type": "remit_task"}
    if intent.purpose is not None:
        members["purpose"] = intent.purpose
    if intent.permissions:
        members["permissions"] = [_permission(permission) for permission in intent.permissions]
    if intent.capabilities:
        members["capabilities"] = [
            {"name": item.name, "parameters": dict(item.parameters)} for item in intent.capabilities
        ]
    if intent.labels:
        members["labels"] = dict(intent.labels)
    return json.dumps([members], ensure_ascii=False)


def _line(item: Permission | Capability) -> str:
    """Returns one line without conditions, which it has no room for."""
    if isinstance(item, Permission):
        return f"{','.join(item.actions)}={','.join(item.resources)}"
    return " ".join([item.name, *(f"{name}={_quoted(value)}" for name, value in item.parameters)])


def _quoted(value: str) -> str:
    return f'"{value}"' if " " in value or not value else value


def _permission(permission: Permission) -> dict[str, Any]:
    members: dict[str, Any] = {"actions": list(permission.actions), "resources": list(permission.resources)}
    if permission.conditions:
        members["conditions"] = [
            {"operator": item.operator, "key": item.key, "values": list(item.values)} for item in permission.conditions
        ]
    return members
