"""Policies and records in words, for a person who watches the story."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from remit_server.domain.audit import ChainedEvent


def policy_in_words(session_policy: str) -> list[str]:
    """Returns one line for each statement of a session policy, nothing left out but JSON's brackets."""
    return [_statement(item) for item in json.loads(session_policy)["Statement"]]


def record_in_words(event: ChainedEvent) -> tuple[str, str, str, str, str]:
    """Returns a record's number, time, kind, who it is about, and what it adds."""
    body = json.loads(event.body_text)
    return str(event.sequence), f"{event.time:%H:%M:%S}", event.kind, _who(body.get("who", {})), _added(event, body)


def _statement(item: Mapping[str, Any]) -> str:
    """Returns a statement as `Deny everything but ... on everything but ... if ...`."""
    action = _listed(item, "Action")
    resource = _listed(item, "Resource")
    conditions = [
        f"{operator} {key} {_joined(values)}"
        for operator, keys in item.get("Condition", {}).items()
        for key, values in keys.items()
    ]
    told = f" if {' and '.join(conditions)}" if conditions else ""
    return f"{item['Effect']} {action} on {resource}{told}"


def _listed(item: Mapping[str, Any], name: str) -> str:
    """Returns an element or its negation (`NotAction`), whichever the statement has."""
    return _joined(item[name]) if name in item else f"all but {_joined(item[f'Not{name}'])}"


def _joined(values: object) -> str:
    """Returns one value or several with commas between them."""
    return ", ".join(str(value) for value in values) if isinstance(values, list) else str(values)


def _who(who: Mapping[str, str]) -> str:
    """Returns `alice, by copilot`; whoever was not verified is left out."""
    subject, actor = who.get("subject_id", ""), who.get("actor_id", "").rpartition("/")[2]
    return ", ".join([subject, f"by {actor}"] if subject else [actor])


def _added(event: ChainedEvent, body: Mapping[str, Any]) -> str:
    """Returns what a record of this kind says that others do not."""
    match event.kind:
        case "gateway_started":
            return f"policy {body['policy_revision'][:12]}"
        case "task_started":
            return f"“{body['purpose']}”"
        case "grant_authorized":
            return f"{', '.join(body['entitlements'])}: {body['role_arn'].rpartition('/')[2]}"
        case "credentials_issued":
            return f"{body['access_key_id']} until {_clock(body['expire_time'])}"
        case "task_ended":
            until = body["credentials_until"]
            return f"credentials until {_clock(until)}" if until else "no credentials are out"
        case _:
            return str(body.get("reason", "")) or _by_operators(event, body)


def _by_operators(event: ChainedEvent, body: Mapping[str, Any]) -> str:
    """Returns who called what, or which policy revision it is about, by whom and why; nothing for other records."""
    if event.kind == "operator_called":
        return f"{body['caller_id']} called {body['method']}"
    if event.kind not in {"revision_published", "revision_activated"}:
        return ""
    why = f": “{body['why']}”" if body.get("why") else ""
    return f"{body['revision'][:12]} by {body['by']}{why}"


def _clock(text: str) -> str:
    """Returns the time of day of a record's time."""
    return f"{datetime.fromisoformat(text):%H:%M:%S}"
