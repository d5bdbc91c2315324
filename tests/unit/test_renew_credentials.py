"""Renewing a live grant: who may, what is decided again, what is recorded, and what is left when it fails."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete
from tests.approval_world import LEA, approving
from tests.fakes import ACCOUNT, NOON, READ_REPORTS, ROLES, World, entitlement, permission, role, world

from remit_server.adapters.database.lifecycle.renewals import DatabaseRenewals
from remit_server.adapters.database.revoking.revocations import DatabaseRevocations
from remit_server.adapters.database.schema.tables import audit_texts
from remit_server.application.issuing.flights import Flights
from remit_server.application.issuing.handing_out import Issued
from remit_server.application.issuing.requests import IssueRequest
from remit_server.application.issuing.to_the_end import ToTheEnd
from remit_server.application.revocation.revoke_grants import RevokeGrants
from remit_server.domain.decision import Allow, Deny, PolicyReason
from remit_server.domain.entitlement import ApprovalRule, Entitlement
from remit_server.domain.errors import Denied, InvalidRequest, Outage, Reason, Remedy, RemitError
from remit_server.domain.grant import Grant, GrantState
from remit_server.domain.revocation import RevokeCause, Target, TargetKind
from remit_server.domain.task import GrantId

OFFLINE = replace(READ_REPORTS, offline_renewal=True)
LESS = entitlement("less", permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/a/*"))
MORE = entitlement("more", permission("s3:Get*", "arn:aws:s3:::reports/*"))


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


async def issued(gateway: World, request: IssueRequest | None = None, **more: Any) -> Issued:
    outcome = await gateway.issue(request or gateway.request(**more))
    assert isinstance(outcome, Issued)
    return outcome


async def refusal(gateway: World, grant: Grant, **more: Any) -> RemitError:
    with pytest.raises(RemitError) as raised:
        await gateway.renew(gateway.renewal(grant, **more))
    return raised.value


async def kept(gateway: World, grant: Grant) -> Grant:
    found = await DatabaseRenewals(gateway.ledger.store).grant(grant.grant_id)
    assert found is not None
    return found


def allow(gateway: World, *entitlements: Entitlement) -> None:
    gateway.policy.answer = Allow(entitlements)


async def bodies(gateway: World, kind: str) -> list[dict[str, Any]]:
    return [json.loads(event.body_text) for event in await gateway.events() if event.kind == kind]


# What a renewal gives


async def test_a_renewal_gives_new_credentials_of_the_same_grant(gateway: World) -> None:
    first = await issued(gateway)
    gateway.clock.advance(minutes=10)

    renewed = await gateway.renew(gateway.renewal(first.grant))

    assert renewed.grant.name == first.grant.name
    assert renewed.credentials.access_key_id != first.credentials.access_key_id
    assert renewed.credentials.expire_time == NOON + timedelta(minutes=25)
    assert not renewed.narrowed
    assert [one.access_key_id for one in (await kept(gateway, first.grant)).issuances] == [
        first.credentials.access_key_id,
        renewed.credentials.access_key_id,
    ]
    assert await gateway.trail() == [
        "task_started",
        "grant_authorized",
        "credentials_issued",
        "renewal_authorized",
        "credentials_renewed",
    ]


async def test_what_is_answered_is_what_is_kept(gateway: World) -> None:
    first = await issued(gateway)
    gateway.clock.advance(minutes=10)

    renewed = await gateway.renew(gateway.renewal(first.grant))

    assert await kept(gateway, first.grant) == renewed.grant


async def test_policy_decides_again_about_the_recorded_intent_and_is_told_that_it_is_a_renewal(gateway: World) -> None:
    first = await issued(gateway)

    await gateway.renew(gateway.renewal(first.grant))

    before, again = gateway.policy.questions
    assert (before["context"]["renewal"], again["context"]["renewal"]) == (False, True)
    assert again["intent"] == before["intent"]
    assert again["task"] == before["task"] | {"id": first.grant.task_id}
    assert again["requested_duration_seconds"] == before["requested_duration_seconds"]


async def test_the_session_is_of_the_same_subject_task_and_grant_under_the_revision_that_decided(
    gateway: World,
) -> None:
    first = await issued(gateway)
    gateway.policy.active = replace(gateway.policy.active, digest="6" * 64)

    renewed = await gateway.renew(gateway.renewal(first.grant))

    before, again = gateway.sts.orders
    assert (again.session_name, again.source_identity) == (before.session_name, before.source_identity)
    assert dict(again.tags)["remit:grant"] == dict(before.tags)["remit:grant"]
    assert dict(again.tags)["remit:by"].partition(".")[0] == dict(before.tags)["remit:by"].partition(".")[0]
    assert dict(again.tags)["remit:by"] != dict(before.tags)["remit:by"]
    assert (renewed.grant.policy_revision, renewed.grant.tags) == ("6" * 64, again.tags)


async def test_a_grant_lives_as_long_as_the_longest_of_its_credentials(gateway: World) -> None:
    first = await issued(gateway, requested_duration=timedelta(minutes=30))

    shorter = await gateway.renew(gateway.renewal(first.grant, requested_duration=timedelta(minutes=5)))

    assert shorter.credentials.expire_time == NOON + timedelta(minutes=5)
    assert shorter.grant.expire_time == NOON + timedelta(minutes=30)


async def test_a_repeat_of_the_request_gets_the_latest_policy_until_its_own_end(gateway: World) -> None:
    request = gateway.request(requested_duration=timedelta(minutes=30))
    first = await issued(gateway, request)
    allow(gateway, LESS)
    renewal = gateway.renewal(first.grant, narrow=True, requested_duration=timedelta(minutes=5))
    renewed = await gateway.renew(renewal)

    repeated = await issued(gateway, request)

    assert gateway.sts.orders[2].session_policy == gateway.sts.orders[1].session_policy
    assert repeated.credentials.expire_time == renewed.credentials.expire_time


async def test_a_repeat_gets_nothing_once_the_latest_policy_has_ended(gateway: World) -> None:
    request = gateway.request(requested_duration=timedelta(minutes=30))
    first = await issued(gateway, request)
    await gateway.renew(gateway.renewal(first.grant, requested_duration=timedelta(minutes=5)))
    gateway.clock.advance(minutes=6)

    with pytest.raises(Denied) as refused:
        await gateway.issue(request)

    assert refused.value.reason is Reason.GRANT_NOT_LIVE


# Who may


async def test_a10_another_agents_grant_is_not_found(gateway: World) -> None:
    first = await issued(gateway)
    gateway.user("alice", gateway.agent("scribe"))

    refused = await refusal(gateway, first.grant, agent="scribe")

    assert (refused.reason, len(gateway.sts.orders)) == (Reason.NOT_FOUND, 1)
    assert (await gateway.trail())[-1] == "request_refused"


async def test_a10_another_subjects_token_renews_nothing(gateway: World) -> None:
    first = await issued(gateway)
    gateway.user("mallory", gateway.copilot)

    refused = await refusal(gateway, first.grant, user="mallory")

    assert (refused.reason, len(gateway.sts.orders)) == (Reason.NOT_FOUND, 1)


async def test_a10_a_dead_token_renews_nothing(gateway: World) -> None:
    first = await issued(gateway)

    refused = await refusal(gateway, first.grant, token="no more")

    assert (refused.reason, len(gateway.sts.orders)) == (Reason.SUBJECT_TOKEN_REJECTED, 1)


async def test_a_grant_under_another_task_is_not_found(gateway: World) -> None:
    first, second = await issued(gateway), await issued(gateway)

    refused = await refusal(gateway, replace(first.grant, task_id=second.grant.task_id))

    assert refused.reason is Reason.NOT_FOUND


async def test_a_grant_that_never_was_is_not_found(gateway: World) -> None:
    first = await issued(gateway)

    refused = await refusal(gateway, replace(first.grant, grant_id=GrantId("a" * 26)))

    assert refused.reason is Reason.NOT_FOUND


async def test_a_single_use_token_of_another_task_renews_nothing(gateway: World) -> None:
    first = await issued(gateway)
    gateway.user("alice", gateway.copilot, token_id="jti-1", single_use=True)
    await issued(gateway)

    refused = await refusal(gateway, first.grant)

    assert (refused.reason, len(gateway.sts.orders)) == (Reason.TOKEN_REPLAYED, 2)


async def test_a_revoked_users_token_from_before_renews_nothing(gateway: World) -> None:
    first = await issued(gateway)
    revoke = RevokeGrants(DatabaseRevocations(gateway.ledger.store), gateway.issue.entropy)
    target = Target(TargetKind.SUBJECT, "alice", "https://idp.example")
    gateway.clock.advance(minutes=1)

    await revoke(target, cause=RevokeCause.REQUESTED, by="corp:root", why="left", block=True)

    assert (await refusal(gateway, first.grant)).reason is Reason.GRANT_NOT_LIVE


@pytest.mark.parametrize("over", ["task", "time"])
async def test_what_is_over_is_not_renewed(gateway: World, over: str) -> None:
    first = await issued(gateway)
    if over == "task":
        await gateway.end(gateway.admitted(), first.grant.task_id)
    else:
        gateway.clock.advance(minutes=15)

    refused = await refusal(gateway, first.grant)

    assert (refused.reason, len(gateway.sts.orders)) == (Reason.GRANT_NOT_LIVE, 1)


async def test_too_short_a_time_is_malformed(gateway: World) -> None:
    first = await issued(gateway)

    refused = await refusal(gateway, first.grant, requested_duration=timedelta(seconds=14))

    assert isinstance(refused, InvalidRequest)


# Without the user


async def test_without_a_token_nothing_is_renewed_unless_that_was_agreed_on(gateway: World) -> None:
    first = await issued(gateway)

    refused = await refusal(gateway, first.grant, user="")

    assert (refused.reason, refused.remedy) == (Reason.SUBJECT_TOKEN_REJECTED, Remedy.REAUTHENTICATE)
    assert len(gateway.sts.orders) == 1


@pytest.fixture
async def offline(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, OFFLINE) as made:
        yield made


async def test_where_agreed_on_a_renewal_without_the_user_is_decided_by_what_was_known_of_them(offline: World) -> None:
    first = await issued(offline)
    offline.clock.advance(minutes=10)

    renewed = await offline.renew(offline.renewal(first.grant, user=""))

    before, again = offline.policy.questions
    assert again["subject"] == before["subject"]
    assert again["context"]["renewal"]
    assert renewed.credentials.expire_time == NOON + timedelta(minutes=25)
    (record,) = await bodies(offline, "renewal_authorized")
    assert record["offline"]
    assert record["who"]["subject_id"] == "alice"
    assert record["who"]["token_fingerprint"] == ""


async def test_it_can_be_done_again_and_again(offline: World) -> None:
    first = await issued(offline)

    for _ in range(3):
        offline.clock.advance(minutes=10)
        await offline.renew(offline.renewal(first.grant, user=""))

    assert len((await kept(offline, first.grant)).issuances) == 4


async def test_a_policy_that_wants_the_user_there_again_is_obeyed(offline: World) -> None:
    first = await issued(offline)
    allow(offline, READ_REPORTS)

    refused = await refusal(offline, first.grant, user="")

    assert refused.reason is Reason.SUBJECT_TOKEN_REJECTED


async def test_an_issuer_that_is_trusted_no_more_has_no_absent_users(offline: World) -> None:
    first = await issued(offline)
    offline.identity.offline = False

    refused = await refusal(offline, first.grant, user="")

    assert (refused.reason, len(offline.sts.orders)) == (Reason.SUBJECT_TOKEN_REJECTED, 1)


async def test_a_user_of_whom_all_was_erased_has_to_be_there(offline: World) -> None:
    first = await issued(offline)
    await offline.ledger.store.commit(lambda batch: batch.connection.execute(delete(audit_texts)).rowcount)

    refused = await refusal(offline, first.grant, user="")

    assert (refused.reason, len(offline.sts.orders)) == (Reason.SUBJECT_TOKEN_REJECTED, 1)


# Under a changed policy


async def test_a_policy_that_says_no_now_renews_nothing(gateway: World) -> None:
    first = await issued(gateway)
    gateway.policy.answer = Deny((PolicyReason("left", "alice left the team", Remedy.GIVE_UP),))

    refused = await refusal(gateway, first.grant)

    assert refused.reason is Reason.POLICY_DENIED
    assert (await kept(gateway, first.grant)).state is GrantState.ISSUED


async def test_a_policy_that_allows_less_now_refuses_and_offers_that(gateway: World) -> None:
    first = await issued(gateway)
    allow(gateway, LESS)

    refused = await refusal(gateway, first.grant)

    assert isinstance(refused, Denied)
    assert (refused.reason, refused.remedy) == (Reason.CEILING_EXCEEDED, Remedy.NARROW)
    assert refused.refusal.offer == (permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/a/*"),)


async def test_with_narrow_it_gives_what_may_still_be_had_and_says_so(gateway: World) -> None:
    first = await issued(gateway)
    allow(gateway, LESS)

    renewed = await gateway.renew(gateway.renewal(first.grant, narrow=True))

    assert renewed.narrowed
    assert "arn:aws:s3:::reports/2026/q3/a/*" in gateway.sts.orders[1].session_policy
    assert [body["narrowed"] for body in await bodies(gateway, "credentials_renewed")] == [True]


async def test_what_was_narrowed_is_not_narrowed_by_the_next(gateway: World) -> None:
    first = await issued(gateway)
    allow(gateway, LESS)
    await gateway.renew(gateway.renewal(first.grant, narrow=True))

    again = await gateway.renew(gateway.renewal(first.grant, narrow=True))

    assert not again.narrowed


async def test_a_grant_that_was_narrowed_from_the_start_is_renewed_as_it_is(gateway: World) -> None:
    allow(gateway, LESS)
    first = await issued(gateway, narrow=True)

    renewed = await gateway.renew(gateway.renewal(first.grant))

    assert not renewed.narrowed


async def test_a_grant_that_was_narrowed_from_the_start_loses_no_more_without_being_asked(gateway: World) -> None:
    first = await issued(gateway, narrow=True)
    allow(gateway, LESS)

    refused = await refusal(gateway, first.grant)

    assert (refused.reason, refused.remedy) == (Reason.CEILING_EXCEEDED, Remedy.NARROW)


async def test_a_policy_that_allows_more_now_gives_no_more_than_was_asked_for(gateway: World) -> None:
    first = await issued(gateway)
    allow(gateway, MORE)

    renewed = await gateway.renew(gateway.renewal(first.grant))

    assert not renewed.narrowed
    assert "arn:aws:s3:::reports/2026/q3/*" in renewed.grant.session_policy


async def test_a_renewal_stays_on_the_role_of_its_grant(tmp_path: Path) -> None:
    another = f"arn:aws:iam::{ACCOUNT}:role/remit-archive"
    archive = role(another, actions=["s3:*"], resources=["arn:aws:s3:::reports/*"])
    async with world(tmp_path, roles=(*ROLES, archive)) as gateway:
        first = await issued(gateway)
        allow(gateway, replace(MORE, role_arn=another))

        refused = await refusal(gateway, first.grant)

    assert (refused.reason, len(gateway.sts.orders)) == (Reason.POLICY_DENIED, 1)
    assert "another role" in refused.message


# Under an approval


async def test_what_people_said_yes_to_is_renewed_until_that_yes_ends_and_not_longer(tmp_path: Path) -> None:
    async with approving(tmp_path) as people:
        request = people.gateway.request(requested_duration=timedelta(minutes=3))
        await people.says(LEA, (await people.asked(request)).approval)
        first = await people.collected(request)
        people.gateway.clock.advance(minutes=2)
        again = await people.gateway.renew(people.gateway.renewal(first.grant))
        people.gateway.clock.advance(minutes=2)
        await people.gateway.renew(people.gateway.renewal(first.grant))
        people.gateway.clock.advance(minutes=2)
        await people.gateway.renew(people.gateway.renewal(first.grant))
        people.gateway.clock.advance(minutes=2)
        last = await people.gateway.renew(people.gateway.renewal(first.grant))
        people.gateway.clock.advance(minutes=2)

        refused = await refusal(people.gateway, first.grant)

    assert again.credentials.expire_time == NOON + timedelta(minutes=5)
    assert last.credentials.expire_time == NOON + timedelta(minutes=10)
    assert refused.reason in {Reason.APPROVAL_LAPSED, Reason.GRANT_NOT_LIVE}


async def test_what_is_not_what_people_said_yes_to_is_not_renewed(tmp_path: Path) -> None:
    async with approving(tmp_path) as people:
        request = people.gateway.request()
        await people.says(LEA, (await people.asked(request)).approval)
        first = await people.collected(request)

        refused = await refusal(people.gateway, first.grant, requested_duration=timedelta(minutes=3))

    assert refused.reason is Reason.APPROVAL_CHANGED


async def test_a_rule_that_asks_people_since_is_not_passed_by_renewing(gateway: World) -> None:
    first = await issued(gateway)
    allow(gateway, replace(READ_REPORTS, approval=ApprovalRule(("leads",))))

    refused = await refusal(gateway, first.grant)

    assert refused.reason is Reason.APPROVAL_CHANGED


# When it fails


@pytest.mark.parametrize("may_exist", [True, False])
async def test_what_was_there_before_outlives_a_renewal_that_fails(gateway: World, may_exist: bool) -> None:
    request = gateway.request()
    first = await issued(gateway, request)
    gateway.clock.advance(minutes=10)
    gateway.sts.failure = Outage(Reason.STS_UNAVAILABLE, "no answer", credentials_may_exist=may_exist)

    refused = await refusal(gateway, first.grant)
    gateway.sts.failure = None
    grant = await kept(gateway, first.grant)
    repeated = await issued(gateway, request)

    assert refused.reason is Reason.STS_UNAVAILABLE
    assert [body["may_exist"] for body in await bodies(gateway, "renewal_failed")] == [may_exist]
    assert (grant.state, grant.session_policy) == (GrantState.ISSUED, first.grant.session_policy)
    # AWS may hold credentials that work for so long: a revoke has to cover them.
    assert grant.expire_time == (NOON + timedelta(minutes=25) if may_exist else first.grant.expire_time)
    assert repeated.credentials.expire_time == first.credentials.expire_time


async def test_after_a_failure_it_can_be_tried_again(gateway: World) -> None:
    first = await issued(gateway)
    gateway.sts.failure = Outage(Reason.STS_UNAVAILABLE, "no answer", credentials_may_exist=True)
    await refusal(gateway, first.grant)
    gateway.sts.failure = None

    renewed = await gateway.renew(gateway.renewal(first.grant))

    assert len(renewed.grant.issuances) == 2


async def test_a_caller_who_hangs_up_leaves_no_renewal_without_an_outcome(gateway: World) -> None:
    first = await issued(gateway)
    gateway.sts.gate = asyncio.Event()
    gateway.sts.called.clear()
    running = asyncio.create_task(gateway.renew(gateway.renewal(first.grant)))
    await gateway.sts.called.wait()

    running.cancel()
    gateway.sts.gate.set()
    await gateway.renew.to_the_end.settled()

    assert (await gateway.trail())[-1] == "credentials_renewed"


async def test_a_grant_that_is_revoked_while_sts_is_asked_gives_nothing(gateway: World) -> None:
    first = await issued(gateway)
    gateway.sts.gate = asyncio.Event()
    gateway.sts.called.clear()
    running = asyncio.create_task(refusal(gateway, first.grant))
    await gateway.sts.called.wait()

    await gateway.end(gateway.admitted(), first.grant.task_id)
    gateway.sts.gate.set()
    refused = await running

    grant = await kept(gateway, first.grant)
    assert (refused.reason, grant.state) == (Reason.GRANT_NOT_LIVE, GrantState.REVOKING)
    assert len(grant.issuances) == 1
    assert [body["may_exist"] for body in await bodies(gateway, "renewal_failed")] == [True]


async def test_a_policy_revision_that_is_revoked_while_sts_is_asked_gives_nothing(gateway: World) -> None:
    first = await issued(gateway)
    gateway.policy.active = replace(gateway.policy.active, digest="6" * 64)
    gateway.sts.gate = asyncio.Event()
    gateway.sts.called.clear()
    running = asyncio.create_task(refusal(gateway, first.grant))
    await gateway.sts.called.wait()
    revoke = RevokeGrants(DatabaseRevocations(gateway.ledger.store), gateway.issue.entropy)

    await revoke(Target(TargetKind.REVISION, "6" * 64), cause=RevokeCause.ROLLBACK, by="corp:root", why="bad")
    gateway.sts.gate.set()

    assert (await running).reason is Reason.GRANT_NOT_LIVE
    assert (await kept(gateway, first.grant)).policy_revision == first.grant.policy_revision


async def test_while_one_replica_renews_another_does_not(gateway: World) -> None:
    first = await issued(gateway)
    other = replace(gateway.renew, flights=Flights(), to_the_end=ToTheEnd())
    gateway.sts.gate = asyncio.Event()
    gateway.sts.called.clear()
    running = asyncio.create_task(gateway.renew(gateway.renewal(first.grant)))
    await gateway.sts.called.wait()

    with pytest.raises(Outage) as refused:
        await other(gateway.renewal(first.grant))
    gateway.sts.gate.set()
    await running

    assert refused.value.retry_after is not None
    assert len(gateway.sts.orders) == 2


async def test_one_process_renews_a_grant_once_at_a_time(gateway: World) -> None:
    first = await issued(gateway)

    both = await asyncio.gather(*(gateway.renew(gateway.renewal(first.grant)) for _ in range(2)))

    assert len({one.credentials.access_key_id for one in both}) == 2
    assert len((await kept(gateway, first.grant)).issuances) == 3


async def test_a_renewal_whose_process_died_is_settled_and_the_grant_lives_on(gateway: World) -> None:
    first = await issued(gateway)
    gateway.clock.advance(minutes=10)
    gateway.sts.gate = asyncio.Event()
    gateway.sts.called.clear()
    lost = asyncio.create_task(refusal(gateway, first.grant))
    await gateway.sts.called.wait()
    renewals = DatabaseRenewals(gateway.ledger.store)

    early = await renewals.sweep(gateway.clock.now())
    gateway.clock.advance(seconds=61)
    settled = await renewals.sweep(gateway.clock.now())
    gateway.sts.gate.set()

    assert (early, settled) == (0, 1)
    assert (await lost).reason is Reason.GRANT_NOT_LIVE
    assert [body["reason"] for body in await bodies(gateway, "renewal_failed")] == ["NO_OUTCOME", "GRANT_NOT_LIVE"]
    assert (await gateway.renew(gateway.renewal(first.grant))).grant.state is GrantState.ISSUED
