"""Judges crash rounds by the pipes and the database alone (8-threats.md, I1, I6 and I8; `judge_revokes` has I2)."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypeAlias

from tests.crash.snapshot import EMPTY, Snapshot
from tests.crash.trace import Line, Trace, granted_by

from remit_server.adapters.database.writing.sweeping import ORPHANED_AFTER
from remit_server.domain.audit import ChainIntact, verify_chain
from remit_server.domain.grant import TRANSITIONS, GrantState


class Rule(StrEnum):
    """What must hold after every kill."""

    GIVEN_WITHOUT_RECORD = "credentials left without a record"
    ASKED_WITHOUT_RECORD = "STS was asked without a record"
    NOT_WHOLE = "an authorization or issuance is not whole"
    UNAPPROVED = "what needs people was not approved"
    TWO_GRANTS = "one request has two grants"
    TWO_TASKS = "one single-use token has two tasks"
    GIVEN_AFTER_REVOKE = "credentials of what was revoked"
    REVOKED_WITHOUT_RECORD = "a revoke was answered without its record"
    REVOKE_NOT_WHOLE = "a revoke is not whole"
    WITHOUT_DENY = "a revoke is not in the outbox"
    DELEGATION_NOT_WHOLE = "a task that was handed on is not whole"
    ORPHAN_LEFT = "an orphan was not revoked"
    ILLEGAL_MOVE = "a grant moved where it may not"
    CHAIN = "the chain is broken"
    ACTIVATION_NOT_WHOLE = "an activation is not whole"
    REVISION_NOT_WHOLE = "a published revision is not whole"
    ACTIVATED_WITHOUT_RECORD = "an activation was answered without its record"
    DECIDED_BY_ANOTHER = "another revision has decided than the active one"


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule that did not hold, and where."""

    rule: Rule
    where: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a round is judged by: everything told so far, and what the database held before and after it."""

    trace: Trace
    before: Snapshot
    after: Snapshot


Check: TypeAlias = Callable[[Evidence], Iterator[Violation]]


@dataclass
class Judge:
    """Judges round after round of one database."""

    checks: tuple[Check, ...]
    trace: Trace = field(default_factory=Trace)
    latest: Snapshot = EMPTY
    found: set[Violation] = field(default_factory=set)

    def hear(self, lines: Sequence[Line], after: Snapshot) -> None:
        """Takes a round, with what it left in the database."""
        self.trace.add(lines)
        evidence = Evidence(self.trace, self.latest, after)
        self.found.update(violation for check in self.checks for violation in check(evidence))
        self.latest = after


def credentials_have_a_record(evidence: Evidence) -> Iterator[Violation]:
    """I1: whoever has credentials stands in the ledger."""
    recorded = {
        record.body["access_key_id"] for record in evidence.after.of_kind("credentials_issued", "credentials_renewed")
    }
    for told in evidence.trace.of_this_round("given"):
        if told["key"] not in recorded:
            yield Violation(Rule.GIVEN_WITHOUT_RECORD, f"{told['request']}: {told['key']}")


def sts_is_asked_with_a_record(evidence: Evidence) -> Iterator[Violation]:
    """I1: STS is asked for what is on record as authorized."""
    authorized = {
        (record.body["grant_id"], record.body["session_policy"])
        for record in evidence.after.of_kind("grant_authorized", "renewal_authorized", "attenuation_authorized")
    }
    for told in evidence.trace.of_this_round("sts"):
        if (granted_by(told), told["form"]["Policy"]) not in authorized:
            yield Violation(Rule.ASKED_WITHOUT_RECORD, granted_by(told))


def grants_are_whole(evidence: Evidence) -> Iterator[Violation]:
    """A grant, its request, its record: all or none; and an issuance with its record."""
    after = evidence.after
    tied = {row["grant_id"] for row in after.tables["requests"] if row["grant_id"]}
    authorized = {record.body["grant_id"] for record in after.of_kind("grant_authorized", "attenuation_authorized")}
    authorized |= {record.body["grant_id"] for record in after.of_kind("approval_asked")}
    there = {row["grant_id"] for row in after.tables["grants"]}
    for grant_id in (tied | authorized | there) - (tied & authorized & there):
        yield Violation(Rule.NOT_WHOLE, grant_id)
    issued = {
        (record.body["grant_id"], record.body["access_key_id"])
        for record in after.of_kind("credentials_issued", "credentials_renewed")
    }
    kept = {(row["grant_id"], row["access_key_id"]) for row in after.tables["issuances"]}
    for grant_id, key in issued ^ kept:
        yield Violation(Rule.NOT_WHOLE, f"{grant_id}: {key}")


def delegations_are_whole(evidence: Evidence) -> Iterator[Violation]:
    """A task under a task, its request, its record: all or none; one that was told is there; none outlives its own."""
    after = evidence.after
    tasks = {row["task_id"]: row for row in after.tables["tasks"]}
    under = {row["task_id"] for row in tasks.values() if row["parent_task_id"] is not None}
    tied = {row["task_id"] for row in after.tables["delegations"]}
    recorded = {record.body["task_id"] for record in after.of_kind("task_delegated")}
    told = {one["task"] for one in evidence.trace.of_this_round("delegated")}
    for task_id in ((under | tied | recorded) - (under & tied & recorded)) | (told - recorded):
        yield Violation(Rule.DELEGATION_NOT_WHOLE, task_id)
    for task_id in under:
        if tasks[task_id]["state"] == "LIVE" and tasks[tasks[task_id]["parent_task_id"]]["state"] == "ENDED":
            yield Violation(Rule.DELEGATION_NOT_WHOLE, f"{task_id} outlives the task above")


def what_needs_people_was_approved(evidence: Evidence) -> Iterator[Violation]:
    """Nothing that people were asked for is authorized before one of them said yes."""
    after = evidence.after
    asked = {one.body["grant_id"]: one.body["approval_id"] for one in after.of_kind("approval_asked")}
    said_yes = {
        one.body["approval_id"]: one.sequence for one in after.of_kind("approval_decided") if one.body["approved"]
    }
    for record in after.of_kind("grant_authorized"):
        approval = asked.get(record.body["grant_id"])
        if approval is not None and said_yes.get(approval, record.sequence) >= record.sequence:
            yield Violation(Rule.UNAPPROVED, record.body["grant_id"])


def a_request_has_one_grant(evidence: Evidence) -> Iterator[Violation]:
    """I6: however often it is asked, and whoever answers."""
    found = defaultdict[tuple[str, str], set[str]](set)
    for record in evidence.after.of_kind("grant_authorized", "attenuation_authorized"):
        found[record.body["who"]["actor_id"], record.body["request_id"]].add(record.body["grant_id"])
    for told in evidence.trace.of("given"):
        asked = evidence.trace.asked(told["request"], told.place)
        if asked is not None:
            found[f"corp:{asked['agent']}", told["request"]].add(told["grant"])
    for (_, request_id), grants in found.items():
        if len(grants) > 1:
            yield Violation(Rule.TWO_GRANTS, f"{request_id}: {sorted(grants)}")


def a_token_has_one_task(evidence: Evidence) -> Iterator[Violation]:
    """I6: a single-use token is good for the first task that it was presented for."""
    found = defaultdict[str, set[str]](set)
    tokens = {told["request"]: told["jti"] for told in evidence.trace.of("asking") if told["jti"]}
    for told in evidence.trace.of("given"):
        if told["request"] in tokens:
            found[tokens[told["request"]]].add(told["task"])
    for record in evidence.after.of_kind("grant_authorized"):
        if record.body["request_id"] in tokens:
            found[tokens[record.body["request_id"]]].add(record.body["task_id"])
    for token, tasks in found.items():
        if len(tasks) > 1:
            yield Violation(Rule.TWO_TASKS, f"{token}: {sorted(tasks)}")


def orphans_are_revoked(evidence: Evidence) -> Iterator[Violation]:
    """I8: after a sweep nothing is left that was authorized a minute before and has no outcome."""
    swept = [datetime.fromisoformat(told["time"]) for told in evidence.trace.of_this_round("swept")]
    if not swept:
        return
    for row in (*evidence.before.tables["grants"], *evidence.after.tables["grants"]):
        since = datetime.fromisoformat(row["state_time"])
        now = evidence.after.grants.get(row["grant_id"])
        is_due = row["state"] == GrantState.AUTHORIZED and since <= max(swept) - ORPHANED_AFTER
        if is_due and (now is None or now["state"] == GrantState.AUTHORIZED):
            yield Violation(Rule.ORPHAN_LEFT, row["grant_id"])
    for row in evidence.after.tables["grants"]:
        began = row["renewing_time"]
        if began is not None and datetime.fromisoformat(began) <= max(swept) - ORPHANED_AFTER:
            yield Violation(Rule.ORPHAN_LEFT, f"renewal of {row['grant_id']}")


def grants_move_as_they_may(evidence: Evidence) -> Iterator[Violation]:
    """A grant never comes back from where it may not."""
    for row in evidence.before.tables["grants"]:
        now = evidence.after.grants.get(row["grant_id"])
        if now is None or GrantState(now["state"]) not in _REACHABLE[GrantState(row["state"])]:
            where = f"{row['grant_id']}: {row['state']} -> {now['state'] if now else 'gone'}"
            yield Violation(Rule.ILLEGAL_MOVE, where)


def the_chain_holds(evidence: Evidence) -> Iterator[Violation]:
    """I7: it verifies to its head, and nothing that was once read is gone or changed."""
    count, head = evidence.after.head
    verdict = verify_chain(evidence.after.chain, expected_count=count, expected_head=head, complete=True)
    if not isinstance(verdict, ChainIntact):
        yield Violation(Rule.CHAIN, str(verdict))
    if list(evidence.after.chain[: len(evidence.before.chain)]) != list(evidence.before.chain):
        yield Violation(Rule.CHAIN, "records of an earlier round are not as they were")


def _reachable(state: GrantState) -> set[GrantState]:
    found, new = {state}, {state}
    while new:
        new = {target for one in new for target in TRANSITIONS[one]} - found
        found |= new
    return found


_REACHABLE: Final = {state: _reachable(state) for state in GrantState}
SHORT: Final = timedelta(seconds=120)  # credentials that end so soon need no deny (6-lifecycle.md)
