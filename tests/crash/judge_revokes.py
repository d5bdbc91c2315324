"""Judges what was revoked: whole or not at all, on record before it is answered, nothing of it afterwards (I2)."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from tests.crash.judge import (
    SHORT,
    Check,
    Evidence,
    Rule,
    Violation,
    a_request_has_one_grant,
    a_token_has_one_task,
    credentials_have_a_record,
    delegations_are_whole,
    grants_are_whole,
    grants_move_as_they_may,
    orphans_are_revoked,
    sts_is_asked_with_a_record,
    the_chain_holds,
    what_needs_people_was_approved,
)
from tests.crash.judge_policies import (
    activations_are_whole,
    revisions_are_whole,
    the_active_revision_has_decided,
    what_was_activated_is_on_record,
)
from tests.crash.snapshot import Recorded, Row, Snapshot
from tests.crash.trace import Told

_ONCE: Final = {"GRANT", "TASK"}  # issue no more once they are revoked
_OVER: Final = {"REVOKING", "REVOKED", "EXPIRED"}


def what_was_answered_is_on_record(evidence: Evidence) -> Iterator[Violation]:
    """Nobody is told that something is revoked, ended or lifted unless it stands in the ledger."""
    after = evidence.after
    revoked = {record.body["revocation_id"] for record in after.of_kind("grants_revoked")}
    ended = {record.body["task_id"] for record in after.of_kind("task_ended")}
    lifted = {record.body["block_id"] for record in after.of_kind("block_lifted")}
    decided = {record.body["approval_id"] for record in after.of_kind("approval_decided")}
    heard = {row["event_id"] for row in after.tables["seen_events"]}
    written = {row["number"] for row in after.tables["denies"] if row["write_time"] is not None}
    named = {
        "revoked": ("revocation", revoked),
        "ended": ("task", ended),
        "lifted": ("block", lifted),
        "heard": ("event", heard),
        "decided": ("approval", decided),
    }
    for told in evidence.trace.of_this_round(*named):
        key, there = named[told["what"]]
        if told[key] not in there:
            yield Violation(Rule.REVOKED_WITHOUT_RECORD, f"{told['what']} {told[key]}")
    for told in evidence.trace.of_this_round("written"):
        gone = set(told["numbers"]) - {row["number"] for row in after.tables["denies"]}
        for number in set(told["numbers"]) - written - gone:
            yield Violation(Rule.REVOKED_WITHOUT_RECORD, f"deny {number}")


def revokes_are_whole(evidence: Evidence) -> Iterator[Violation]:
    """The revoke's row, its record and the grants it stopped: together or none of them."""
    after = evidence.after
    rows = {row["revocation_id"]: row for row in after.tables["revocations"]}
    named = {record.body["revocation_id"] for record in after.of_kind("grants_revoked")}
    told = named | {row["revocation_id"] for row in rows.values() if _told_otherwise(row, after)}
    for revocation_id in told ^ set(rows):
        yield Violation(Rule.REVOKE_NOT_WHOLE, f"record or row is missing: {revocation_id}")
    for row in after.tables["denies"]:
        if row["revocation_id"] not in rows:
            yield Violation(Rule.REVOKE_NOT_WHOLE, f"a deny without its revoke: {row['revocation_id']}")
    stopped = {name for record in after.of_kind("grants_revoked", "task_ended") for name in record.body["grants"]}
    stopped |= {_name(record) for record in after.of_kind("grant_withheld")}
    stopped |= {_name(one) for one in after.of_kind("issuance_failed") if one.body["state"] == "REVOKING"}
    for grant in after.tables["grants"]:
        name = f"tasks/{grant['task_id']}/grants/{grant['grant_id']}"
        is_over, was_expired = grant["state"] in _OVER, grant["state"] == "EXPIRED" and grant["revoke_time"] is None
        if (name in stopped) != (is_over and not was_expired):
            yield Violation(Rule.REVOKE_NOT_WHOLE, f"{name} is {grant['state']}")
        if grant["revocation_id"] is not None and grant["revocation_id"] not in rows:
            yield Violation(Rule.REVOKE_NOT_WHOLE, f"{name} belongs to no revoke")


def what_is_revoked_is_in_the_outbox(evidence: Evidence) -> Iterator[Violation]:
    """With revocation set up AWS is to be told of whatever still works: queued with the revoke, not after it."""
    after = evidence.after
    queued = {row["revocation_id"] for row in after.tables["denies"]}
    dropped = max((datetime.fromisoformat(one["before"]) for one in evidence.trace.of("dropping")), default=None)
    required = {row["revocation_id"] for row in after.tables["revocations"] if row["cause"] in _REQUIRED}
    for grant in after.tables["grants"]:
        if grant["revocation_id"] is None:
            continue
        until, revoked = (datetime.fromisoformat(grant[key]) for key in ("expire_time", "revoke_time"))
        enough = timedelta() if grant["revocation_id"] in required else SHORT
        is_dropped = dropped is not None and until <= dropped
        if until - revoked > enough and not is_dropped and grant["revocation_id"] not in queued:
            yield Violation(Rule.WITHOUT_DENY, f"{grant['grant_id']} of {grant['revocation_id']}")


def nothing_is_issued_after_a_revoke(evidence: Evidence) -> Iterator[Violation]:
    """I2, by the sequence of the records."""
    after, seen = evidence.after, len(evidence.before.records)
    first_of = _first_records(after)
    ends = list(after.of_kind("grants_revoked", "task_ended"))
    lifts = {record.body["block_id"]: record.sequence for record in after.of_kind("block_lifted")}
    for issued in after.of_kind("credentials_issued", "credentials_renewed"):
        first = first_of[issued.body["grant_id"]]
        asked = evidence.trace.asked(first.body["request_id"])
        for revoke in ends:
            if max(issued.sequence, revoke.sequence) <= seen or issued.sequence < revoke.sequence:
                continue
            is_earlier = first.sequence < revoke.sequence
            if _covers(revoke, first) and (is_earlier or _still_holds(revoke, first, asked, lifts)):
                yield Violation(Rule.GIVEN_AFTER_REVOKE, f"record {issued.sequence} after record {revoke.sequence}")


def nobody_is_given_what_was_revoked(evidence: Evidence) -> Iterator[Violation]:
    """I2, by the pipe: what is asked once a revoke was answered gets nothing of it, in whatever order it is written."""
    trace, first_of = evidence.trace, _first_records(evidence.after)
    revokes = {one.body["revocation_id"]: one for one in evidence.after.of_kind("grants_revoked")}
    for given in trace.of_this_round("given"):
        asked, first = trace.asked(given["request"], given.place), first_of.get(given["grant"])
        if asked is None or first is None:
            continue
        for told in trace.of("revoked"):
            revoke = revokes.get(told["revocation"])
            if revoke is None or told.place > asked.place or not _covers(revoke, first):
                continue
            if revoke.body["target"] in _ONCE or _is_older(asked, revoke):
                yield Violation(Rule.GIVEN_AFTER_REVOKE, f"{given['request']} after {told['revocation']}")


def _first_records(after: Snapshot) -> dict[str, Recorded]:
    """Returns the first record of each grant."""
    found = list(after.of_kind("grant_authorized", "attenuation_authorized"))
    return {record.body["grant_id"]: record for record in reversed(found)}


def _covers(revoke: Recorded, first: Recorded) -> bool:
    """Says whether a grant, by the record of its authorization, is of what a revoke was aimed at."""
    if revoke.kind == "task_ended":
        return bool(revoke.body["task_id"] == first.body["task_id"])
    who, target = first.body["who"], revoke.body["target"]
    found = {
        "GRANT": first.body["grant_id"],
        "TASK": first.body["task_id"],
        "SUBJECT": who["subject_id"],
        "ACTOR": who["actor_id"],
        "REVISION": first.body["policy_revision"],
    }
    is_part = target == "GRANT" and first.body.get("parent_grant_id", "") == revoke.body["target_key"]
    return is_part or bool(found[target] == revoke.body["target_key"])


def _still_holds(revoke: Recorded, first: Recorded, asked: Told | None, lifts: dict[str, int]) -> bool:
    """Says whether a revoke also holds against what was authorized after it."""
    if revoke.kind == "task_ended" or revoke.body["target"] in _ONCE:
        return True
    is_lifted = lifts.get(revoke.body["revocation_id"], first.sequence) < first.sequence
    return (revoke.body["block"] and not is_lifted) or (asked is not None and _is_older(asked, revoke))


def _is_older(asked: Told, revoke: Recorded) -> bool:
    """Says whether what was presented is from before a revoke that is held against it."""
    return bool(revoke.body["target"] in {"SUBJECT", "ACTOR"} and asked["time"] < revoke.time)


def _told_otherwise(row: Row, after: Snapshot) -> bool:
    """Says whether a revoke that nobody asked for by itself is on record: a task's end, or an orphan."""
    if row["target"] == "TASK":
        return any(record.body["task_id"] == row["target_key"] for record in after.of_kind("task_ended"))
    withheld = after.of_kind("grant_withheld", "issuance_failed")
    return row["cause"] == "ORPHANED" and any(one.body["grant_id"] == row["target_key"] for one in withheld)


def _name(record: Recorded) -> str:
    return f"tasks/{record.body['task_id']}/grants/{record.body['grant_id']}"


_REQUIRED: Final = {"REQUESTED", "SECURITY_EVENT", "ROLLBACK", "REVIEW"}
CHECKS: Final[tuple[Check, ...]] = (
    credentials_have_a_record,
    sts_is_asked_with_a_record,
    grants_are_whole,
    delegations_are_whole,
    what_needs_people_was_approved,
    a_request_has_one_grant,
    a_token_has_one_task,
    orphans_are_revoked,
    grants_move_as_they_may,
    the_chain_holds,
    what_was_answered_is_on_record,
    revokes_are_whole,
    what_is_revoked_is_in_the_outbox,
    nothing_is_issued_after_a_revoke,
    nobody_is_given_what_was_revoked,
    activations_are_whole,
    revisions_are_whole,
    what_was_activated_is_on_record,
    the_active_revision_has_decided,
)
