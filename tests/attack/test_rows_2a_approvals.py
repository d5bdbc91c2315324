"""Row A9 of 8-threats.md: approvals that are swapped, replayed, raced, stale, or given by whom they are asked for.

Who may decide is tried in `tests/unit/test_deciding_approvals.py`; here somebody wants what nobody said yes to.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.approval_world import ASKING, LEA, LEO, approving, person, request_id
from tests.databases import Place
from tests.databases import asked as look
from tests.fakes import DATA_ROLE, READ_REPORTS, REPORTS_ROLE, permission, role

from remit_server.adapters.database.revoking.revocations import DatabaseRevocations
from remit_server.application.issuing.handing_out import Issued
from remit_server.application.ports import Held
from remit_server.domain.approval import ApprovalState, approval_digest
from remit_server.domain.entitlement import Bind
from remit_server.domain.errors import Denied, Outage, Reason, RemitError
from remit_server.domain.grant import GrantState
from remit_server.domain.operator import OperatorKind
from remit_server.domain.revocation import RevokeCause, RevokeOrder, Target, TargetKind
from remit_server.domain.secret import Secret
from remit_server.domain.task import TaskIntent

WIDER = permission("s3:GetObject", "arn:aws:s3:::reports/2026/*")
TWO_ROLES = (
    role(REPORTS_ROLE, actions=["s3:*"], resources=["arn:aws:s3:::reports", "arn:aws:s3:::reports/*"]),
    role(DATA_ROLE, actions=["s3:*"], resources=["arn:aws:s3:::reports", "arn:aws:s3:::reports/*"]),
)
DECIDED: dict[str, Any] = {
    "session_policy": '{"Statement":[]}',
    "role_arn": REPORTS_ROLE,
    "subject": ("https://idp.example", "alice"),
    "actor_id": "corp:copilot",
    "task_id": "a" * 26,
    "duration": timedelta(minutes=15),
}


@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("session_policy", '{"Statement":[{}]}'),
        ("role_arn", DATA_ROLE),
        ("subject", ("https://idp.example", "bob")),
        ("subject", ("https://idp.example/alice", "")),
        ("actor_id", "corp:another"),
        ("task_id", "b" * 26),
        ("duration", timedelta(minutes=15, seconds=1)),
    ],
)
def test_a9_another_value_of_any_field_is_another_digest(field: str, other: object) -> None:
    assert approval_digest(**DECIDED) != approval_digest(**{**DECIDED, field: other})


@pytest.mark.parametrize(
    "change",
    [
        lambda ask: replace(ask, intent=replace(ask.intent, permissions=(WIDER,))),
        lambda ask: replace(ask, intent=TaskIntent("another purpose", ask.intent.permissions)),
        lambda ask: replace(ask, intent=replace(ask.intent, labels={"emergency": "yes"})),
        lambda ask: replace(ask, requested_duration=timedelta(hours=1)),
        lambda ask: replace(ask, narrow=True),
        lambda ask: replace(ask, task_id="b" * 26),
        lambda ask: replace(ask, unverified_subject_token=Secret("bob@copilot")),
    ],
    ids=["permissions", "purpose", "labels", "duration", "narrow", "task", "user"],
)
async def test_a9_a_request_that_was_approved_is_not_collected_as_another(
    place: Place, change: Callable[[Any], Any]
) -> None:
    async with approving(place) as people:
        people.gateway.user("bob", people.gateway.copilot)
        request = people.gateway.request()
        await people.says(LEA, (await people.asked(request)).approval)

        error = await people.refused(replace(request, ask=change(request.ask)))

        assert error.reason is Reason.INVALID_REQUEST
        assert people.gateway.sts.orders == []


@pytest.mark.parametrize(
    "rule",
    [
        replace(ASKING, role_arn=DATA_ROLE),
        replace(ASKING, bind=Bind(source_cidrs=("203.0.113.0/24",))),
        replace(ASKING, max_credential=timedelta(minutes=2)),
    ],
    ids=["another role", "another bind", "another duration"],
)
async def test_a9_what_a_changed_policy_would_issue_is_not_what_was_approved(place: Place, rule: Any) -> None:
    async with approving(place, roles=TWO_ROLES) as people:
        request = people.gateway.request()
        pending = await people.asked(request)
        await people.says(LEA, pending.approval)
        people.policy(rule)

        errors = [await people.refused(request) for _ in range(2)]
        people.policy(ASKING)
        errors.append(await people.refused(request))

        assert [error.reason for error in errors] == [Reason.APPROVAL_CHANGED] * 3
        assert people.gateway.sts.orders == []
        assert (await people.not_taken(LEO, pending.approval)).reason is Reason.APPROVAL_CHANGED


async def test_a9_a_narrowed_request_is_approved_for_what_it_was_narrowed_to(place: Place) -> None:
    async with approving(place) as people:
        request = people.gateway.request(permission("s3:GetObject", "arn:aws:s3:::reports/*"), narrow=True)
        await people.says(LEA, (await people.asked(request)).approval)
        people.policy(replace(ASKING, permissions=(permission("s3:GetObject", "arn:aws:s3:::reports/*"),)))

        assert (await people.refused(request)).reason is Reason.APPROVAL_CHANGED


async def test_a9_of_many_who_collect_at_once_each_gets_the_one_grant_or_nothing(place: Place) -> None:
    async with approving(place) as people:
        request = people.gateway.request()
        pending = await people.asked(request)
        others = [people.gateway.request(task_id=pending.grant.task_id) for _ in range(4)]
        for other in others:
            await people.asked(other)
        await people.says(LEA, pending.approval)
        # Each of its own process, as far as flights go: they do not wait for one another.
        gates = [replace(people.gateway.issue, flights=type(people.gateway.issue.flights)()) for _ in range(20)]

        outcomes = await asyncio.gather(
            *(gate(each) for gate, each in zip(gates, [request, *others] * 4, strict=True)), return_exceptions=True
        )

        grants = {outcome.grant.grant_id for outcome in outcomes if isinstance(outcome, Issued)}
        failures = [outcome for outcome in outcomes if not isinstance(outcome, Issued)]
        assert len(grants) == 1
        assert all(isinstance(failure, Denied | Outage) for failure in failures)
        assert look(people.gateway.database, "SELECT count(*) FROM grants WHERE state = 'ISSUED'") == [(1,)]
        assert look(people.gateway.database, "SELECT state FROM approvals") == [("USED",)]


async def test_a9_a_used_approval_is_good_for_no_other_request(place: Place) -> None:
    async with approving(place) as people:
        request = people.gateway.request()
        pending = await people.asked(request)
        await people.says(LEA, pending.approval)
        issued = await people.collected(request)

        again = await people.asked(people.gateway.request(task_id=issued.grant.task_id))

        assert again.approval.state is ApprovalState.PENDING
        assert again.approval.approval_id != pending.approval.approval_id
        assert again.approval.digest == pending.approval.digest


async def test_a9_an_approval_that_nobody_collected_is_not_found_by_an_equal_request(place: Place) -> None:
    async with approving(place) as people:
        pending = await people.asked()
        await people.says(LEA, pending.approval)

        again = await people.asked(people.gateway.request(task_id=pending.grant.task_id))

        assert again.approval.state is ApprovalState.PENDING


async def test_a9_a_yes_about_one_task_is_no_yes_about_the_same_in_another(place: Place) -> None:
    async with approving(place) as people:
        first, second = await people.asked(), await people.asked()

        error = await people.not_taken(LEA, second.approval, digest=first.approval.digest)

        assert error.reason is Reason.APPROVAL_CHANGED


async def test_a9_another_agent_that_knows_the_request_id_asks_for_itself(place: Place) -> None:
    async with approving(place) as people:
        people.gateway.user("alice", people.gateway.agent("other"))
        name = request_id()
        pending = await people.asked(people.gateway.request(request_id=name))
        await people.says(LEA, pending.approval)

        other = await people.asked(people.gateway.request(request_id=name, agent="other"))

        assert other.approval.actor_id == "corp:other"
        assert other.approval.state is ApprovalState.PENDING


@pytest.mark.parametrize(
    "held", [None, "another", "its own", "its own of another digest", "its own that is VOID", "its own that is USED"]
)
async def test_a9_the_ledger_itself_authorizes_nothing_that_waits(place: Place, held: str | None) -> None:
    async with approving(place, ASKING) as people:
        request = people.gateway.request()
        pending, other = await people.asked(request), await people.asked()
        await people.says(LEA, other.approval)
        approval = {None: None, "another": other.approval}.get(held, pending.approval)
        digest = None if approval is None else approval.digest
        if held is not None and held.startswith("its own "):
            await people.says(LEA, pending.approval)
            digest = "0" * 64 if held.endswith("digest") else digest
        if held is not None and held[-4:] in {"VOID", "USED"}:  # by a hand that no code of ours has
            look(people.gateway.database, "UPDATE approvals SET state = ? WHERE state = 'APPROVED'", held[-4:])
        people.policy(READ_REPORTS)
        seen: list[Any] = []

        class Overheard:
            """Keeps what a use case sends to be authorized, for a faulty one to be made of it."""

            async def authorize(self, authorization: Any) -> None:
                seen.append(authorization)
                raise LookupError

            def __getattr__(self, name: str) -> Any:
                return getattr(people.gateway.ledger, name)

        with pytest.raises(LookupError):
            await replace(people.gateway.issue, ledger=Overheard())(
                people.gateway.request(task_id=pending.grant.task_id)
            )
        faulty = replace(
            seen[0],
            key=replace(seen[0].key, request_id=request.request_id, content_hash=await _hash_of(people, request)),
            grant=replace(seen[0].grant, grant_id=pending.grant.grant_id, approval_id=pending.grant.approval_id),
            held=Held(approval.approval_id, digest) if approval and digest else None,
        )

        with pytest.raises(RemitError) as raised:
            await people.gateway.ledger.authorize(faulty)

        assert raised.value.reason in {Reason.APPROVAL_CHANGED, Reason.APPROVAL_LAPSED}
        query = f"SELECT state FROM grants WHERE grant_id = '{pending.grant.grant_id}'"  # noqa: S608 - our own id
        assert look(people.gateway.database, query) == [(GrantState.PENDING_APPROVAL.value,)]


async def _hash_of(people: Any, request: Any) -> str:
    """Returns the content hash that a request is kept by."""
    kept = await people.gateway.ledger.remembered("corp:copilot", request.request_id)
    return str(kept.content_hash)


async def test_a9_a_revoked_user_collects_nothing(place: Place) -> None:
    async with approving(place) as people:
        request = people.gateway.request()
        pending = await people.asked(request)
        await people.says(LEA, pending.approval)
        people.gateway.clock.advance(seconds=10)
        target = Target(TargetKind.SUBJECT, "alice", "https://idp.example")
        order = RevokeOrder("c" * 26, target, RevokeCause.REQUESTED, "corp:sam", "lost laptop")
        await DatabaseRevocations(people.gateway.ledger.store).revoke(order)

        error = await people.refused(request)

        assert error.reason in {Reason.SUBJECT_TOKEN_REJECTED, Reason.APPROVAL_LAPSED}
        assert look(people.gateway.database, "SELECT state FROM approvals") == [("LAPSED",)]


async def test_a9_a_person_counts_once_by_whatever_account(place: Place) -> None:
    two = replace(ASKING, approval=replace(ASKING.approval, min_approvers=2))  # type: ignore[type-var] # it has one
    async with approving(place, two) as people:
        approval = (await people.asked()).approval
        await people.says(LEA, approval)
        accounts = [
            person("LEA", "leads", email=None),
            person("lea-2", "leads", email="Lea+2@example.com"),
            person("x", "leads", issuer="https://partner.example", alias="partner", email="lea@example.com"),
        ]

        errors = [await people.not_taken(account, approval) for account in accounts]

        assert [error.reason for error in errors] == [Reason.APPROVAL_DECIDED] * 3


async def test_a9_an_agents_own_identity_never_approves(place: Place) -> None:
    async with approving(place) as people:
        approval = (await people.asked()).approval
        people.everything.add("bot")

        errors = [
            await people.not_taken(person("bot", "leads", kind=OperatorKind.WORKLOAD), approval),
            await people.not_taken(person("copilot", "leads"), approval),
        ]

        assert [error.reason for error in errors] == [Reason.NOT_AUTHORIZED] * 2
