"""Row A11 for tasks under tasks: a sub-agent obtains no more than the agent above was issued, nor after it.

| row | what is tried | where else |
|---|---|---|
| A11 | wider, deeper, in other hands, revoked meanwhile | `tests/property/test_sub_agent_laws.py` |

What reached STS is judged by the fake's log, and by a proof of its own.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.databases import Place
from tests.fakes import READ_REPORTS, entitlement, given, permission
from tests.issuing_world import IssuingWorld, issuing_world
from tests.reproving_within import reprove_within

from remit_server.adapters.database.revoking.revocations import DatabaseRevocations
from remit_server.domain.decision import Allow
from remit_server.domain.errors import Denied, Reason, RemitError
from remit_server.domain.grant import Grant, GrantState
from remit_server.domain.revocation import RevokeCause, RevokeOrder, Target, TargetKind
from remit_server.domain.task import Task, TaskId

Q3 = permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/*")
ONE = permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/summary.md")
WIDER = {
    "beside": permission("s3:GetObject", "arn:aws:s3:::reports/2026/q2/*"),
    "around": permission("s3:GetObject", "arn:aws:s3:::reports/2026/*"),
    "everything": permission("s3:*", "*"),
    "another action": permission("s3:PutObject", "arn:aws:s3:::reports/2026/q3/summary.md"),
    "a wildcard action": permission("s3:Get*", "arn:aws:s3:::reports/2026/q3/*"),
    "a wildcard in the middle": permission("s3:GetObject", "arn:aws:s3:::reports/2026/q?/*"),
    "case in the path": permission("s3:GetObject", "arn:aws:s3:::reports/2026/Q3/*"),
    "another bucket": permission("s3:GetObject", "arn:aws:s3:::reports-old/2026/q3/*"),
}
BEYOND = [WIDER[name] for name in ("beside", "another action", "case in the path", "another bucket")]  # no part of it
EVERYTHING = entitlement("everything", permission("s3:*", ["arn:aws:s3:::reports", "arn:aws:s3:::reports/*"]))


@pytest.fixture
async def gateway(tmp_path: Path, place: Place) -> AsyncIterator[IssuingWorld]:
    """Policy allows everything to everybody: what is left is the gateway's own word."""
    async with issuing_world(tmp_path, EVERYTHING, place=place) as made:
        for name in ("fixer", "thief"):
            agent = made.world.agent(name)
            made.world.user("alice", agent)
            made.world.user("bob", agent)
        yield made


async def handed_on(gateway: IssuingWorld) -> tuple[Grant, Task]:
    """The copilot may read the third quarter, and hands on to the fixer."""
    above = (await gateway.issued(Q3)).grant
    return above, await gateway.world.delegate(gateway.world.delegation(above.task_id, "fixer"))


@pytest.mark.parametrize("wanted", WIDER.values(), ids=WIDER)
@pytest.mark.parametrize("narrow", [False, True])
async def test_a11_a_child_gets_nothing_that_the_one_above_was_not_issued(
    wanted: Any,
    narrow: bool,
    gateway: IssuingWorld,
) -> None:
    above, task = await handed_on(gateway)

    try:
        issued = await gateway.issued(wanted, agent="fixer", task_id=task.task_id, narrow=narrow)
    except RemitError as refused:
        assert not narrow or wanted in BEYOND
        assert refused.reason in {Reason.CEILING_EXCEEDED, Reason.NEVER_ISSUABLE}  # noqa: PT017
        assert len(gateway.sent) == 1
    else:
        assert narrow
        assert gateway.sent[-1].policy == issued.grant.session_policy
        reprove_within(issued.grant.session_policy, above.session_policy)


async def test_a11_nothing_is_handed_on_deeper_than_the_gateway_says(gateway: IssuingWorld) -> None:
    world = gateway.world
    _, task = await handed_on(gateway)
    for below, above in (("thief", "fixer"), ("fixer", "thief")):
        task = await world.delegate(world.delegation(task.task_id, below, agent=above))

    with pytest.raises(Denied) as raised:
        await world.delegate(world.delegation(task.task_id, "thief", agent="fixer"))

    assert (task.depth, raised.value.reason) == (3, Reason.DELEGATION_TOO_DEEP)


@pytest.mark.parametrize("who", [{"agent": "thief"}, {"agent": "copilot"}, {"agent": "fixer", "user": "bob"}])
async def test_a11_the_id_of_a_task_is_worth_nothing_to_anybody_else(
    who: dict[str, str], gateway: IssuingWorld
) -> None:
    _, task = await handed_on(gateway)

    refused = await gateway.refused(ONE, task_id=task.task_id, **who)

    assert (refused.reason, len(gateway.sent)) == (Reason.NOT_FOUND, 1)


@pytest.mark.parametrize("what", ["issue", "renew", "end", "delegate"])
async def test_a11_another_agent_does_nothing_in_the_task(what: str, gateway: IssuingWorld) -> None:
    world = gateway.world
    _, task = await handed_on(gateway)
    grant = (await gateway.issued(ONE, agent="fixer", task_id=task.task_id)).grant
    calls: dict[str, Any] = {
        "issue": lambda: gateway.issue(world.request(ONE, agent="thief", task_id=task.task_id)),
        "renew": lambda: world.renew(world.renewal(grant, agent="thief")),
        "end": lambda: world.end(world.admitted("thief"), task.task_id),
        "delegate": lambda: world.delegate(world.delegation(task.task_id, "copilot", agent="thief")),
    }

    with pytest.raises(Denied) as raised:
        await calls[what]()

    assert raised.value.reason is Reason.NOT_FOUND


async def test_a11_what_the_token_says_of_other_agents_opens_no_task_under_another(gateway: IssuingWorld) -> None:
    """A nested `act` claim is history: who calls without the id of a task begins one of its own."""
    world = gateway.world
    above, _ = await handed_on(gateway)
    known = world.identity.subjects["alice@fixer"]
    world.identity.subjects["alice@fixer"] = replace(known, history=("corp:copilot",))

    grant = given(await gateway.issue(world.request(ONE, agent="fixer"))).grant

    task = await world.ledger.task(grant.task_id)
    assert task is not None
    assert (task.parent_task_id, grant.parent_grant_id) == (None, None)
    assert grant.task_id != above.task_id


@pytest.mark.parametrize("kind", [TargetKind.GRANT, TargetKind.TASK, TargetKind.ACTOR, TargetKind.SUBJECT])
async def test_a11_nobody_is_given_credentials_within_what_is_revoked_meanwhile(
    kind: TargetKind, gateway: IssuingWorld
) -> None:
    """Every call ends before the revoke, and is revoked by it, or gives nothing: whichever way they race."""
    world = gateway.world
    above, task = await handed_on(gateway)
    keys = {
        TargetKind.GRANT: above.grant_id,
        TargetKind.TASK: above.task_id,
        TargetKind.ACTOR: "corp:copilot",
        TargetKind.SUBJECT: "alice",
    }
    target = Target(kind, keys[kind], "https://idp.example" if kind is TargetKind.SUBJECT else "")
    order = RevokeOrder("r" * 26, target, RevokeCause.REQUESTED, by="corp:sam", why="a drill")
    given_out: list[Grant] = []

    async def ask(turn: int) -> None:
        await asyncio.sleep(turn * 0.002)
        try:
            given_out.append((await gateway.issued(ONE, agent="fixer", task_id=task.task_id)).grant)
        except RemitError:
            return

    asking = [asyncio.create_task(ask(turn)) for turn in range(30)]
    await asyncio.sleep(0.03)
    await DatabaseRevocations(world.ledger.store).revoke(order)
    after = await asyncio.gather(*asking)

    assert len(after) == 30
    found = [await world.renew.renewals.grant(grant.grant_id) for grant in given_out]
    assert {grant.state for grant in found if grant is not None} <= {GrantState.REVOKING}
    late = await gateway.refused(ONE, agent="fixer", task_id=task.task_id)
    assert late.reason in {Reason.GRANT_NOT_LIVE, Reason.NOT_FOUND, Reason.SUBJECT_TOKEN_REJECTED}


async def test_a11_handing_on_races_the_end_of_the_task(gateway: IssuingWorld) -> None:
    world = gateway.world
    above, _ = await handed_on(gateway)
    opened: list[Task] = []
    first = asyncio.Event()

    async def hand_on(turn: int) -> None:
        await asyncio.sleep(turn * 0.002)
        try:
            opened.append(await world.delegate(world.delegation(above.task_id, "fixer")))
        except RemitError:
            return
        first.set()

    handing = [asyncio.create_task(hand_on(turn)) for turn in range(20)]
    await first.wait()
    await world.end(world.admitted(), TaskId(above.task_id))
    await asyncio.gather(*handing)

    assert opened
    found = [await world.ledger.task(task.task_id) for task in opened]
    assert {task.state.value for task in found if task is not None} == {"ENDED"}


async def test_a11_an_agent_above_that_renews_for_less_is_the_measure_from_then_on(gateway: IssuingWorld) -> None:
    world = gateway.world
    above, task = await handed_on(gateway)
    world.policy.answer = Allow((entitlement("everything", ONE),))
    await replace(world.renew, assume_role=gateway.issue.assume_role)(world.renewal(above, narrow=True))
    world.policy.answer = Allow((READ_REPORTS,))

    refused = await gateway.refused(Q3, agent="fixer", task_id=task.task_id)

    assert refused.reason is Reason.CEILING_EXCEEDED
