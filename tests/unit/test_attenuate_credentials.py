"""Narrower credentials out of a live grant: found, proven within it, recorded, asked of STS, recorded, given."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.approval_world import BREAK_GLASS, LEA, approving, request_id
from tests.fakes import NOON, READ_REPORTS, REPORTS_ROLE, World, entitlement, given, permission, role, world

from remit_server.adapters.database.revoking.revocations import DatabaseRevocations
from remit_server.adapters.database.writing.attenuated import MOST_WITHIN
from remit_server.application.planning.ceilings import Ceilings
from remit_server.domain.decision import Allow, Deny, PolicyReason
from remit_server.domain.entitlement import Bind
from remit_server.domain.errors import Denied, InvalidRequest, Outage, Reason, Remedy, RemitError
from remit_server.domain.grant import Grant, GrantState
from remit_server.domain.permission import Permission
from remit_server.domain.revocation import RevokeCause, RevokeOrder, Target, TargetKind
from remit_server.domain.task import Capability
from remit_server.iam import Condition, Document, Witness, contains, lies_within

ONE_REPORT = "arn:aws:s3:::reports/2026/q3/summary.md"


def listing(operator: str, prefix: str) -> Permission:
    return permission("s3:ListBucket", "arn:aws:s3:::reports", Condition(operator, "s3:prefix", (prefix,)))


IN_THE_OFFICE = entitlement(
    "office",
    permission("s3:GetObject", "arn:aws:s3:::reports/2026/*"),
    listing("StringLike", "2026/*"),
    bind=Bind(source_cidrs=("10.0.0.0/8",)),
)


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


async def a_grant(gateway: World, *permissions: Permission, **more: Any) -> Grant:
    return given(await gateway.issue(gateway.request(*permissions, **more))).grant


async def refusal_of(gateway: World, grant: Grant, *permissions: Permission, **more: Any) -> RemitError:
    with pytest.raises(RemitError) as raised:
        await gateway.attenuate(gateway.attenuation(grant, *permissions, **more))
    return raised.value


async def bodies(gateway: World, kind: str) -> list[dict[str, Any]]:
    return [json.loads(event.body_text) for event in await gateway.events() if event.kind == kind]


def is_within(inner: Grant, outer: Grant) -> bool:
    document, around = (Document.parse(one.session_policy, authored=True) for one in (inner, outer))
    return isinstance(lies_within(document, [around]), tuple)


async def revoke(gateway: World, target: Target, *, block: bool = False) -> None:
    order = RevokeOrder("r" * 26, target, RevokeCause.REQUESTED, by="acme:sam", why="a drill", block=block)
    await DatabaseRevocations(gateway.ledger.store).revoke(order)


async def test_a_part_of_a_grant_is_a_grant_of_its_own_within_it_with_records_before_and_after(
    gateway: World,
) -> None:
    grant = await a_grant(gateway)

    issued = await gateway.attenuate(gateway.attenuation(grant))

    assert is_within(issued.grant, grant)
    assert not is_within(grant, issued.grant)
    assert issued.grant.parent_name == grant.name
    assert (issued.grant.state, issued.grant.entitlements) == (GrantState.ISSUED, grant.entitlements)
    assert issued.credentials.secret_access_key.reveal() == "secret-ASIA0000000000000002"
    assert (await gateway.trail())[3:] == ["attenuation_authorized", "credentials_issued"]
    (record,) = await bodies(gateway, "attenuation_authorized")
    assert record["parent_grant_id"] == grant.grant_id
    assert record["session_policy"] == gateway.sts.orders[1].session_policy
    assert record["covers"] == [f"s3:GetObject on {ONE_REPORT}: statement 0 of {grant.name}"]


async def test_sts_is_not_asked_before_the_attenuation_is_on_disk(gateway: World) -> None:
    grant = await a_grant(gateway)
    gateway.sts.called.clear()
    gateway.sts.gate = asyncio.Event()
    call = asyncio.create_task(gateway.attenuate(gateway.attenuation(grant)))
    await gateway.sts.called.wait()

    trail = await gateway.trail()
    gateway.sts.gate.set()
    await call

    assert trail[3:] == ["attenuation_authorized"]


async def test_the_session_is_the_users_and_the_agents_and_tagged_with_its_own_grant(gateway: World) -> None:
    grant = await a_grant(gateway)

    issued = await gateway.attenuate(gateway.attenuation(grant))

    whole, part = gateway.sts.orders
    assert (part.session_name, part.source_identity) == (whole.session_name, whole.source_identity)
    assert dict(part.tags)["remit:by"] == dict(whole.tags)["remit:by"]
    named = dict(whole.tags)["remit:grant"].replace(grant.grant_id, issued.grant.grant_id)
    assert dict(part.tags)["remit:grant"] == named != dict(whole.tags)["remit:grant"]
    assert part.role == whole.role


async def test_no_policy_is_asked_and_no_user_is_needed(gateway: World) -> None:
    grant = await a_grant(gateway)
    gateway.policy.answer = Deny((PolicyReason("no", "nothing goes any more", Remedy.GIVE_UP),))
    gateway.identity.subjects.clear()

    issued = await gateway.attenuate(gateway.attenuation(grant))

    assert issued.grant.state is GrantState.ISSUED
    assert len(gateway.policy.questions) == 1


@pytest.mark.parametrize(
    ("requested", "after", "life"),
    [(None, 0, 60), (15, 0, 15), (300, 0, 300), (7200, 0, 900), (None, 870, 30)],
    ids=["a minute", "fifteen seconds", "as asked", "no longer than the grant", "what is left of it"],
)
async def test_it_ends_when_asked_and_never_after_what_the_grants_credentials_have_left(
    requested: int | None, after: int, life: int, gateway: World
) -> None:
    grant = await a_grant(gateway)
    gateway.clock.advance(seconds=after)
    wanted = None if requested is None else timedelta(seconds=requested)

    issued = await gateway.attenuate(gateway.attenuation(grant, requested_duration=wanted))

    end = NOON + timedelta(seconds=after + life)
    assert issued.credentials.expire_time == issued.grant.expire_time == end
    assert f'"aws:CurrentTime":"{end:%Y-%m-%dT%H:%M:%SZ}"' in issued.grant.session_policy


async def test_less_than_fifteen_seconds_are_refused_asked_for_or_left(gateway: World) -> None:
    grant = await a_grant(gateway)

    short = await refusal_of(gateway, grant, requested_duration=timedelta(seconds=14))
    gateway.clock.advance(seconds=890)
    late = await refusal_of(gateway, grant)

    assert isinstance(short, InvalidRequest)
    assert (late.reason, "renew it" in late.message) == (Reason.GRANT_NOT_LIVE, True)
    assert len(gateway.sts.orders) == 1


async def test_more_than_the_grant_holds_is_refused_by_the_grant_with_the_part_it_does_hold(gateway: World) -> None:
    grant = await a_grant(gateway)

    error = await refusal_of(gateway, grant, permission("s3:GetObject", "arn:aws:s3:::reports/2026/*"))

    assert isinstance(error, Denied)
    assert (error.reason, error.remedy) == (Reason.CEILING_EXCEEDED, Remedy.NARROW)
    (failure,) = error.refusal.failures
    assert (failure.action, failure.rule) == ("s3:GetObject", "parent_grant")
    assert error.refusal.offer == (permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/*"),)
    assert len(gateway.sts.orders) == 1
    (record,) = await bodies(gateway, "request_refused")
    assert (record["method"], record["who"]["subject_id"]) == ("AttenuateCredentials", "alice")


async def test_what_the_entitlement_but_not_the_grant_allows_is_not_to_be_had(gateway: World) -> None:
    grant = await a_grant(gateway)

    error = await refusal_of(gateway, grant, permission("s3:ListBucket", "arn:aws:s3:::reports"))

    assert (error.reason, error.remedy) == (Reason.CEILING_EXCEEDED, Remedy.GIVE_UP)


@pytest.mark.parametrize("action", ["iam:PassRole", "s3:*", "s3:PutBucketPolicy"])
async def test_the_floor_holds_within_a_grant_too(action: str, gateway: World) -> None:
    grant = await a_grant(gateway)

    error = await refusal_of(gateway, grant, permission(action, "*"))

    assert error.reason in {Reason.CEILING_EXCEEDED, Reason.NEVER_ISSUABLE}
    assert len(gateway.sts.orders) == 1


async def test_narrow_gives_exactly_the_part_that_the_grant_holds(gateway: World) -> None:
    grant = await a_grant(gateway)
    wide = permission("s3:GetObject", "arn:aws:s3:::reports/*")

    issued = await gateway.attenuate(gateway.attenuation(grant, wide, narrow=True))

    assert '"Resource":"arn:aws:s3:::reports/2026/q3/*"' in issued.grant.session_policy
    assert is_within(issued.grant, grant)


@pytest.mark.parametrize(
    ("asked", "holds"),
    [
        (permission("s3:ListBucket", "arn:aws:s3:::reports"), '"StringLike":{"s3:prefix":"2026/*"}'),
        (listing("StringLike", "2026/q3/*"), '"StringLike":{"s3:prefix":"2026/q3/*"}'),
        (listing("StringEquals", "2026/"), '"StringEquals":{"s3:prefix":"2026/"}'),
        (listing("StringLike", "20*"), '"StringLike":{"s3:prefix":"2026/*"}'),
        (permission("s3:GetObject", ONE_REPORT), ONE_REPORT),
    ],
    ids=["inherited", "tighter", "another operator", "looser", "another action"],
)
async def test_conditions_guards_and_places_of_a_grant_hold_for_its_parts(
    asked: Permission, holds: str, tmp_path: Path
) -> None:
    async with world(tmp_path, IN_THE_OFFICE) as gateway:
        grant = await a_grant(gateway, *IN_THE_OFFICE.permissions)

        issued = await gateway.attenuate(gateway.attenuation(grant, asked))

    assert is_within(issued.grant, grant)
    assert '"NotIpAddressIfExists":{"aws:SourceIp":"10.0.0.0/8"}' in issued.grant.session_policy
    assert holds in issued.grant.session_policy


DEPARTMENTS = tuple(f"2026/q3/department-{number:02d}/" for number in range(12))
MANY = (
    permission("s3:GetObject", [f"arn:aws:s3:::reports/{folder}*" for folder in DEPARTMENTS]),
    permission(
        "s3:ListBucket",
        "arn:aws:s3:::reports",
        Condition("StringLike", "s3:prefix", tuple(f"{folder}*" for folder in DEPARTMENTS)),
    ),
)


@pytest.mark.parametrize(
    ("asked", "holds"),
    [
        (permission("s3:ListBucket", "arn:aws:s3:::reports"), "2026/q3/department-11/*"),
        (listing("StringLike", "2026/q3/department-03/*"), '"StringLike":{"s3:prefix":"2026/q3/department-03/*"}'),
        (permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/department-03/*"), "reports/2026/q3/department-03/*"),
    ],
    ids=["inherited", "tighter", "a resource"],
)
async def test_a_densely_written_grant_has_parts_as_any_other(asked: Permission, holds: str, tmp_path: Path) -> None:
    async with world(tmp_path, entitlement("many", *MANY)) as gateway:
        grant = await a_grant(gateway, *MANY)

        issued = await gateway.attenuate(gateway.attenuation(grant, asked))

    assert '"Resource":"arn:aws:s3:::reports/2026/q3/department-*"' in grant.session_policy
    assert is_within(issued.grant, grant)
    assert holds in issued.grant.session_policy


async def test_what_a_densely_written_grant_only_seems_to_allow_is_not_to_be_had(tmp_path: Path) -> None:
    async with world(tmp_path, entitlement("many", *MANY)) as gateway:
        grant = await a_grant(gateway, *MANY)

        error = await refusal_of(
            gateway, grant, permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/department-99/*")
        )

    assert error.reason is Reason.CEILING_EXCEEDED


async def test_a_condition_that_the_grants_own_excludes_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path, IN_THE_OFFICE) as gateway:
        grant = await a_grant(gateway, *IN_THE_OFFICE.permissions)

        error = await refusal_of(gateway, grant, listing("StringLike", "2025/*"))

    assert error.reason is Reason.CEILING_EXCEEDED


async def test_a_grant_of_another_agent_or_task_is_not_found(gateway: World) -> None:
    grant = await a_grant(gateway)
    gateway.user("alice", gateway.agent("fixer"))

    of_another = await refusal_of(gateway, grant, agent="fixer")
    elsewhere = await refusal_of(gateway, grant, task_id="a" * 26)
    nowhere = await refusal_of(gateway, grant, grant_id="a" * 26)

    assert {error.reason for error in (of_another, elsewhere, nowhere)} == {Reason.NOT_FOUND}
    assert {error.message for error in (of_another, elsewhere, nowhere)} == {of_another.message}


async def test_a_grant_that_is_over_has_no_parts(gateway: World) -> None:
    grant, other = await a_grant(gateway), await a_grant(gateway)
    await gateway.end(gateway.admitted(), other.task_id)

    ended = await refusal_of(gateway, other)
    gateway.clock.advance(seconds=901)
    expired = await refusal_of(gateway, grant)

    assert (ended.reason, expired.reason) == (Reason.GRANT_NOT_LIVE,) * 2


async def test_what_waits_for_people_has_no_parts(tmp_path: Path) -> None:
    async with approving(tmp_path) as people:
        pending = await people.asked()

        error = await refusal_of(people.gateway, pending.grant)

        assert error.reason is Reason.GRANT_NOT_LIVE


async def test_an_attenuated_grant_is_neither_attenuated_nor_renewed(gateway: World) -> None:
    grant = await a_grant(gateway)
    part = (await gateway.attenuate(gateway.attenuation(grant))).grant

    again = await refusal_of(gateway, part)
    with pytest.raises(Denied) as renewed:
        await gateway.renew(gateway.renewal(part))

    assert (again.reason, renewed.value.reason) == (Reason.DELEGATION_TOO_DEEP, Reason.GRANT_NOT_LIVE)
    assert grant.name in again.message
    assert grant.name in renewed.value.message


async def test_a_repeat_gives_new_credentials_of_the_same_grant_until_the_same_end(gateway: World) -> None:
    grant = await a_grant(gateway)
    request = gateway.attenuation(grant)
    first = await gateway.attenuate(request)
    gateway.clock.advance(seconds=20)

    second = await gateway.attenuate(request)

    assert second.grant.grant_id == first.grant.grant_id
    assert second.credentials.access_key_id != first.credentials.access_key_id
    assert second.credentials.expire_time == first.credentials.expire_time
    assert gateway.sts.orders[1].session_policy == gateway.sts.orders[2].session_policy
    assert (await gateway.trail()).count("attenuation_authorized") == 1
    assert [one["repeated"] for one in await bodies(gateway, "credentials_issued")] == [False, False, True]


async def test_two_equal_requests_at_once_come_to_one_grant(gateway: World) -> None:
    grant = await a_grant(gateway)
    request = gateway.attenuation(grant)

    issued = await asyncio.gather(gateway.attenuate(request), gateway.attenuate(request))

    assert len({one.grant.grant_id for one in issued}) == 1


async def test_a_request_id_is_good_for_one_request_whatever_its_kind(gateway: World) -> None:
    asked = gateway.request()
    grant = given(await gateway.issue(asked)).grant
    part = gateway.attenuation(grant)
    await gateway.attenuate(part)

    taken = await refusal_of(gateway, grant, request_id=asked.request_id)
    other = await refusal_of(gateway, grant, request_id=part.request_id, narrow=True)
    with pytest.raises(InvalidRequest):
        await gateway.issue(gateway.request(request_id=part.request_id))

    assert isinstance(taken, InvalidRequest)
    assert isinstance(other, InvalidRequest)


async def test_a_refusal_repeats_itself(gateway: World) -> None:
    grant = await a_grant(gateway)
    request = gateway.attenuation(grant, permission("s3:PutObject", ONE_REPORT))

    for _ in range(2):
        with pytest.raises(Denied) as raised:
            await gateway.attenuate(request)
        assert raised.value.reason is Reason.CEILING_EXCEEDED

    assert (await gateway.trail())[3:] == ["request_refused"] * 2


async def test_after_an_outage_at_sts_the_same_request_is_tried_again_under_the_same_grant(gateway: World) -> None:
    grant = await a_grant(gateway)
    request = gateway.attenuation(grant)
    gateway.sts.failure = Outage(Reason.STS_UNAVAILABLE, "STS is not there")
    with pytest.raises(Outage):
        await gateway.attenuate(request)
    before = await gateway.ledger.remembered(gateway.copilot.actor_id, request.request_id)
    gateway.sts.failure = None

    issued = await gateway.attenuate(request)

    assert before is not None
    assert before.grant is not None
    assert (before.grant.state, before.grant.grant_id) == (GrantState.FAILED, issued.grant.grant_id)


@pytest.mark.parametrize("what", ["grant", "task", "subject", "actor", "revision"])
async def test_what_is_revoked_while_sts_is_asked_for_a_part_of_it_withholds_the_part(
    what: str, gateway: World
) -> None:
    grant = await a_grant(gateway)
    targets = {
        "grant": Target(TargetKind.GRANT, grant.grant_id),
        "task": Target(TargetKind.TASK, grant.task_id),
        "subject": Target(TargetKind.SUBJECT, "alice", grant.subject_issuer),
        "actor": Target(TargetKind.ACTOR, grant.actor_id),
        "revision": Target(TargetKind.REVISION, grant.policy_revision),
    }
    gateway.sts.called.clear()
    gateway.sts.gate = asyncio.Event()
    request = gateway.attenuation(grant)
    call = asyncio.create_task(gateway.attenuate(request))
    await gateway.sts.called.wait()

    await revoke(gateway, targets[what])
    gateway.sts.gate.set()
    with pytest.raises(Denied) as raised:
        await call

    assert raised.value.reason is Reason.GRANT_NOT_LIVE
    found = await gateway.ledger.remembered(gateway.copilot.actor_id, request.request_id)
    assert found is not None
    assert found.grant is not None
    assert (found.grant.state, found.grant.issuances) == (GrantState.REVOKING, ())


async def test_revoking_a_grant_revokes_the_parts_that_are_out_and_stops_more(gateway: World) -> None:
    grant = await a_grant(gateway)
    request = gateway.attenuation(grant)
    part = (await gateway.attenuate(request)).grant

    await revoke(gateway, Target(TargetKind.GRANT, grant.grant_id))

    assert (await refusal_of(gateway, grant)).reason is Reason.GRANT_NOT_LIVE
    with pytest.raises(Denied) as repeated:
        await gateway.attenuate(request)
    assert repeated.value.reason is Reason.GRANT_NOT_LIVE
    stands = await gateway.renew.renewals.grant(part.grant_id)
    assert stands is not None
    assert stands.state is GrantState.REVOKING


async def test_revoking_a_part_leaves_the_grant_and_its_other_parts_alone(gateway: World) -> None:
    grant = await a_grant(gateway)
    part = (await gateway.attenuate(gateway.attenuation(grant))).grant

    await revoke(gateway, Target(TargetKind.GRANT, part.grant_id))

    assert (await gateway.attenuate(gateway.attenuation(grant))).grant.state is GrantState.ISSUED


async def test_a_part_proven_before_a_renewal_is_proven_again_after_it(gateway: World) -> None:
    grant = await a_grant(gateway)
    request = gateway.attenuation(grant)
    await gateway.attenuate(request)
    gateway.policy.answer = Allow((entitlement("less", permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/x")),))
    await gateway.renew(gateway.renewal(grant, narrow=True))

    with pytest.raises(Denied) as raised:
        await gateway.attenuate(request)
    fresh = await refusal_of(gateway, grant)

    assert raised.value.reason is Reason.GRANT_NOT_LIVE
    assert fresh.reason is Reason.CEILING_EXCEEDED
    assert len(gateway.sts.orders) == 3


async def test_the_roles_ceiling_of_today_holds_for_the_parts_of_what_was_issued_before(gateway: World) -> None:
    grant = await a_grant(gateway)
    less = role(REPORTS_ROLE, actions=["s3:GetObject"], resources=["arn:aws:s3:::reports/drafts/*"])
    gateway.attenuate.hearing.deliberate.ceilings = Ceilings.of((less,), (), "d" * 64)

    error = await refusal_of(gateway, grant)

    assert isinstance(error, Denied)
    assert (error.reason, error.refusal.failures[0].rule) == (Reason.CEILING_EXCEEDED, "role_ceiling")


async def test_parts_count_neither_for_the_task_nor_beyond_a_hundred_at_a_time(gateway: World) -> None:
    grant = await a_grant(gateway)
    for _ in range(MOST_WITHIN):
        await gateway.attenuate(gateway.attenuation(grant))

    one_more = await refusal_of(gateway, grant)
    gateway.clock.advance(seconds=61)
    later = await gateway.attenuate(gateway.attenuation(grant))
    await a_grant(gateway, task_id=grant.task_id)

    assert (one_more.reason, one_more.remedy) == (Reason.RATE_LIMITED, Remedy.RETRY_LATER)
    assert later.grant.state is GrantState.ISSUED
    assert gateway.policy.questions[-1]["task"]["grants_so_far"] == 1


async def test_no_part_ends_by_a_clock_that_was_stepped(gateway: World) -> None:
    grant = await a_grant(gateway)
    attenuate = replace(gateway.attenuate, unsettled_for=lambda: timedelta(seconds=5))

    with pytest.raises(Outage) as raised:
        await attenuate(gateway.attenuation(grant))

    assert (raised.value.reason, raised.value.retry_after) == (Reason.INTERNAL, timedelta(seconds=5))
    assert len(gateway.sts.orders) == 1


async def test_what_people_said_yes_to_is_named_by_its_parts_and_so_is_break_glass(tmp_path: Path) -> None:
    async with approving(tmp_path) as people:
        request = people.gateway.request(request_id=request_id())
        await people.says(LEA, (await people.asked(request)).approval)
        grant = (await people.collected(request)).grant
        part = (await people.gateway.attenuate(people.gateway.attenuation(grant))).grant
        people.policy(BREAK_GLASS)
        hasty = (await people.gateway.issue(people.gateway.request())).grant
        hasty_part = (await people.gateway.attenuate(people.gateway.attenuation(hasty))).grant

        records = await bodies(people.gateway, "attenuation_authorized")

    assert (part.approval_id, part.break_glass) == (grant.approval_id, False) != (None, False)
    assert (hasty_part.approval_id, hasty_part.break_glass) == (hasty.approval_id, True)
    assert [(one["approval_id"], one["break_glass"]) for one in records] == [
        (grant.approval_id, False),
        (hasty.approval_id, True),
    ]


async def test_capabilities_are_those_of_the_active_catalogue(gateway: World) -> None:
    grant = await a_grant(gateway)
    error = await refusal_of(gateway, grant, capabilities=(Capability("s3.read_nothing"),))

    assert isinstance(error, InvalidRequest)


async def test_the_whole_grant_may_be_asked_for_and_is_given_for_less_time(gateway: World) -> None:
    grant = await a_grant(gateway, *READ_REPORTS.permissions)

    issued = await gateway.attenuate(gateway.attenuation(grant, *READ_REPORTS.permissions))

    assert is_within(issued.grant, grant)
    assert isinstance(contains(Document.parse(issued.grant.session_policy), READ_REPORTS.document()), Witness)
    assert issued.grant.expire_time < grant.expire_time
