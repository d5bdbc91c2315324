"""A revision that is activated while a call is decided: the call is decided anew by it, and once only."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.approval_world import ASKING, LEA, approving
from tests.fakes import READ_REPORTS, World, entitlement, given, permission, world

from remit_server.adapters.database.policies.revisions import DatabaseRevisions
from remit_server.application.issuing.preview_credentials import WouldIssue
from remit_server.application.policy.ports import ActivationOrder, NewRevision
from remit_server.application.ports import Revision
from remit_server.domain.decision import Allow, Decision, Deny, PolicyReason
from remit_server.domain.errors import Denied, Outage, PolicyChanged, Reason, Remedy
from remit_server.domain.policy_revision import BundleFacts, RevisionSource

OLD, NEW, NEWEST = ("5" * 64, "6" * 64, "7" * 64)  # the first is what the scripted policy decides by
LESS = Allow((entitlement("less", permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/a/*")),))
SAME = Allow((READ_REPORTS,))
NO = Deny((PolicyReason("closed", "closed for today", Remedy.GIVE_UP),))


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        await activated(made, OLD)
        yield made


async def activated(gateway: World, revision: str) -> None:
    """Publishes and activates a revision, as another replica does: this one goes on deciding by its own."""
    revisions = DatabaseRevisions(gateway.ledger.store)
    facts = BundleFacts(revision, 1, None, "", 1, 0, 0)
    await revisions.publish(NewRevision(facts, b"archive"), by="ada", source=RevisionSource.OPERATOR)
    await revisions.activate(ActivationOrder(revision, by="ada", why="as reviewed"))


async def changed(gateway: World, answer: Decision, revision: str = NEW) -> None:
    """Has another revision active, which this process follows when it is told to, and which answers so."""
    await activated(gateway, revision)
    gateway.policy.changes.append((Revision(revision, {}), answer))


async def authorized_by(gateway: World) -> list[str]:
    """Returns the revisions that authorizations on record name, in their order."""
    events = await gateway.events()
    return [json.loads(one.body_text)["policy_revision"] for one in events if one.kind.endswith("_authorized")]


async def test_what_is_issued_was_decided_by_the_revision_that_is_active(gateway: World) -> None:
    await changed(gateway, LESS)

    issued = given(await gateway.issue(gateway.request(permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/a/*"))))

    assert (issued.grant.policy_revision, issued.grant.entitlements) == (NEW, ("less",))
    assert await authorized_by(gateway) == [NEW]
    assert len(gateway.policy.questions) == 2


async def test_a_no_of_the_new_revision_counts_although_the_old_one_said_yes(gateway: World) -> None:
    await changed(gateway, NO)

    with pytest.raises(Denied) as raised:
        await gateway.issue(gateway.request())

    assert (raised.value.reason, gateway.sts.orders) == (Reason.POLICY_DENIED, [])
    assert await authorized_by(gateway) == []


async def test_a_call_that_is_decided_anew_leaves_no_refusal_on_record(gateway: World) -> None:
    await changed(gateway, SAME)

    await gateway.issue(gateway.request())

    assert [kind for kind in await gateway.trail() if kind.startswith(("request", "grant", "cred", "task"))] == [
        "task_started",
        "grant_authorized",
        "credentials_issued",
    ]


async def test_a_renewal_is_decided_anew_too(gateway: World) -> None:
    issued = given(await gateway.issue(gateway.request()))
    await changed(gateway, SAME)

    renewed = await gateway.renew(gateway.renewal(issued.grant))

    assert (renewed.grant.policy_revision, await authorized_by(gateway)) == (NEW, [OLD, NEW])


async def test_a_preview_tells_what_the_active_revision_gives(gateway: World) -> None:
    await changed(gateway, SAME)

    outcome = await gateway.preview(gateway.ask())

    assert isinstance(outcome, WouldIssue)
    assert outcome.policy_revision == NEW


async def test_people_are_asked_what_the_active_revision_asks(tmp_path: Path) -> None:
    async with approving(tmp_path) as made:
        await activated(made.gateway, OLD)
        await changed(made.gateway, Allow((ASKING,)))

        pending = await made.asked()

        assert pending.approval.policy_revision == NEW


async def test_a_yes_is_not_voided_by_a_revision_that_does_not_decide_any_more(tmp_path: Path) -> None:
    async with approving(tmp_path) as made:
        request = made.gateway.request()
        await activated(made.gateway, OLD)
        pending = await made.asked(request)
        await made.says(LEA, pending.approval)
        made.gateway.policy.answer = Allow((replace(ASKING, max_credential=timedelta(minutes=1)),))
        await changed(made.gateway, Allow((ASKING,)))

        issued = await made.collected(request)

        assert issued.grant.policy_revision == NEW


def calls() -> dict[str, Callable[[World, Any], Awaitable[object]]]:
    return {
        "issue": lambda gateway, _: gateway.issue(gateway.request()),
        "renew": lambda gateway, grant: gateway.renew(gateway.renewal(grant)),
        "preview": lambda gateway, _: gateway.preview(gateway.ask()),
    }


@pytest.mark.parametrize("call", calls().values(), ids=calls())
async def test_a_call_is_refused_when_this_process_does_not_follow(
    gateway: World, call: Callable[[World, Any], Awaitable[object]]
) -> None:
    grant = given(await gateway.issue(gateway.request())).grant
    orders = len(gateway.sts.orders)
    await activated(gateway, NEW)  # and nothing is loaded here

    with pytest.raises(Outage) as raised:
        await call(gateway, grant)

    assert (raised.value.reason, raised.value.remedy) == (Reason.POLICY_UNAVAILABLE, Remedy.RETRY_LATER)
    assert (len(gateway.sts.orders), (await gateway.trail())[-1]) == (orders, "request_refused")


async def test_a_call_is_decided_anew_once_only(gateway: World) -> None:
    await changed(gateway, SAME)
    await activated(gateway, NEWEST)  # while it is decided by the new one

    with pytest.raises(PolicyChanged) as raised:
        await gateway.issue(gateway.request())

    assert (raised.value.reason, raised.value.retry_after is not None) == (Reason.POLICY_UNAVAILABLE, True)
    assert await authorized_by(gateway) == []
