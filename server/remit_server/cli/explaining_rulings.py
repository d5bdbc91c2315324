"""Explains a refusal or a preview out of its record: who asked, for whom, what policy was asked and said."""

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from remit_server.cli.audit_words import plain

if TYPE_CHECKING:
    from remit_server.adapters.database.trail.evidence import Ruling
    from remit_server.domain.decision import KeptText

Explanation = dict[str, Any]


def ruling_explanation(ruling: "Ruling") -> Explanation:
    """Returns all that is known of a refusal or a preview, as JSON values; it holds no secret."""
    body, decision = ruling.decision.body, ruling.decision
    who = body.get("who", {})
    asked, said = _asked(decision.question), _said(decision.decision)
    return {
        "record": ruling.record.sequence,
        "kind": ruling.record.kind,
        "time": ruling.record.time.isoformat(),
        "allowed": body.get("allowed") is True,
        "agent": who.get("actor_id", ""),
        "user": {"id": who.get("subject_id", ""), "issuer": who.get("subject_issuer", "")},
        "user_groups": asked["subject"]["groups"] if asked else None,
        "called_from": who.get("peer", ""),
        "method": body.get("method", "PreviewCredentials"),
        "request_id": body.get("request_id", ""),
        "task_id": body.get("task_id", ""),
        "reason": body.get("reason", ""),
        "message": body.get("message", ""),
        "failures": body.get("failures", []),
        "asked_for": asked["intent"]["permissions"] if asked else None,
        "purpose": asked["task"]["purpose"] if asked else None,
        "policy_said": said,
        "policy_revision": body.get("policy_revision", ""),
        "ceiling_digest": body.get("ceiling_digest", ""),
        "input_digest": body.get("input_digest", ""),
    }


def _asked(question: "KeptText | None") -> Explanation | None:
    """Returns what policy was asked; None where it was erased, or is not what a gateway keeps."""
    try:
        asked = json.loads(question.text) if question else None
        return asked if asked and (asked["subject"]["groups"], asked["intent"]["permissions"], asked["task"]) else None
    except (ValueError, KeyError, TypeError):
        return None


def _said(decision: "KeptText | None") -> Explanation | None:
    """Returns what policy said; None where it was erased, or is not what a gateway keeps."""
    try:
        said = json.loads(decision.text) if decision else None
        return said if said and (said["allow"], said["entitlements"], said["reasons"]) else None
    except (ValueError, KeyError, TypeError):
        return None


def ruling_words(told: Explanation) -> Iterator[str]:
    """Yields an explanation line by line; nothing in it can steer a terminal."""
    verdict = "was allowed" if told["allowed"] else f"was refused: {plain(told['reason'])}"
    time = f"{told['time'][:19].replace('T', ' ')} UTC"
    yield f"Record #{told['record']} ({told['kind']}, {time}): {told['method']} {verdict}"
    place = f", from {plain(told['called_from'])}" if told["called_from"] else ""
    yield from _lines("agent", [f"{plain(told['agent'])}{place}"])
    yield from _lines("for", list(_user(told)))
    if told["purpose"]:
        yield from _lines("why", [plain(told["purpose"])])
    if told["message"]:
        yield from _lines("told", [plain(told["message"])])
    yield from _lines(
        "stopped", [f"{plain(action)} on {plain(at)} by {plain(rule)}" for action, at, rule in told["failures"]]
    )
    yield from _lines("asked for", [_permission(one) for one in told["asked_for"] or ()])
    yield from _lines("decided", list(_decided(told)))


def _user(told: Explanation) -> Iterator[str]:
    if not told["user"]["id"]:
        yield "nobody who was verified"
        return
    groups = f", of the groups {plain(', '.join(told['user_groups']))}" if told["user_groups"] else ""
    yield f"{plain(told['user']['id'])} of {plain(told['user']['issuer'])}{groups}"


def _decided(told: Explanation) -> Iterator[str]:
    if told["policy_revision"]:
        yield f"by policy revision {plain(told['policy_revision'])}"
    said = told["policy_said"]
    if said is not None and said["allow"]:
        yield f"policy allowed {plain(', '.join(one['id'] for one in said['entitlements']))}"
    elif said is not None:
        yield from (f"policy said no: {plain(one['code'])}: {plain(one['message'])}" for one in said["reasons"])
    if told["input_digest"]:
        yield f"on input {plain(told['input_digest'])} ({'erased' if told['asked_for'] is None else 'kept'})"


def _permission(one: Explanation) -> str:
    when = f" when {json.dumps(one['conditions'], sort_keys=True)}" if one["conditions"] else ""
    return f"{plain(', '.join(one['actions']))} on {plain(', '.join(one['resources']))}{when}"


def _lines(label: str, texts: Sequence[str]) -> Iterator[str]:
    """Yields texts under one label."""
    for place, text in enumerate(texts):
        yield f"  {label if place == 0 else '':<12} {text}"
