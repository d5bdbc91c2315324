"""Explains a grant out of what the ledger holds: who, for whom, why, under what, what it could do, when it ended."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from remit_server.cli.audit_words import plain

if TYPE_CHECKING:
    from remit_server.adapters.database.trail.evidence import Evidence
    from remit_server.domain.audit import ChainedEvent
    from remit_server.domain.grant import Grant

MOST_PARTS = 100
Record = Mapping[str, Any]
Explanation = dict[str, Any]


def explanation(evidence: "Evidence") -> Explanation:
    """Returns all that is known of a grant, as JSON values; it holds no secret, as the ledger holds none."""
    grant = evidence.grant
    records = [(event, json.loads(event.body_text)) for event in evidence.records]
    own = [(event, record) for event, record in records if record.get("grant_id") in {None, "", grant.grant_id}]
    authorized = _first(own, "grant_authorized") or _first(own, "attenuation_authorized")
    who = authorized.get("who", {})
    started = _first(own, "task_started") or _first(own, "task_delegated")
    return {
        "grant": grant.name,
        "state": grant.state.value,
        "agent": grant.actor_id,
        "user": {"id": grant.subject_id, "issuer": grant.subject_issuer},
        "token_fingerprint": who.get("token_fingerprint", ""),
        "called_from": who.get("peer", ""),
        "purpose": _purpose(authorized, started, grant),
        "parent": grant.parent_name or "",
        "handed_on_by": _handed_on(_first(own, "task_delegated")),
        "is_attenuated": grant.is_attenuated,
        "attenuated_to": _parts(records, grant.grant_id),
        "request_id": authorized.get("request_id", ""),
        "decision": _decision(evidence, authorized),
        "approvals": list(_approvals(own, grant.approval_id)),
        "could_do": list(_permissions(grant.session_policy)),
        "session_policy_digest": grant.session_policy_digest,
        "proven_by": list(authorized.get("covers", ())),
        "unguarded": list(grant.unguarded),
        "outlives_task": grant.outlives_task,
        "credentials": [
            {
                "access_key_id": issuance.access_key_id,
                "issue_time": _time(issuance.issue_time),
                "expire_time": _time(issuance.expire_time),
                "policy_revision": issuance.policy_revision,
            }
            for issuance in grant.issuances
        ],
        "expire_time": _time(grant.expire_time),
        "revoke": _revoke(evidence),
        "records": [event.sequence for event, _ in own],
    }


def _first(records: "Sequence[tuple[ChainedEvent, Record]]", kind: str) -> Record:
    """Returns the first record of a kind, an empty one where there is none."""
    return next((record for event, record in records if event.kind == kind), {})


def _handed_on(delegated: Record) -> Explanation | None:
    """Returns who handed the grant's task on, and out of which task; None where the agent's own user began it."""
    if not delegated:
        return None
    above, who = delegated.get("parent_task_id", ""), delegated.get("who", {})
    return {"agent": who.get("actor_id", ""), "task": f"tasks/{above}", "depth": delegated.get("depth", 0)}


def _purpose(authorized: Record, started: Record, grant: "Grant") -> str:
    """Returns what it was for: an attenuation tells its own, any other grant that of its task."""
    own = grant.intent.purpose if grant.intent else ""
    return str(authorized.get("purpose", "") or started.get("purpose", "") or own)


def _parts(records: "Sequence[tuple[ChainedEvent, Record]]", grant_id: str) -> list[str]:
    """Returns the grants that were attenuated from this one, the first hundred of them."""
    names = (
        f"tasks/{record.get('task_id', '')}/grants/{record.get('grant_id', '')}"
        for event, record in records
        if event.kind == "attenuation_authorized" and record.get("parent_grant_id") == grant_id
    )
    return list(islice(dict.fromkeys(names), MOST_PARTS))


def _decision(evidence: "Evidence", authorized: Record) -> Explanation:
    """Returns under what the grant was decided, and on which groups of the user as long as that is kept."""
    grant, digest = evidence.grant, authorized.get("input_digest", "")
    question = dict(evidence.questions).get(digest)
    groups = _groups(question)
    return {
        "policy_revision": authorized.get("policy_revision", "") or grant.policy_revision,
        "present_policy_revision": grant.policy_revision,
        "entitlements": list(grant.entitlements),
        "role_arn": grant.role_arn,
        "ceiling_digest": grant.ceiling_digest,
        "input_digest": digest,
        "input_is_kept": question is not None,
        "user_groups": groups,
        "break_glass": grant.break_glass,
    }


def _groups(question: str | None) -> list[str] | None:
    """Returns the user's groups; None where the question was erased, or is not what a gateway keeps."""
    try:
        return [str(group) for group in json.loads(question)["subject"]["groups"]] if question else None
    except (ValueError, KeyError, TypeError):
        return None


def _approvals(records: "Sequence[tuple[ChainedEvent, Record]]", approval_id: str | None) -> Iterator[Explanation]:
    """Yields what people said about this grant, and not about another one of its task."""
    for event, record in records:
        if event.kind == "approval_decided" and record.get("approval_id") == approval_id:
            yield {
                "approval": f"approvals/{record.get('approval_id', '')}",
                "by": {"id": record.get("approver_id", ""), "issuer": record.get("approver_issuer", "")},
                "approved": record.get("approved") is True,
                "comment": record.get("comment", ""),
                "digest": record.get("digest", ""),
                "time": _time(event.time),
            }


def _permissions(session_policy: str) -> Iterator[Explanation]:
    """Yields what the policy allows; its denies only take away, and are the guards of what it allows."""
    statements = json.loads(session_policy).get("Statement", []) if session_policy else []
    for statement in [statements] if isinstance(statements, dict) else statements:
        if statement.get("Effect") == "Allow":
            yield {
                "actions": _list(statement.get("Action", [])),
                "resources": _list(statement.get("Resource", [])),
                "conditions": statement.get("Condition", {}),
            }


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _revoke(evidence: "Evidence") -> Explanation | None:
    """Returns when and why it was revoked and since when AWS refuses it, None while it lives or when it just ended."""
    grant, by = evidence.grant, evidence.revoked_by
    if grant.revoke_time is None:
        return None
    return {
        "revoke_time": _time(grant.revoke_time),
        "cause": grant.revoke_cause.value if grant.revoke_cause else "",
        "aimed_at": by.target if by else "",
        "by": by.by if by else "",
        "why": by.why if by else "",
        "refused_by_aws_since": _time(grant.effective_time),
        "known_by": grant.effective.value if grant.effective else "",
    }


def _time(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()


def words(told: Explanation) -> Iterator[str]:
    """Yields an explanation line by line; nothing in it can steer a terminal."""
    user, decision = told["user"], told["decision"]
    yield f"Grant {told['grant']} ({told['state']})"
    place = f", from {plain(told['called_from'])}" if told["called_from"] else ""
    yield from _lines("agent", [f"{plain(told['agent'])}{place}"])
    groups = decision["user_groups"]
    known = f", of the groups {plain(', '.join(groups))}" if groups else ""
    yield from _lines("for", [f"{plain(user['id'])} of {plain(user['issuer'])}{known}"])
    yield from _lines("why", [plain(told["purpose"]) or "not said"])
    if by := told["handed_on_by"]:
        yield from _lines("sub-agent", [f"handed on by {plain(by['agent'])}, out of {plain(by['task'])}"])
    if told["parent"]:
        how = "attenuated from" if told["is_attenuated"] else "within"
        yield from _lines("parent", [f"{how} {plain(told['parent'])}, and revoked with it"])
    yield from _lines("decided", list(_decided(decision, is_attenuated=told["is_attenuated"])))
    yield from _lines("approved", [_approval(one) for one in told["approvals"]] or ["nobody was asked"])
    yield from _lines("could do", [_permission(one) for one in told["could_do"]] or ["nothing"])
    yield from _lines("proven by", [plain(one) for one in told["proven_by"]])
    if told["unguarded"]:
        yield from _lines("unguarded", [plain(", ".join(told["unguarded"]))])
    yield from _lines("attenuated", [plain(one) for one in told["attenuated_to"]])
    yield from _lines("credentials", [_credentials(one) for one in told["credentials"]] or ["none were issued"])
    yield from _lines("ended", list(_ended(told)))
    yield from _lines("records", [", ".join(str(one) for one in told["records"])])


def _lines(label: str, texts: Sequence[str]) -> Iterator[str]:
    """Yields texts under one label."""
    for place, text in enumerate(texts):
        yield f"  {label if place == 0 else '':<12} {text}"


def _decided(decision: Mapping[str, Any], *, is_attenuated: bool) -> Iterator[str]:
    how = "nothing anew, its parent was allowed" if is_attenuated else "allowed"
    yield f"{how} by policy revision {plain(decision['policy_revision'])}"
    if decision["present_policy_revision"] != decision["policy_revision"]:
        yield f"renewed under revision {plain(decision['present_policy_revision'])}"
    kind = " (break-glass)" if decision["break_glass"] else ""
    yield f"on entitlements {plain(', '.join(decision['entitlements']))}{kind}, through {plain(decision['role_arn'])}"
    if decision["input_digest"]:
        kept = "kept" if decision["input_is_kept"] else "erased"
        yield f"on input {plain(decision['input_digest'])} ({kept})"


def _approval(one: Mapping[str, Any]) -> str:
    said = "yes" if one["approved"] else "no"
    comment = f": {plain(one['comment'])}" if one["comment"] else ""
    return f"{said} by {plain(one['by']['id'])} of {plain(one['by']['issuer'])} at {_short(one['time'])}{comment}"


def _permission(one: Mapping[str, Any]) -> str:
    # As JSON it is escaped already, and cannot steer a terminal.
    when = f" when {json.dumps(one['conditions'], sort_keys=True)}" if one["conditions"] else ""
    return f"{plain(', '.join(one['actions']))} on {plain(', '.join(one['resources']))}{when}"


def _credentials(one: Mapping[str, Any]) -> str:
    return f"{plain(one['access_key_id'])} from {_short(one['issue_time'])} until {_short(one['expire_time'])}"


def _ended(told: Explanation) -> Iterator[str]:
    """Yields how it ended, and since when AWS refuses it."""
    revoke = told["revoke"]
    if revoke is None:
        yield f"not revoked; AWS refuses its credentials from {_short(told['expire_time'])} on, by their time guard"
        return
    by = f" by {plain(revoke['by'])}" if revoke["by"] else ""
    why = f": {plain(revoke['why'])}" if revoke["why"] else ""
    yield f"revoked at {_short(revoke['revoke_time'])}{by} ({plain(revoke['cause'])}, {plain(revoke['aimed_at'])}){why}"
    if revoke["refused_by_aws_since"]:
        how = {"OBSERVED": "seen on a denied session", "ASSUMED": "by the time that AWS is said to take"}
        known_by = how.get(revoke["known_by"], "as recorded")
        yield f"AWS refuses it since {_short(revoke['refused_by_aws_since'])}, {known_by}"
    else:
        yield f"AWS is not known to refuse it before {_short(told['expire_time'])}, its time guard"


def _short(time: str | None) -> str:
    """Returns a time to the second."""
    return f"{(time or '')[:19].replace('T', ' ')} UTC"
