"""Audit records in words: one line about each, for a person who reads a list of them."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

_TOLD = (
    *("source", "event", "event_type", "status", "reason", "cause", "state", "purpose", "message", "comment", "why"),
    *("peer", "version"),
)
_SHOWN = 120
_TO_THE_SECOND = 19
_IDS = ("grant_id", "task_id", "request_id")


def about(record: Mapping[str, Any]) -> str:
    """Returns who a record is about, what it tells and which grant, task or request it belongs to, in one line.

    Takes any JSON object, as a record that was tampered with may be one; the line cannot steer a terminal.
    """
    return "; ".join(part for part in (_who(record.get("who")), *_what(record), _belonging(record)) if part)


def plain(value: Any) -> str:
    """Returns a value as text that cannot steer a terminal: escaped as in JSON, without the quotes around a string."""
    text = json.dumps(value)
    return text[1:-1] if isinstance(value, str) else text


def _who(who: Any) -> str:
    """Returns `alice by spiffe://...`; whoever was not verified is left out."""
    if not isinstance(who, dict):
        return ""
    subject, actor = plain(who.get("subject_id", "")), plain(who.get("actor_id", ""))
    return " ".join([subject, *([f"by {actor}"] if actor else [])]).strip()


def _what(record: Mapping[str, Any]) -> Iterator[str]:
    """Yields what a record tells: the reason with its message first."""
    yield from _whose(record)
    if "allowed" in record:
        yield "allowed" if record["allowed"] is True else "not allowed"
    yield ": ".join(_short(plain(record[name])) for name in _TOLD if record.get(name))
    yield from _numbers(record)
    if isinstance(entitlements := record.get("entitlements"), list):
        yield _short(", ".join(plain(item) for item in entitlements))
    yield plain(record.get("role_arn", "")).rpartition("/")[2]
    yield plain(record.get("access_key_id", ""))
    if record.get("parent_grant_id"):
        yield f"within grant {plain(record['parent_grant_id'])}"
    for name in ("credentials_until", "expire_time"):
        if record.get(name):
            yield f"until {plain(record[name])[:_TO_THE_SECOND]}"


def _whose(record: Mapping[str, Any]) -> Iterator[str]:
    """Yields who called or decided, and whom or what it is aimed at."""
    if record.get("caller_id"):
        yield f"{plain(record['caller_id'])} called {plain(record.get('method', ''))}"
    if record.get("about"):
        yield _short(plain(record["about"]))
    if record.get("approver_id"):
        yield f"{'yes' if record.get('approved') is True else 'no'} by {plain(record['approver_id'])}"
    if record.get("target_key"):
        of = f" of {plain(record['target_issuer'])}" if record.get("target_issuer") else ""
        yield _short(f"{plain(record.get('target', '')).lower()} {plain(record['target_key'])}{of}")
    if record.get("by"):
        yield f"by {plain(record['by'])}"
    if record.get("block") is True:
        yield "blocked"


def _numbers(record: Mapping[str, Any]) -> Iterator[str]:
    """Yields how many calls, grants or revocations it is about, at which account and since when."""
    if record.get("count"):
        yield counted(record["count"], "call")
    if record.get("texts"):
        yield counted(record["texts"], "text")
    if "grant_count" in record:
        yield counted(record["grant_count"], "grant")
    if isinstance(revocations := record.get("revocations"), list):
        yield f"{counted(len(revocations), 'revocation')} at account {plain(record.get('account', ''))}"
    for name, word in (("assumed_by", "refused by"), ("effective_time", "refused since")):
        if record.get(name):
            yield f"{word} {plain(record[name])[:_TO_THE_SECOND]}"


def counted(count: Any, what: str) -> str:
    """Returns a number with its noun: `1 call`, `2 calls`."""
    return f"{plain(count)} {what}{'' if count == 1 else 's'}"


def _short(text: str) -> str:
    """Returns the text, cut where it would push the ids after it out of sight."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _belonging(record: Mapping[str, Any]) -> str:
    """Returns the narrowest id that a record carries: of its grant, else its task, else its request."""
    return next((f"{name.removesuffix('_id')} {plain(record[name])}" for name in _IDS if record.get(name)), "")
