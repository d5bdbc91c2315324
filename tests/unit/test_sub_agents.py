"""What another agent gets in a task that was handed on to it: within a live grant of the task above, while that is."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.databases import Place
from tests.fakes import ACCOUNT, NOON, READ_ORDERS, READ_REPORTS, World, entitlement, given, permission, world

from remit_server.adapters.database.revoking.revocations import DatabaseRevocations
from remit_server.adapters.database.writing.attenuated import MOST_WITHIN
from remit_server.application.issuing.preview_credentials import WouldIssue, WouldRefuse
from remit_server.application.planning.choosing import EXACT
from remit_server.application.planning.standing import recorded_policy
from remit_server.domain.decision import Allow
from remit_server.domain.entitlement import Bind
from remit_server.domain.errors import Denied, Reason, Remedy, RemitError
from remit_server.domain.grant import Grant, GrantState
from remit_server.domain.revocation import RevokeCause, RevokeOrder, Target, TargetKind
from remit_server.domain.task import Task
from remit_server.iam import Condition, Counterexample, Undecided, lies_within

Q3 = permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/*")
ONE = permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/summary.md")
Q4 = permission("s3:GetObject", "arn:aws:s3:::reports/2026/q4/*")
YEAR = permission("s3:GetObject", "arn:aws:s3:::reports/2026/*")
ORDER = permission("dynamodb:GetItem", f"arn:aws:dynamodb:eu-central-1:{ACCOUNT}:table/orders")


@pytest.fixture
async def fleet(tmp_path: Any, place: Place) -> AsyncIterator[World]:
    """A planner, which is the copilot, a fixer and a scribe, all with a token of alice's."""
    async with world(tmp_path, READ_REPORTS, READ_ORDERS, place=place) as made:
        for name in ("fixer", "scribe"):
            made.user("alice", made.agent(name))
            made.user("bob", made.identity.actors[name])
        yield made


async def planned(fleet: World, *permissions: Any, **more: Any) -> Grant:
    """Issues to the planner; the third quarter's reports unless said otherwise."""
    return given(await fleet.issue(fleet.request(*permissions, **more))).grant


async def handed_on(fleet: World, *permissions: Any) -> tuple[Grant, Task]:
    """Issues to the planner, which hands its task on to the fixer."""
    grant = await planned(fleet, *permissions)
    return grant, await fleet.delegate(fleet.delegation(grant.task_id, "fixer"))


async def fixed(fleet: World, task: Task, *permissions: Any, agent: str = "fixer", **more: Any) -> Grant:
    """Issues to the fixer in the task that was handed on to it."""
    return given(await fleet.issue(fleet.request(*permissions, agent=agent, task_id=task.task_id, **more))).grant


async def refused(fleet: World, task: Task, *permissions: Any, agent: str = "fixer", **more: Any) -> RemitError:
    with pytest.raises(RemitError) as raised:
        await fixed(fleet, task, *permissions, agent=agent, **more)
    return raised.value


async def revoke(fleet: World, kind: TargetKind, key: str) -> None:
    order = RevokeOrder("r" * 26, Target(kind, key), RevokeCause.REQUESTED, by="corp:sam", why="a drill")
    await DatabaseRevocations(fleet.ledger.store).revoke(order)


async def kept(fleet: World, grant: Grant) -> Grant:
    found = await fleet.renew.renewals.grant(grant.grant_id)
    assert found is not None
    return found


async def test_what_is_issued_lies_within_the_grant_above_and_says_so(fleet: World) -> None:
    above, task = await handed_on(fleet)

    grant = await fixed(fleet, task, ONE)

    assert (grant.parent_grant_id, grant.parent_task_id) == (above.grant_id, above.task_id)
    assert await kept(fleet, grant) == replace(grant, state=GrantState.ISSUED)
    proof = lies_within(recorded_policy(grant), [recorded_policy(above)], budget=EXACT)
    assert not isinstance(proof, Counterexample | Undecided)
    (record,) = [
        json.loads(event.body_text)
        for event in await fleet.events()
        if event.kind == "grant_authorized" and event.body_text.count(grant.grant_id)
    ]
    assert record["parent_grant_id"] == above.grant_id


async def test_policy_is_told_of_the_task_above(fleet: World) -> None:
    above, task = await handed_on(fleet)
    await planned(fleet, ORDER, task_id=above.task_id)

    await fixed(fleet, task, ONE)

    asked: Any = fleet.policy.questions[-1]
    assert asked["parent_task"] == {
        "id": above.task_id,
        "actor": "corp:copilot",
        "depth": 0,
        "entitlements": ["orders-reader", "reports-reader"],
    }
    assert [question["parent_task"] for question in fleet.policy.questions[:-1]] == [None, None]


@pytest.mark.parametrize("wanted", [Q4, YEAR], ids=["beside", "around"])
async def test_what_the_agent_above_does_not_hold_is_refused_whatever_policy_allows(fleet: World, wanted: Any) -> None:
    _, task = await handed_on(fleet)

    no = await refused(fleet, task, wanted)

    assert isinstance(no, Denied)
    assert no.reason is Reason.CEILING_EXCEEDED
    assert [failure.rule for failure in no.refusal.failures] == ["parent_task"]
    assert "the agent above may do itself by role remit-reports" in no.message


async def test_the_offer_of_a_refusal_is_what_the_agent_above_holds_of_it(fleet: World) -> None:
    _, task = await handed_on(fleet)

    no = await refused(fleet, task, YEAR)

    assert isinstance(no, Denied)
    assert (no.remedy, no.refusal.offer) == (Remedy.NARROW, (Q3,))
    narrowed = await fixed(fleet, task, YEAR, narrow=True)
    assert "2026/q3/*" in narrowed.session_policy
    assert '"arn:aws:s3:::reports/2026/*"' not in narrowed.session_policy


async def test_an_agent_above_without_credentials_hands_on_nothing(fleet: World) -> None:
    above, task = await handed_on(fleet)
    await revoke(fleet, TargetKind.GRANT, above.grant_id)

    no = await refused(fleet, task, ONE)

    assert (no.reason, no.remedy) == (Reason.GRANT_NOT_LIVE, Remedy.RETRY_LATER)
    assert "ask for what this needs first" in no.message


async def test_what_the_agent_above_holds_by_another_role_does_not_help(fleet: World) -> None:
    _, task = await handed_on(fleet, ORDER)
    fleet.policy.answer = Allow((READ_REPORTS,))

    no = await refused(fleet, task, ONE)

    assert isinstance(no, Denied)
    assert (no.reason, no.refusal.failures[0].rule) == (Reason.CEILING_EXCEEDED, "parent_task")
    assert "by role remit-data only" in no.message


async def test_what_lies_in_two_grants_above_is_asked_for_in_two_requests(fleet: World) -> None:
    above, task = await handed_on(fleet)
    other = await planned(fleet, Q4, task_id=above.task_id)

    no = await refused(fleet, task, Q3, Q4)
    parts = [await fixed(fleet, task, one) for one in (Q3, Q4)]

    assert isinstance(no, Denied)
    assert (no.reason, no.remedy) == (Reason.INTENT_SPANS_ROLES, Remedy.SPLIT)
    assert "no single grant of the agent above" in no.message
    assert [grant.parent_grant_id for grant in parts] == [above.grant_id, other.grant_id]


async def test_credentials_end_with_those_above_at_the_latest(fleet: World) -> None:
    above, task = await handed_on(fleet)
    fleet.clock.advance(minutes=5)

    grant = await fixed(fleet, task, ONE, requested_duration=timedelta(hours=1))

    assert above.expire_time == grant.expire_time == NOON + timedelta(minutes=15)


async def test_nothing_is_given_within_what_is_nearly_over(fleet: World) -> None:
    _, task = await handed_on(fleet)
    fleet.clock.advance(minutes=14, seconds=50)

    no = await refused(fleet, task, ONE)

    assert no.reason is Reason.GRANT_NOT_LIVE


@pytest.mark.parametrize(
    ("who", "reason"),
    [
        ({"agent": "scribe"}, Reason.NOT_FOUND),
        ({"agent": "copilot"}, Reason.NOT_FOUND),
        ({"user": "bob"}, Reason.NOT_FOUND),
    ],
    ids=["another-agent", "the-one-above", "another-user"],
)
async def test_the_id_is_of_use_to_the_agent_that_was_named_and_for_the_same_user(
    fleet: World, who: dict[str, str], reason: Reason
) -> None:
    _, task = await handed_on(fleet)

    no = await refused(fleet, task, ONE, **who)

    assert no.reason is reason


async def test_an_agent_does_not_work_in_the_task_above(fleet: World) -> None:
    above, _ = await handed_on(fleet)

    with pytest.raises(Denied) as raised:
        await fleet.issue(fleet.request(ONE, agent="fixer", task_id=above.task_id))

    assert raised.value.reason is Reason.NOT_FOUND


async def test_a_preview_says_the_same_as_issuing(fleet: World) -> None:
    _, task = await handed_on(fleet)

    yes = await fleet.preview(fleet.ask(ONE, agent="fixer", task_id=task.task_id))
    no = await fleet.preview(fleet.ask(Q4, agent="fixer", task_id=task.task_id))

    assert isinstance(yes, WouldIssue)
    assert isinstance(no, WouldRefuse)
    assert [failure.rule for failure in no.denied.refusal.failures] == ["parent_task"]


async def test_a_grant_is_renewed_within_its_own_grant_above_as_that_is_then(fleet: World) -> None:
    above, task = await handed_on(fleet)
    grant = await fixed(fleet, task, ONE)
    await planned(fleet, YEAR, task_id=above.task_id, requested_duration=timedelta(hours=1))
    fleet.clock.advance(minutes=10)
    await fleet.renew(fleet.renewal(above))

    renewed = await fleet.renew(fleet.renewal(grant, agent="fixer", requested_duration=timedelta(hours=1)))

    assert renewed.grant.parent_grant_id == above.grant_id
    assert renewed.credentials.expire_time == NOON + timedelta(minutes=25)
    proof = lies_within(recorded_policy(renewed.grant), [recorded_policy(await kept(fleet, above))], budget=EXACT)
    assert not isinstance(proof, Counterexample | Undecided)


async def test_a_renewal_is_refused_when_the_agent_above_holds_less_by_then(fleet: World) -> None:
    above, task = await handed_on(fleet)
    grant = await fixed(fleet, task, Q3)
    fleet.policy.answer = Allow((entitlement("reports-reader", ONE),))
    await fleet.renew(fleet.renewal(above, narrow=True))
    fleet.policy.answer = Allow((READ_REPORTS,))

    with pytest.raises(Denied) as raised:
        await fleet.renew(fleet.renewal(grant, agent="fixer"))

    assert raised.value.reason is Reason.CEILING_EXCEEDED
    assert [failure.rule for failure in raised.value.refusal.failures] == ["parent_task"]


async def test_a_repeat_is_refused_when_the_agent_above_holds_less_by_then(fleet: World) -> None:
    above, task = await handed_on(fleet)
    request = fleet.request(Q3, agent="fixer", task_id=task.task_id)
    await fleet.issue(request)
    fleet.policy.answer = Allow((entitlement("reports-reader", ONE),))
    await fleet.renew(fleet.renewal(above, narrow=True))

    with pytest.raises(Denied) as raised:
        await fleet.issue(request)

    assert raised.value.reason is Reason.GRANT_NOT_LIVE
    assert "holds less now" in raised.value.message


async def test_a_repeat_gives_the_same_grant_again(fleet: World) -> None:
    _, task = await handed_on(fleet)
    request = fleet.request(ONE, agent="fixer", task_id=task.task_id)

    first, again = given(await fleet.issue(request)), given(await fleet.issue(request))

    assert first.grant.grant_id == again.grant.grant_id
    assert first.credentials.access_key_id != again.credentials.access_key_id


@pytest.mark.parametrize("kind", [TargetKind.GRANT, TargetKind.TASK, TargetKind.ACTOR])
async def test_what_ends_above_ends_below(fleet: World, kind: TargetKind) -> None:
    above, task = await handed_on(fleet)
    grant = await fixed(fleet, task, ONE)
    keys = {TargetKind.GRANT: above.grant_id, TargetKind.TASK: above.task_id, TargetKind.ACTOR: "corp:copilot"}

    await revoke(fleet, kind, keys[kind])

    assert (await kept(fleet, grant)).state is GrantState.REVOKING
    with pytest.raises(Denied):
        await fleet.renew(fleet.renewal(grant, agent="fixer"))


async def test_so_many_grants_of_a_task_lie_within_one_above_and_no_more(fleet: World) -> None:
    above, task = await handed_on(fleet)
    for _ in range(MOST_WITHIN):
        await fixed(fleet, task, ONE)

    full = await refused(fleet, task, ONE)
    other = await fleet.delegate(fleet.delegation(above.task_id, "scribe"))
    beside = await fixed(fleet, other, ONE, agent="scribe")
    part = await fleet.attenuate(fleet.attenuation(above))

    assert (full.reason, full.remedy) == (Reason.RATE_LIMITED, Remedy.RETRY_LATER)
    assert beside.state is part.grant.state is GrantState.ISSUED


async def test_a_sub_agent_ends_its_own_task_alone(fleet: World) -> None:
    above, task = await handed_on(fleet)
    await fixed(fleet, task, ONE)

    await fleet.end(fleet.admitted("fixer"), task.task_id)

    assert (await kept(fleet, above)).state is GrantState.ISSUED


async def test_a_chain_narrows_at_every_step(fleet: World) -> None:
    _, first = await handed_on(fleet, YEAR)
    middle = await fixed(fleet, first, Q3)
    second = await fleet.delegate(fleet.delegation(first.task_id, "scribe", agent="fixer"))

    no = await refused(fleet, second, Q4, agent="scribe")
    grant = await fixed(fleet, second, ONE, agent="scribe")

    assert no.reason is Reason.CEILING_EXCEEDED
    assert grant.parent_grant_id == middle.grant_id
    assert fleet.policy.questions[-1]["parent_task"]["depth"] == 1


async def test_where_the_agent_above_may_call_from_the_one_below_may_and_nowhere_else(fleet: World) -> None:
    office = replace(READ_REPORTS, bind=Bind(source_cidrs=("203.0.113.0/24",)))
    fleet.policy.answer = Allow((office,))
    _, task = await handed_on(fleet)
    fleet.policy.answer = Allow((READ_REPORTS,))

    grant = await fixed(fleet, task, ONE)

    assert '"NotIpAddressIfExists":{"aws:SourceIp":"203.0.113.0/24"}' in grant.session_policy


async def test_a_condition_of_the_grant_above_holds_below(fleet: World) -> None:
    tagged = Condition("StringEquals", "s3:ExistingObjectTag/team", ("finance",))
    fleet.policy.answer = Allow(
        (entitlement("reports-reader", permission("s3:GetObject", "arn:aws:s3:::reports/2026/*", tagged)),)
    )
    _, task = await handed_on(fleet)
    fleet.policy.answer = Allow((READ_REPORTS,))

    grant = await fixed(fleet, task, ONE)

    (allow,) = [one for one in recorded_policy(grant).statements if one.effect.value == "Allow"]
    assert allow.conditions == (tagged,)
