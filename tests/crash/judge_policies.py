"""Judges what is on record of policy revisions: whole activations, and nothing decided by another than the last one."""

from collections.abc import Iterator

from tests.crash.judge import Evidence, Rule, Violation


def activations_are_whole(evidence: Evidence) -> Iterator[Violation]:
    """An activation, its record, and the revoke that was ordered with it: all or none."""
    after = evidence.after
    recorded = [
        (one.body["revision"], one.body["why"], one.body["revocation_id"])
        for one in after.of_kind("revision_activated")
    ]
    kept = [
        (row["revision"], row["why"], row["revocation_id"] or "")
        for row in sorted(after.tables["policy_activations"], key=lambda row: int(row["number"]))
    ]
    for one in set(recorded) ^ set(kept):
        yield Violation(Rule.ACTIVATION_NOT_WHOLE, f"{one} is on record or in force alone")
    if len(recorded) == len(kept) and recorded != kept:
        yield Violation(Rule.ACTIVATION_NOT_WHOLE, "activations are in another order than their records")
    blocked = {row["revocation_id"] for row in after.tables["revocations"] if row["cause"] == "ROLLBACK"}
    revoking = {told["why"] for told in evidence.trace.of("activating") if told["revoke_issued"]}
    for revision, why, revocation_id in kept:
        if why in revoking and revocation_id not in blocked:
            yield Violation(Rule.ACTIVATION_NOT_WHOLE, f"{revision} is active, and nothing was revoked: {why}")


def revisions_are_whole(evidence: Evidence) -> Iterator[Violation]:
    """A published revision, its files and its record: all or none."""
    after = evidence.after
    recorded = {one.body["revision"] for one in after.of_kind("revision_published")}
    kept = {row["revision"] for row in after.tables["policy_revisions"]}
    files = {row["revision"] for row in after.tables["policy_archives"]}
    for revision in (recorded | kept | files) - (recorded & kept & files):
        yield Violation(Rule.REVISION_NOT_WHOLE, revision)


def what_was_activated_is_on_record(evidence: Evidence) -> Iterator[Violation]:
    """Whoever was told that a revision decides finds it on record."""
    recorded = {one.body["why"] for one in evidence.after.of_kind("revision_activated")}
    for told in evidence.trace.of_this_round("activated"):
        if told["why"] not in recorded:
            yield Violation(Rule.ACTIVATED_WITHOUT_RECORD, told["why"])


def the_active_revision_has_decided(evidence: Evidence) -> Iterator[Violation]:
    """Whatever is authorized was decided by the last activation before it in the chain."""
    active = ""
    for record in evidence.after.of_kind("revision_activated", "grant_authorized", "renewal_authorized"):
        if record.kind == "revision_activated":
            active = record.body["revision"]
        elif active and record.body["policy_revision"] != active:
            yield Violation(Rule.DECIDED_BY_ANOTHER, record.body["grant_id"])
