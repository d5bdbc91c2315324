"""A request that another process has answered: taken for new here, and answered as it was there."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.approval_world import LEA, approving
from tests.databases import Place
from tests.fakes import World, entitlement, given, permission, world

from remit_server.application.approvals.ask_approval import Pending
from remit_server.application.issuing.flights import Flights
from remit_server.application.issuing.issue_credentials import IssueCredentials
from remit_server.application.planning.recent import Recent
from remit_server.domain.decision import Allow, Deny, PolicyReason
from remit_server.domain.errors import Denied, InvalidRequest, Outage, Reason, Remedy, RemitError

WIDE = Allow((entitlement("wide", permission("s3:*", "arn:aws:s3:::*")),))
NOW = {
    "policy says no": Deny((PolicyReason("not_any_more", "this is over", Remedy.GIVE_UP),)),
    "policy is out": Outage(Reason.POLICY_UNAVAILABLE, "the policy engine did not answer"),
    "policy breaks": ValueError("something nobody thought of"),
    "policy allows more": WIDE,
}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


def elsewhere(gateway: World, **ports: Any) -> IssueCredentials:
    """Returns the use case of another process on the same ledger."""
    return replace(gateway.issue, flights=Flights(), seen=Recent(8), **ports)


async def refusal_of(issue: IssueCredentials, request: Any) -> RemitError:
    with pytest.raises(RemitError) as raised:
        await issue(request)
    return raised.value


class Looks:
    """Counts how often a ledger is asked for what is known of a request."""

    def __init__(self, ledger: Any) -> None:
        self._ledger = ledger
        self.count = 0

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._ledger, verb)

    async def remembered(self, actor_id: str, request_id: str, /) -> Any:
        self.count += 1
        return await self._ledger.remembered(actor_id, request_id)


@pytest.mark.parametrize("now", NOW.values(), ids=NOW)
async def test_what_was_issued_is_given_again_whatever_is_decided_now(gateway: World, now: Any) -> None:
    request = gateway.request()
    first = given(await gateway.issue(request))
    gateway.policy.answer = now

    again = given(await elsewhere(gateway)(request))

    assert again.grant.grant_id == first.grant.grant_id
    assert gateway.sts.orders[1].session_policy == gateway.sts.orders[0].session_policy
    assert await gateway.trail() == ["task_started", "grant_authorized", "credentials_issued", "credentials_issued"]


@pytest.mark.parametrize("now", NOW.values(), ids=NOW)
async def test_what_was_refused_is_refused_again_whatever_is_decided_now(gateway: World, now: Any) -> None:
    request = gateway.request(permission("s3:GetObject", "arn:aws:s3:::reports/*"))
    first = await refusal_of(gateway.issue, request)
    gateway.policy.answer = now

    again = await refusal_of(elsewhere(gateway), request)

    assert isinstance(first, Denied)
    assert isinstance(again, Denied)
    assert (again.reason, again.message, again.refusal) == (first.reason, first.message, first.refusal)
    assert gateway.sts.orders == []


@pytest.mark.parametrize("now", NOW.values(), ids=NOW)
async def test_a_request_id_of_another_request_is_invalid_whatever_is_decided_now(gateway: World, now: Any) -> None:
    request = gateway.request()
    await gateway.issue(request)
    other = gateway.request(permission("s3:GetObject", "arn:aws:s3:::reports/2026/q1/*"), request_id=request.request_id)
    gateway.policy.answer = now

    refused = await refusal_of(elsewhere(gateway), other)

    assert isinstance(refused, InvalidRequest)
    assert len(gateway.sts.orders) == 1


async def test_what_failed_in_an_outage_is_tried_again_under_the_same_grant(gateway: World) -> None:
    request = gateway.request()
    gateway.sts.failure = Outage(Reason.RATE_LIMITED, "STS is throttling")
    await refusal_of(gateway.issue, request)
    gateway.sts.failure = None

    issued = given(await elsewhere(gateway)(request))

    grants = {json.loads(event.body_text).get("grant_id") for event in await gateway.events()} - {None}
    assert grants == {issued.grant.grant_id}
    assert (await gateway.trail()).count("task_started") == 1


async def test_what_fails_once_it_is_authorized_is_not_tried_again_by_itself(gateway: World) -> None:
    looks = Looks(gateway.ledger)
    gateway.sts.failure = Outage(Reason.RATE_LIMITED, "STS is throttling")

    refused = await refusal_of(elsewhere(gateway, ledger=looks), gateway.request())

    assert refused.reason is Reason.RATE_LIMITED
    assert (len(gateway.sts.orders), looks.count) == (1, 0)


async def test_a_new_request_is_issued_and_looks_nothing_up(gateway: World) -> None:
    looks = Looks(gateway.ledger)

    await elsewhere(gateway, ledger=looks)(gateway.request())

    assert looks.count == 0


async def test_a_repeat_that_this_process_has_seen_is_not_decided_again(gateway: World) -> None:
    request = gateway.request()
    await gateway.issue(request)
    asked = len(gateway.policy.questions)

    await gateway.issue(request)

    assert len(gateway.policy.questions) == asked


@pytest.mark.parametrize("now", NOW.values(), ids=NOW)
async def test_what_waits_for_people_waits_on_whatever_is_decided_now(place: Place, now: Any) -> None:
    async with approving(place) as people:
        request = people.gateway.request()
        first = await people.asked(request)
        people.gateway.policy.answer = now

        again = await elsewhere(people.gateway)(request)

        assert isinstance(again, Pending)
        assert (again.grant.name, again.approval) == (first.grant.name, first.approval)
        assert await people.gateway.trail() == ["task_started", "approval_asked"]
        assert people.gateway.sts.orders == []


async def test_what_people_said_yes_to_is_collected_under_the_same_grant_wherever_it_is_asked_for(place: Place) -> None:
    async with approving(place) as people:
        request = people.gateway.request()
        pending = await people.asked(request)
        await people.says(LEA, pending.approval)

        issued = [given(await elsewhere(people.gateway)(request)) for _ in range(2)]

        assert [one.grant.grant_id for one in issued] == [pending.grant.grant_id] * 2
        assert (await people.gateway.trail()).count("grant_authorized") == 1
