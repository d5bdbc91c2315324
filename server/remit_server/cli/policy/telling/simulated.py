"""What a simulated decision comes to, as JSON values and in words that cannot steer a terminal."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from remit_server.cli.audit_words import plain

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.application.planning.plan_session import Plan
    from remit_server.application.policy.deciding.simulate import Simulated
    from remit_server.domain.approval import ApprovalNeed
    from remit_server.domain.errors import Denied
    from remit_server.domain.permission import Permission

MOST_CHARACTERS: Final = 2048
Told = dict[str, Any]


def told(simulated: "Simulated") -> Told:
    """Returns all that is known of a simulated decision, as JSON values."""
    from remit_server.application.planning.plan_session import Plan

    outcome, delegation = simulated.outcome, simulated.delegation
    common: Told = {
        "revision": simulated.revision,
        "allowed": isinstance(outcome, Plan),
        "subject": {"issuer": delegation.subject.issuer, "id": delegation.subject.subject} if delegation else None,
        "groups": list(delegation.subject.groups) if delegation else [],
        "agent": delegation.actor.actor_id if delegation else "",
        "input": json.loads(simulated.question.text) if simulated.question else None,
        "decision": json.loads(simulated.decision.kept.text) if simulated.decision else None,
        "notes": list(simulated.notes),
    }
    if isinstance(outcome, Plan):
        return common | _plan(outcome) | {"cloudtrail": dict(simulated.cloudtrail)}
    return common | _refusal(outcome)


def _plan(plan: "Plan") -> Told:
    return {
        "role_arn": plan.role.arn,
        "entitlements": list(plan.entitlements),
        "session_policy": json.loads(plan.session_policy),
        "session_policy_text": plan.session_policy,
        "session_policy_digest": plan.session_policy_digest,
        "size": {"characters": len(plan.session_policy), "most": MOST_CHARACTERS},
        "covers": list(plan.covers),
        "unguarded": list(plan.unguarded),
        "outlives_task": plan.outlives_task,
        "expire_time": plan.expire_time.isoformat(),
        "task_end_time": plan.task_end_time.isoformat(),
        "approval": _need(plan.approval),
        "review": _need(plan.review),
        "break_glass": plan.break_glass,
        "offline_renewal": plan.offline_renewal,
        "ceiling_digest": plan.ceiling_digest,
    }


def _need(need: "ApprovalNeed | None") -> Told | None:
    if need is None:
        return None
    return {
        "of": [{"groups": list(one.groups), "min_approvers": one.min_approvers} for one in need.requirements],
        "by_subject": need.by_subject,
        "valid_seconds": int(need.valid.total_seconds()),
    }


def _refusal(denied: "Denied") -> Told:
    refusal = denied.refusal
    return {
        "reason": denied.reason.value,
        "message": denied.message,
        "remedy": refusal.remedy.value,
        "failures": [
            {"action": one.action, "resource": one.resource, "rule": one.rule, "message": one.message}
            for one in refusal.failures
        ],
        "offer": _permissions(refusal.offer),
        "split": [_permissions(part) for part in refusal.split],
    }


def _permissions(permissions: "Sequence[Permission]") -> list[Mapping[str, Any]]:
    from remit_server.domain.decision import permission_json

    return [permission_json(one) for one in permissions]


def words(found: Told) -> Iterator[str]:
    """Yields what was told line by line."""
    yield "ALLOWED" if found["allowed"] else f"REFUSED  {found['reason']}"
    yield from _who(found)
    yield from (_allowed(found) if found["allowed"] else _refused(found))
    for note in found["notes"]:
        yield from _lines("note", [plain(note)])
    if found["allowed"]:
        yield ""
        yield "Session policy, as STS would get it (in one line there):"
        yield from (f"  {line}" for line in json.dumps(found["session_policy"], indent=2).splitlines())
        yield ""
        yield "In AWS CloudTrail (<task> and <grant> are random ids):"
        yield from _cloudtrail(found["cloudtrail"])


def _who(found: Told) -> Iterator[str]:
    if found["subject"]:
        groups = f", of the groups {plain(', '.join(found['groups']))}" if found["groups"] else ", of no group"
        yield from _lines("user", [f"{plain(found['subject']['id'])} of {plain(found['subject']['issuer'])}{groups}"])
        yield from _lines("agent", [plain(found["agent"])])
    yield from _lines("revision", [found["revision"]])


def _allowed(found: Told) -> Iterator[str]:
    yield from _lines("role", [found["role_arn"]])
    yield from _lines("entitlement", [plain(one) for one in found["entitlements"]])
    yield from _lines("waits for", _needed(found["approval"]))
    yield from _lines("reviewed by", _needed(found["review"]))
    yield from _lines("expires", [f"{found['expire_time']} (the task at {found['task_end_time']})"])
    yield from _lines("covered by", [plain(one) for one in found["covers"]])
    yield from _lines("unguarded", [plain(one) for one in found["unguarded"]])
    if found["outlives_task"]:
        yield from _lines("outlives", ["what it hands out works on when the task is over"])
    size = found["size"]
    yield from _lines("size", [f"{size['characters']} of {size['most']} characters (packed size: only AWS knows)"])


def _needed(need: Told | None) -> list[str]:
    """Returns who has to say yes, a line each."""
    if need is None:
        return []
    people = [f"{one['min_approvers']} of {plain(' or '.join(one['groups']))}" for one in need["of"]]
    return [*people, *(["the user in person, by a fresh login"] if need["by_subject"] else [])]


def _refused(found: Told) -> Iterator[str]:
    yield from _lines("why", [plain(found["message"])])
    if found["decision"]:
        yield from _lines("reasons", [f"{plain(one['code'])}: {plain(one['message'])}" for one in _reasons(found)])
    yield from _lines("stopped", [_failure(one) for one in found["failures"]])
    yield from _lines("remedy", [found["remedy"]])
    yield from _lines("could have", [_permission(one) for one in found["offer"]])
    for number, part in enumerate(found["split"], start=1):
        yield from _lines(f"part {number}", [_permission(one) for one in part])


def _reasons(found: Told) -> list[Told]:
    return list(found["decision"]["reasons"])


def _failure(one: Told) -> str:
    what = f"{plain(one['action'])} on {plain(one['resource'])}" if one["action"] else "the intent"
    return f"{what} by {one['rule']}: {plain(one['message'])}"


def _permission(one: Mapping[str, Any]) -> str:
    when = f" when {json.dumps(one['conditions'], sort_keys=True)}" if one["conditions"] else ""
    return f"{plain(', '.join(one['actions']))} on {plain(', '.join(one['resources']))}{when}"


def _cloudtrail(fields: Mapping[str, str]) -> Iterator[str]:
    """Yields the fields of each event below its name; the session policy, which stands above, by its digest."""
    titles = {"AssumeRole": "the call that opens the session", "session": "every call made with the credentials"}
    for event, title in titles.items():
        yield f"  {title}:"
        own = {path.partition("/")[2]: value for path, value in fields.items() if path.startswith(f"{event}/")}
        width = max(map(len, own))
        for path, value in own.items():
            yield f"    {path:<{width}}  {_SHOWN_INSTEAD.get(path) or _field(value)}"


_SHOWN_INSTEAD: Final = {"requestParameters.policy": "the session policy above"}


def _field(value: str) -> str:
    """Returns a field as it is where it is JSON, which is escaped already and cannot steer a terminal."""
    return value if value.startswith("[{") else plain(value)


def _lines(label: str, texts: Sequence[str]) -> Iterator[str]:
    """Yields texts under one label, nothing for none."""
    for place, text in enumerate(texts):
        yield f"  {label if place == 0 else '':<12} {text}"
