"""What a message says: JSON for programs, or Slack's blocks for people. Neither holds a secret.

A session policy stands in it only where the configuration says so.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from remit_server.domain.notification import Notification, NotificationKind

MAX_TEXT: Final = 2900  # Slack takes 3,000 characters of a section's text
_LONGEST_VALUE: Final = 300
_HEADLINES: Final = {
    NotificationKind.APPROVAL_ASKED: "Approval asked for",
    NotificationKind.APPROVAL_DECIDED: "Approval decided",
    NotificationKind.APPROVAL_CLOSED: "Approval closed",
    NotificationKind.BREAK_GLASS_ISSUED: "Break-glass used: to be reviewed",
    NotificationKind.REVIEW_OUTSTANDING: "Break-glass still waits for its review",
    NotificationKind.GRANTS_REVOKED: "Grants revoked",
    NotificationKind.DENIAL_WITHOUT_ROOM: "No room left to tell AWS of a revoke",
    NotificationKind.REVOCATION_POLICY_FOREIGN: "A revocation policy belongs to another gateway's database",
}
_LINES: Final = (
    ("approval_id", "Approval"),
    ("purpose", "Purpose"),
    ("role_arn", "Role"),
    ("entitlements", "Entitlements"),
    ("duration_seconds", "Seconds"),
    ("groups", "Asked"),
    ("min_approvers", "Approvers needed"),
    ("lapse_time", "Lapses"),
    ("state", "State"),
    ("approver_id", "By"),
    ("comment", "Comment"),
    ("target", "Target"),
    ("target_key", "Of"),
    ("cause", "Cause"),
    ("by", "By"),
    ("why", "Why"),
    ("grant_count", "Grants"),
    ("account", "Account"),
    ("since", "Since"),
    ("task_id", "Task"),
    ("digest", "Digest"),
)


def json_body(notification: Notification, *, with_policy: bool) -> bytes:
    """Returns the message for a program: what happened, when, and the record of it."""
    told = {
        "id": f"{notification.sequence}",
        "kind": notification.kind.value,
        "time": _time(notification.create_time),
        "record": _record(notification, with_policy=with_policy),
    }
    return json.dumps(told, separators=(",", ":"), sort_keys=True).encode()


def slack_body(notification: Notification, *, with_policy: bool) -> bytes:
    """Returns the message as Slack's incoming webhooks take it.

    NOTE: what agents and people wrote is shown as plain text, in which Slack sees neither links nor mentions.
    """
    record = _record(notification, with_policy=with_policy)
    who = record.get("who") or {}
    shown = [("Agent", who.get("actor_id")), ("User", who.get("subject_id"))]
    shown += [(label, record.get(name)) for name, label in _LINES]
    lines = [f"{label}: {_shown(value)}" for label, value in shown if value is not None and value not in ("", [])]
    headline = _HEADLINES[notification.kind]
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": _plain(headline)},
        {"type": "section", "text": _plain("\n".join(lines)[:MAX_TEXT] or "-")},
    ]
    if with_policy and record.get("session_policy"):
        blocks.append({"type": "section", "text": _plain(str(record["session_policy"])[:MAX_TEXT])})
    return json.dumps({"text": _escaped(headline), "blocks": blocks}, separators=(",", ":")).encode()


def _record(notification: Notification, *, with_policy: bool) -> Mapping[str, Any]:
    """Returns the record, without what identifies a token, and without the session policy unless it is wanted."""
    record: dict[str, Any] = json.loads(notification.body)
    if not with_policy:
        record.pop("session_policy", None)
    if isinstance(record.get("who"), dict):
        kept = ("subject_issuer", "subject_id", "actor_id")
        record["who"] = {name: record["who"].get(name, "") for name in kept}
    return record


def _plain(text: str) -> dict[str, Any]:
    """Returns a text in which Slack interprets nothing."""
    return {"type": "plain_text", "text": text, "emoji": False}


def _shown(value: object) -> str:
    """Returns a value on one line: what people wrote cannot pass for a line of the gateway's."""
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return line if len(line) <= _LONGEST_VALUE else f"{line[:_LONGEST_VALUE]} ..."


def _escaped(text: str) -> str:
    """Returns a text for the one field that Slack reads as markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _time(time: datetime) -> str:
    return time.isoformat(timespec="seconds")
