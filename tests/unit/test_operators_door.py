"""The door of the security side and the decision behind it: every call is on record before it is answered."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.fakes import NOON
from tests.operator_world import ISSUER, NO, SEES_ALL, SEES_OWN, OperatorWorld, operator_world

from remit_server.adapters.database.revoking.revocations import DatabaseRevocations
from remit_server.adapters.policy.answers.decision import PolicyUnavailable
from remit_server.application.oversight.authorizing import ALWAYS
from remit_server.domain.administration import EVERYTHING, Visibility
from remit_server.domain.errors import FieldViolation, InvalidRequest, Outage, Reason, RemitError
from remit_server.domain.identity import Caller
from remit_server.domain.revocation import RevokeCause, RevokeOrder, Target, TargetKind
from remit_server.domain.secret import Secret

LIST, REVOKE = "GrantService.ListGrants", "GrantService.RevokeGrants"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[OperatorWorld]:
    async with operator_world(tmp_path) as made:
        made.operator("olga", SEES_ALL)
        yield made


async def calls(house: OperatorWorld) -> list[dict[str, Any]]:
    """Returns the records of operators' calls."""
    events = await house.inner.events()
    return [json.loads(event.body_text) for event in events if event.kind == "operator_called"]


async def let_in(house: OperatorWorld, token: str, *, method: str = "ListGrants", **limits: int) -> str:
    caller = Caller("192.0.2.7", unverified_bearer=Secret(token))
    async with house.admission("GrantService", **limits)(caller, method) as admitted:
        return admitted.caller_id


async def revoke(house: OperatorWorld, target: Target, *, block: bool = False) -> None:
    order = RevokeOrder("a" * 26, target, RevokeCause.REQUESTED, "corp:sam", "lost laptop", block)
    await DatabaseRevocations(house.inner.ledger.store).revoke(order)


async def refused(awaitable: Any) -> RemitError:
    with pytest.raises(RemitError) as raised:
        await awaitable
    return raised.value


async def test_an_operator_is_let_in(house: OperatorWorld) -> None:
    assert await let_in(house, "ops-olga") == "corp:olga"


async def test_an_agent_is_counted_by_what_it_tried(house: OperatorWorld) -> None:
    assert (await refused(let_in(house, "copilot"))).reason is Reason.NOT_AUTHORIZED

    await house.inner.rejections.write()
    (event,) = await house.inner.events()
    assert '"reason":"NOT_AUTHORIZED"' in event.body_text


@pytest.mark.parametrize("block", [False, True])
async def test_whoever_was_revoked_needs_a_new_sign_in_and_whoever_is_blocked_more(
    house: OperatorWorld, block: bool
) -> None:
    house.inner.clock.advance(minutes=5)
    await revoke(house, Target(TargetKind.SUBJECT, "olga", ISSUER), block=block)

    assert (await refused(let_in(house, "ops-olga"))).reason is Reason.ACTOR_REJECTED
    house.operator("olga", token_issue_time=NOON + timedelta(minutes=6))
    if block:
        assert (await refused(let_in(house, "ops-olga"))).reason is Reason.ACTOR_REJECTED
    else:
        assert await let_in(house, "ops-olga") == "corp:olga"


async def test_a_workload_with_a_certificate_stays_out_after_a_revoke(house: OperatorWorld) -> None:
    soar = house.operator("spiffe://x/soar", token_issue_time=None)
    await revoke(house, Target(TargetKind.ACTOR, soar.name))

    assert (await refused(let_in(house, "ops-spiffe://x/soar"))).reason is Reason.ACTOR_REJECTED


async def test_calls_past_the_budget_are_refused_for_this_operator_alone(house: OperatorWorld) -> None:
    house.operator("otto")
    door = house.admission("GrantService", per_minute=2)

    async def call(token: str) -> None:
        async with door(Caller("192.0.2.7", unverified_bearer=Secret(token)), "ListGrants"):
            pass

    await call("ops-olga")
    await call("ops-olga")
    over = await refused(call("ops-olga"))
    await call("ops-otto")

    assert over.reason is Reason.RATE_LIMITED
    assert "this operator" in over.message


async def test_streams_have_places_of_their_own(house: OperatorWorld) -> None:
    door = house.admission("GrantService", places=1)
    olga = Caller("192.0.2.7", unverified_bearer=Secret("ops-olga"))

    async with door(olga, "WatchGrants"), door(olga, "ListGrants"):
        with pytest.raises(Outage) as full:
            async with door(olga, "GetGrant"):
                pytest.fail("was let in")

    assert full.value.reason is Reason.OVERLOADED


async def test_what_cannot_be_read_is_on_record(house: OperatorWorld) -> None:
    door = house.admission("GrantService")
    async with door(Caller("192.0.2.7", unverified_bearer=Secret("ops-olga")), "ListGrants") as admitted:
        with pytest.raises(InvalidRequest):
            async with door.reading(admitted, "ListGrants"):
                raise InvalidRequest([FieldViolation("filter", "is too long")])

    (call,) = await calls(house)
    assert (call["method"], call["allowed"], call["reason"]) == (LIST, False, "INVALID_REQUEST")


async def test_a_yes_is_on_record_with_who_and_what(house: OperatorWorld) -> None:
    visibility = await house.authorize(house.operators["ops-olga"], LIST, about='state = "ISSUED"')

    assert visibility == EVERYTHING
    (call,) = await calls(house)
    assert call | {"kind": ""} == {
        "kind": "",
        "method": LIST,
        "caller_issuer": ISSUER,
        "caller_id": "olga",
        "peer": "127.0.0.1",
        "allowed": True,
        "reason": "",
        "policy_revision": "5" * 64,
        "about": 'state = "ISSUED"',
    }


async def test_a_no_is_on_record_with_the_policys_codes(house: OperatorWorld) -> None:
    error = await refused(house.authorize(house.operator("eve"), LIST))

    assert (error.reason, error.message) == (
        Reason.NOT_AUTHORIZED,
        "policy refuses this call: No right in the catalogue.",
    )
    assert [(call["allowed"], call["reason"]) for call in await calls(house)] == [(False, "not_an_administrator")]


@pytest.mark.parametrize("failure", [PolicyUnavailable("late"), ZeroDivisionError()])
async def test_an_engine_without_an_answer_is_no_yes_and_on_record(house: OperatorWorld, failure: Exception) -> None:
    operator = house.operator("eve", failure)

    with pytest.raises(type(failure)):
        await house.authorize(operator, LIST)

    assert [call["allowed"] for call in await calls(house)] == [False]


async def test_own_means_the_same_issuer_and_subject(house: OperatorWorld) -> None:
    visibility = await house.authorize(house.operator("alice", SEES_OWN), LIST)

    assert visibility == Visibility(own=(ISSUER, "alice"))


async def test_what_is_for_those_who_see_everything_is_refused_to_others(house: OperatorWorld) -> None:
    error = await refused(house.authorize(house.operator("alice", SEES_OWN), "AuditService.ListEvents", whole=True))

    assert error.reason is Reason.NOT_AUTHORIZED
    assert [call["allowed"] for call in await calls(house)] == [False]


@pytest.mark.parametrize("rpc", sorted(ALWAYS))
async def test_an_administrator_is_not_asked_of_policy_and_is_on_record(house: OperatorWorld, rpc: str) -> None:
    house.administrators.add("corp:sam")
    sam = house.operator("sam", PolicyUnavailable("there is none"))

    assert await house.authorize(sam, rpc, whole=True) == EVERYTHING

    assert house.policy.questions == []
    assert [(call["allowed"], call["reason"]) for call in await calls(house)] == [(True, "ADMINISTRATOR")]


@pytest.mark.parametrize("rpc", [LIST, "GrantService.RemoveBlock", "AuditService.ListEvents"])
async def test_an_administrator_has_no_other_right_than_policy_gives(house: OperatorWorld, rpc: str) -> None:
    house.administrators.add("corp:sam")

    assert (await refused(house.authorize(house.operator("sam", NO), rpc))).reason is Reason.NOT_AUTHORIZED


async def test_policy_is_told_what_a_revoke_is_aimed_at(house: OperatorWorld) -> None:
    target = Target(TargetKind.SUBJECT, "alice", ISSUER)

    await house.authorize(house.operators["ops-olga"], REVOKE, target=target, block=True)

    (question,) = house.policy.questions
    assert json.loads(question)["target"] == {"kind": "subject", "id": "alice", "issuer": ISSUER, "block": True}


async def test_whether_somebody_sees_everything_can_be_asked(house: OperatorWorld) -> None:
    authorize = house.authorize

    assert await authorize.sees_everything(house.operators["ops-olga"], "ApprovalService.ListApprovals")
    assert not await authorize.sees_everything(house.operator("alice", SEES_OWN), "ApprovalService.ListApprovals")
    assert not await authorize.sees_everything(house.operator("eve"), "ApprovalService.ListApprovals")


async def test_no_answer_without_a_record(house: OperatorWorld) -> None:
    await house.inner.ledger.store.commit.close()

    with pytest.raises(Outage) as raised:
        await house.authorize(house.operators["ops-olga"], LIST)

    assert raised.value.reason is Reason.LEDGER_UNAVAILABLE
