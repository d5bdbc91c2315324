"""The main job: verify, decide, prove, record, ask STS, record, answer."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.fakes import (
    DATA_ROLE,
    NOON,
    READ_ORDERS,
    READ_REPORTS,
    REPORTS_ROLE,
    World,
    entitlement,
    given,
    permission,
    role,
    world,
)

from remit_server.domain.decision import Allow, Deny, PolicyReason
from remit_server.domain.entitlement import ApprovalRule, Bind
from remit_server.domain.errors import Denied, InvalidRequest, Outage, Reason, Refusal, Remedy, RemitError
from remit_server.domain.grant import GrantState
from remit_server.iam import Document, Witness, contains


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


async def refusal_of(gateway: World, request: object) -> RemitError:
    with pytest.raises(RemitError) as raised:
        await gateway.issue(request)  # type: ignore[arg-type]
    return raised.value


async def test_credentials_come_after_two_records_and_under_the_recorded_policy(gateway: World) -> None:
    issued = given(await gateway.issue(gateway.request()))

    assert issued.credentials.secret_access_key.reveal() == "secret-ASIA0000000000000001"
    assert issued.grant.state is GrantState.ISSUED
    assert await gateway.trail() == ["task_started", "grant_authorized", "credentials_issued"]
    (order,) = gateway.sts.orders
    assert order.session_policy == issued.grant.session_policy
    digest = hashlib.sha256(order.session_policy.encode()).hexdigest()
    assert [json.loads(event.body_text).get("session_policy_digest") for event in await gateway.events()][1:] == [
        digest,
        digest,
    ]


async def test_sts_is_not_asked_before_the_authorisation_is_on_disk(gateway: World) -> None:
    gateway.sts.gate = asyncio.Event()
    call = asyncio.create_task(gateway.issue(gateway.request()))
    await gateway.sts.called.wait()

    trail = await gateway.trail()
    gateway.sts.gate.set()
    await call

    assert trail == ["task_started", "grant_authorized"]


async def test_the_session_policy_lies_within_intent_and_entitlement_and_ends_in_time(gateway: World) -> None:
    issued = given(await gateway.issue(gateway.request(requested_duration=timedelta(seconds=20))))

    document = Document.parse(issued.grant.session_policy)
    assert isinstance(contains(document, READ_REPORTS.document()), Witness)
    assert '"aws:CurrentTime":"2026-11-23T12:00:20Z"' in issued.grant.session_policy
    assert issued.credentials.expire_time == NOON + timedelta(seconds=20)
    assert gateway.sts.orders[0].duration_seconds == 900


async def test_the_session_is_named_by_task_subject_actor_and_grant(gateway: World) -> None:
    issued = await gateway.issue(gateway.request())

    order = gateway.sts.orders[0]
    assert order.session_name == issued.grant.task_id
    assert order.source_identity == "corp.alice"
    tags = dict(order.tags)
    assert tags["remit:grant"].split(".")[1:] == [issued.grant.task_id, issued.grant.grant_id]
    assert len(tags["remit:by"].split(".")) == 2


async def test_policy_is_asked_with_verified_identities_and_without_any_token(gateway: World) -> None:
    await gateway.issue(gateway.request())

    (question,) = gateway.policy.questions
    assert question["subject"]["id"] == "alice"
    assert question["actor"]["id"] == "corp:copilot"
    assert "alice@copilot" not in json.dumps(question)


async def test_a_policy_denial_is_told_with_its_reason_and_remedy_and_reaches_no_sts(gateway: World) -> None:
    gateway.policy.answer = Deny((PolicyReason("production_is_off", "production is off limits", Remedy.ASK_APPROVAL),))

    error = await refusal_of(gateway, gateway.request())

    assert error.reason is Reason.POLICY_DENIED
    assert "production is off limits (production_is_off)" in error.message
    assert error.remedy is Remedy.ASK_APPROVAL
    assert gateway.sts.orders == []
    assert await gateway.trail() == ["request_refused"]


async def test_too_much_is_refused_with_the_failing_permission_and_the_largest_part(gateway: World) -> None:
    error = await refusal_of(gateway, gateway.request(permission("s3:GetObject", "arn:aws:s3:::reports/*")))

    assert isinstance(error, Denied)
    assert error.reason is Reason.CEILING_EXCEEDED
    assert error.refusal.remedy is Remedy.NARROW
    (failure,) = error.refusal.failures
    assert (failure.action, failure.rule) == ("s3:GetObject", "entitlements")
    assert failure.resource.startswith("arn:aws:s3:::reports/")
    assert error.refusal.offer == (permission("s3:GetObject", "arn:aws:s3:::reports/2026/*"),)
    assert gateway.sts.orders == []


async def test_narrow_issues_exactly_the_offered_part(gateway: World) -> None:
    wide = permission("s3:GetObject", "arn:aws:s3:::reports/*")

    issued = await gateway.issue(gateway.request(wide, narrow=True))

    document = Document.parse(issued.grant.session_policy)
    offered = Document((permission("s3:GetObject", "arn:aws:s3:::reports/2026/*").statement(),))
    assert isinstance(contains(document, offered), Witness)
    assert '"arn:aws:s3:::reports/2026/*"' in issued.grant.session_policy


async def test_a_writer_of_resource_policies_is_never_issued_in_a_service_nobody_listed(tmp_path: Path) -> None:
    generous = entitlement("everything", permission("newservice:PutThingPolicy", "*"))
    async with world(tmp_path, generous, roles=(role(REPORTS_ROLE, actions=["*"], resources=["*"]),)) as gateway:
        error = await refusal_of(gateway, gateway.request(permission("newservice:PutThingPolicy", "*")))

        assert error.reason is Reason.NEVER_ISSUABLE


async def test_an_intent_of_very_many_pairs_is_an_invalid_request(gateway: World) -> None:
    actions = [f"s3:GetObject{number}" for number in range(26)]
    resources = [f"arn:aws:s3:::reports/2026/{number}/*" for number in range(20)]

    error = await refusal_of(gateway, gateway.request(permission(actions, resources)))

    assert isinstance(error, InvalidRequest)


async def test_what_does_not_fit_a_session_policy_is_refused_with_a_split_that_does(gateway: World) -> None:
    many = [permission("s3:GetObject", f"arn:aws:s3:::reports/2026/{n * 2654435761 % 2**32:x}/*") for n in range(50)]
    error = await refusal_of(gateway, gateway.request(*many))
    assert isinstance(error, Denied)
    assert (error.reason, error.remedy) == (Reason.INTENT_TOO_LARGE, Remedy.SPLIT)

    issued = [await gateway.issue(gateway.request(*part)) for part in error.refusal.split]

    assert all(item.grant.size <= 2048 for item in issued)


@pytest.mark.parametrize("action", ["iam:*", "IAM:CreateAccessKey", "sts:AssumeRole", "kms:CreateGrant"])
async def test_what_is_on_the_floor_is_never_issued_even_if_policy_and_role_allow_it(
    tmp_path: Path, action: str
) -> None:
    generous = entitlement("everything", permission(action, "*"))
    async with world(tmp_path, generous, roles=(role(REPORTS_ROLE, actions=["*"], resources=["*"]),)) as gateway:
        error = await refusal_of(gateway, gateway.request(permission(action, "*")))

        assert error.reason is Reason.NEVER_ISSUABLE
        assert gateway.sts.orders == []


async def test_a_policy_that_allows_everything_is_still_held_to_the_roles_own_policy(tmp_path: Path) -> None:
    generous = entitlement("everything", permission("s3:GetObject", "*"))
    async with world(tmp_path, generous) as gateway:
        error = await refusal_of(gateway, gateway.request(permission("s3:GetObject", "arn:aws:s3:::payroll/*")))

        assert isinstance(error, Denied)
        assert error.refusal.failures[0].rule == "role_ceiling"


async def test_a_role_that_the_configuration_does_not_have_is_an_outage(tmp_path: Path) -> None:
    foreign = replace(READ_REPORTS, role_arn="arn:aws:iam::999999999999:role/remit-reports")
    async with world(tmp_path, foreign) as gateway:
        error = await refusal_of(gateway, gateway.request())

        assert error.reason is Reason.POLICY_UNAVAILABLE


async def test_an_intent_over_two_roles_is_refused_with_a_split_that_fits(tmp_path: Path) -> None:
    report = permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/*")
    order = READ_ORDERS.permissions[0]
    async with world(tmp_path, READ_REPORTS, READ_ORDERS) as gateway:
        error = await refusal_of(gateway, gateway.request(report, order))

        assert isinstance(error, Denied)
        assert error.reason is Reason.INTENT_SPANS_ROLES
        assert error.refusal.split == ((report,), (order,))


async def test_the_first_role_of_the_catalogue_that_covers_the_intent_is_taken(tmp_path: Path) -> None:
    both = replace(READ_REPORTS, entitlement_id="through-data", role_arn=DATA_ROLE)
    roles = (
        role(DATA_ROLE, actions=["s3:*"], resources=["arn:aws:s3:::reports/*"]),
        role(REPORTS_ROLE, actions=["s3:*"], resources=["arn:aws:s3:::reports/*"]),
    )
    async with world(tmp_path, both, READ_REPORTS, roles=roles) as gateway:
        issued = await gateway.issue(gateway.request())

        assert issued.grant.role_arn == DATA_ROLE


async def test_the_fewest_entitlements_are_used_and_one_without_approval_before_one_with(tmp_path: Path) -> None:
    approved = replace(READ_REPORTS, entitlement_id="approved", approval=ApprovalRule(("leads",)))
    async with world(tmp_path, approved, READ_ORDERS, READ_REPORTS) as gateway:
        issued = await gateway.issue(gateway.request())

        assert issued.grant.entitlements == ("reports-reader",)


async def test_lifetimes_are_the_shortest_of_all_that_bound_them(tmp_path: Path) -> None:
    short = replace(READ_REPORTS, max_credential=timedelta(minutes=5), max_task=timedelta(minutes=20))
    async with world(tmp_path, short) as gateway:
        issued = await gateway.issue(gateway.request(requested_duration=timedelta(hours=5)))

        task = await gateway.ledger.task(issued.grant.task_id)
        assert issued.grant.expire_time == NOON + timedelta(minutes=5)
        assert task is not None
        assert task.end_time == NOON + timedelta(minutes=20)


async def test_networks_that_bind_the_credentials_must_all_hold(tmp_path: Path) -> None:
    office = entitlement(
        "a", permission("s3:GetObject", "arn:aws:s3:::reports/2026/*"), bind=Bind(("10.0.0.0/8", "192.0.2.0/24"))
    )
    floor = entitlement("b", permission("s3:PutObject", "arn:aws:s3:::reports/2026/*"), bind=Bind(("10.1.0.0/16",)))
    async with world(tmp_path, office, floor) as gateway:
        issued = await gateway.issue(
            gateway.request(permission(["s3:GetObject", "s3:PutObject"], "arn:aws:s3:::reports/2026/q3/*"))
        )

        assert '"aws:SourceIp":"10.1.0.0/16"' in issued.grant.session_policy


@pytest.mark.parametrize("seconds", [1, 14])
async def test_a_lifetime_too_short_to_use_is_an_invalid_request(gateway: World, seconds: int) -> None:
    error = await refusal_of(gateway, gateway.request(requested_duration=timedelta(seconds=seconds)))

    assert isinstance(error, InvalidRequest)
    assert error.violations[0].path == "requested_duration"


async def test_a_rejected_token_is_recorded(gateway: World) -> None:
    forged = await refusal_of(gateway, gateway.request(token="forged"))

    assert forged.reason is Reason.SUBJECT_TOKEN_REJECTED
    assert await gateway.trail() == ["request_refused"]


async def test_a_token_presented_by_another_agent_is_refused(gateway: World) -> None:
    gateway.agent("mallory")

    error = await refusal_of(gateway, gateway.request(agent="mallory", token="alice@copilot"))

    assert error.reason is Reason.TOKEN_NOT_BOUND
    assert gateway.sts.orders == []


async def test_a_task_takes_more_grants_of_its_own_subject_and_actor_only(gateway: World) -> None:
    first = await gateway.issue(gateway.request())
    gateway.user("bob", gateway.copilot)

    second = await gateway.issue(gateway.request(task_id=first.grant.task_id))
    stranger = await refusal_of(gateway, gateway.request(task_id=first.grant.task_id, user="bob"))

    assert second.grant.task_id == first.grant.task_id
    assert second.grant.grant_id != first.grant.grant_id
    assert stranger.reason is Reason.NOT_FOUND


async def test_a_repeat_gives_new_credentials_of_the_same_grant(gateway: World) -> None:
    request = gateway.request()
    first = given(await gateway.issue(request))
    gateway.clock.advance(minutes=1)

    again = given(await gateway.issue(request))

    assert again.grant.grant_id == first.grant.grant_id
    assert again.grant.expire_time == first.grant.expire_time
    assert again.credentials.access_key_id != first.credentials.access_key_id
    assert gateway.sts.orders[0].session_policy == gateway.sts.orders[1].session_policy
    assert (await gateway.trail()).count("grant_authorized") == 1


async def test_a_request_id_used_for_something_else_is_an_invalid_request(gateway: World) -> None:
    request = gateway.request()
    await gateway.issue(request)

    other = gateway.request(permission("s3:GetObject", "arn:aws:s3:::reports/2026/q1/*"), request_id=request.request_id)
    error = await refusal_of(gateway, other)

    assert error.reason is Reason.INVALID_REQUEST


async def test_a_refusal_repeats_itself_and_an_outage_is_forgotten(gateway: World) -> None:
    refused, failed = gateway.request(permission("s3:GetObject", "arn:aws:s3:::reports/*")), gateway.request()
    first = await refusal_of(gateway, refused)
    gateway.policy.answer = Outage(Reason.POLICY_UNAVAILABLE, "the policy engine did not answer")
    await refusal_of(gateway, failed)
    gateway.policy.answer = Allow((entitlement("wide", permission("s3:GetObject", "arn:aws:s3:::reports/*")),))

    second = await refusal_of(gateway, refused)
    issued = await gateway.issue(failed)

    assert isinstance(first, Denied)
    assert isinstance(second, Denied)
    assert (second.message, second.refusal) == (first.message, first.refusal)
    assert issued.grant.state is GrantState.ISSUED


async def test_fifty_calls_with_one_request_id_make_one_grant(gateway: World) -> None:
    request = gateway.request()

    issued = await asyncio.gather(*(gateway.issue(request) for _ in range(50)))

    assert len({item.grant.grant_id for item in issued}) == 1
    assert (await gateway.trail()).count("grant_authorized") == 1


async def test_a_caller_that_hangs_up_does_not_stop_the_outcome_from_being_recorded(gateway: World) -> None:
    gateway.sts.gate = asyncio.Event()
    request = gateway.request()
    call = asyncio.create_task(gateway.issue(request))
    await gateway.sts.called.wait()
    call.cancel()
    await asyncio.wait([call])

    gateway.sts.gate.set()
    while "credentials_issued" not in await gateway.trail():  # noqa: ASYNC110 - nobody is left to be told
        await asyncio.sleep(0)

    assert call.cancelled()
    assert (await gateway.issue(request)).grant.state is GrantState.ISSUED


async def test_when_sts_surely_made_nothing_the_grant_failed(gateway: World) -> None:
    gateway.sts.failure = Outage(Reason.RATE_LIMITED, "STS is throttling")

    error = await refusal_of(gateway, gateway.request())

    assert error.reason is Reason.RATE_LIMITED
    assert json.loads((await gateway.events())[2].body_text)["state"] == "FAILED"


async def test_a_request_whose_sts_call_failed_may_be_sent_again_and_makes_no_second_grant(gateway: World) -> None:
    request = gateway.request()
    gateway.sts.failure = Outage(Reason.RATE_LIMITED, "STS is throttling")
    await refusal_of(gateway, request)
    gateway.sts.failure = None

    issued = await gateway.issue(request)

    grants = {json.loads(event.body_text).get("grant_id") for event in await gateway.events()} - {None}
    assert grants == {issued.grant.grant_id}


@pytest.mark.parametrize(
    "failure",
    [
        Outage(Reason.STS_UNAVAILABLE, "reset after it was sent", credentials_may_exist=True),
        ValueError("something nobody thought of"),
    ],
)
async def test_when_sts_may_have_made_credentials_the_grant_is_being_revoked(
    gateway: World, failure: Exception
) -> None:
    gateway.sts.failure = failure

    with pytest.raises(type(failure)):
        await gateway.issue(gateway.request())

    assert json.loads((await gateway.events())[2].body_text)["state"] == "REVOKING"


async def test_a_policy_that_aws_finds_too_large_is_refused_for_good(gateway: World) -> None:
    request = gateway.request()
    gateway.sts.failure = Denied(Reason.INTENT_TOO_LARGE, "too large for AWS", Refusal(remedy=Remedy.SPLIT))
    await refusal_of(gateway, request)
    gateway.sts.failure = None

    error = await refusal_of(gateway, request)

    assert (error.reason, error.remedy) == (Reason.INTENT_TOO_LARGE, Remedy.SPLIT)
    assert len(gateway.sts.orders) == 1


async def test_a_failure_nobody_thought_of_is_recorded_too(gateway: World) -> None:
    gateway.policy.answer = ZeroDivisionError()

    with pytest.raises(ZeroDivisionError):
        await gateway.issue(gateway.request())

    (event,) = await gateway.events()
    assert json.loads(event.body_text)["reason"] == "INTERNAL"


async def test_a_task_that_ends_while_sts_answers_gets_no_credentials(gateway: World) -> None:
    first = await gateway.issue(gateway.request())
    gateway.sts.gate, gateway.sts.called = asyncio.Event(), asyncio.Event()
    call = asyncio.create_task(gateway.issue(gateway.request(task_id=first.grant.task_id)))
    await gateway.sts.called.wait()

    await gateway.end(gateway.admitted(), first.grant.task_id)
    gateway.sts.gate.set()
    with pytest.raises(Denied) as raised:
        await call

    assert raised.value.reason is Reason.GRANT_NOT_LIVE


async def test_an_ended_task_gets_nothing_more_and_says_until_when_credentials_work(gateway: World) -> None:
    issued = await gateway.issue(gateway.request())

    ended = await gateway.end(gateway.admitted(), issued.grant.task_id)
    gateway.clock.advance(minutes=1)
    repeated = await gateway.end(gateway.admitted(), issued.grant.task_id)
    error = await refusal_of(gateway, gateway.request(task_id=issued.grant.task_id))

    assert ended.grants == (issued.grant.name,)
    assert ended.credentials_until == issued.grant.expire_time
    assert repeated == ended
    assert error.reason is Reason.GRANT_NOT_LIVE


async def test_only_a_tasks_own_actor_ends_it(gateway: World) -> None:
    issued = await gateway.issue(gateway.request())
    gateway.agent("other")

    with pytest.raises(Denied) as raised:
        await gateway.end(gateway.admitted("other"), issued.grant.task_id)

    assert raised.value.reason is Reason.NOT_FOUND


async def test_a_single_use_token_serves_one_task(gateway: World) -> None:
    gateway.user("carol", gateway.copilot, token_id="jti-1", single_use=True)
    first = await gateway.issue(gateway.request(user="carol"))

    same_task = await gateway.issue(gateway.request(user="carol", task_id=first.grant.task_id))
    error = await refusal_of(gateway, gateway.request(user="carol"))

    assert same_task.grant.task_id == first.grant.task_id
    assert error.reason is Reason.TOKEN_REPLAYED
