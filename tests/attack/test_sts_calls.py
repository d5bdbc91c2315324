"""What must never reach STS, and what must always: threats A5, A8, P7 and P9, judged by the fake's log."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fake_sts import (
    ACCESS_KEY_ID,
    SECRET_ACCESS_KEY,
    FakeRole,
    FakeSts,
    Request,
    resetting_after_the_work,
    throttling,
)
from tests.fake_sts_rules import check_names, tags_of
from tests.sts_orders import CLOCK, POLICY, REPORTS_ARN, a_role, an_order, calling

from remit_server.adapters.aws.sigv4 import AwsKeys, SigV4
from remit_server.adapters.aws.sts_protocol import assume_role_body
from remit_server.domain.credentials import SessionOrder
from remit_server.domain.errors import Denied, Outage, Reason, Remedy
from remit_server.domain.identity import Actor, ActorKind, Principal
from remit_server.domain.secret import Secret
from remit_server.domain.session_names import session_tags, source_identity

TASK, GRANT = "mfzwizltoqytamrtgq2tmnzyhe", "gq2tmnzyheydcmrtgq2tmnzyhe"
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)


# --- P9: no session policy means the whole role ---


@pytest.mark.parametrize(
    "policy", ["", " ", "\n", "{}", "null", '{"Version":"2012-10-17","Statement":[]}', '{"Statement":null}', "[]", '""']
)
async def test_no_call_without_a_session_policy_even_for_an_order_that_was_tampered_with(policy: str) -> None:
    order = an_order()
    object.__setattr__(order, "session_policy", policy)

    async with calling() as call:
        with pytest.raises(ValueError, match="session policy"):
            await call(order)

    assert call.sts.requests == []


def test_an_order_without_a_session_policy_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="session policy"):
        an_order(session_policy=" ")


async def test_every_request_of_every_failing_call_carries_the_policy_that_was_ordered() -> None:
    async with calling() as call:
        call.sts.plan(throttling, resetting_after_the_work, throttling, throttling)
        with pytest.raises(Outage):
            await call()

    assert [request.policy for request in call.sts.requests] == [POLICY] * 4


# --- P7: too large is a no, never a second, wider try ---


def policy_of_length(characters: int) -> str:
    """Returns a session policy of exactly that many characters."""
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::reports/"}
    empty = json.dumps({"Version": "2012-10-17", "Statement": [statement]}, separators=(",", ":"))
    return empty.replace("reports/", "reports/" + "x" * (characters - len(empty)))


async def test_2048_characters_reach_sts_and_2049_do_not() -> None:
    async with calling() as call:
        await call(an_order(session_policy=policy_of_length(2048)))
        with pytest.raises(ValueError, match=r"2,048"):
            await call(an_order(session_policy=policy_of_length(2049)))

    assert [len(request.policy) for request in call.sts.requests] == [2048]


async def test_fifty_tags_reach_sts_and_fifty_one_do_not() -> None:
    tags = tuple((f"key-{number}", "value") for number in range(51))

    async with calling() as call:
        await call(an_order(tags=tags[:50]))
        with pytest.raises(ValueError, match="50 session tags"):
            await call(an_order(tags=tags))

    assert [len(request.tags) for request in call.sts.requests] == [50]


@pytest.mark.parametrize("percent", [101, 250])
async def test_a_packed_policy_over_the_limit_is_refused_after_one_call(percent: int) -> None:
    async with calling(fake=FakeSts((FakeRole(REPORTS_ARN),), packed_percent=lambda _: percent)) as call:
        with pytest.raises(Denied) as raised:
            await call()

    assert (raised.value.reason, raised.value.remedy) == (Reason.INTENT_TOO_LARGE, Remedy.SPLIT)
    assert [request.outcome for request in call.sts.requests] == ["PackedPolicyTooLarge"]


async def test_a_packed_policy_at_the_limit_is_issued_and_its_size_told() -> None:
    async with calling(fake=FakeSts((FakeRole(REPORTS_ARN),), packed_percent=lambda _: 100)) as call:
        session = await call()

    assert session.packed_policy_percent == 100


# --- A5: which role, and as whose ---


@pytest.mark.parametrize(
    "changes",
    [
        {"arn": "arn:aws:iam::111122223333:role/admin"},
        {"arn": REPORTS_ARN.replace("111122223333", "444455556666")},
        {"arn": REPORTS_ARN.replace("arn:aws:", "arn:aws-cn:")},
        {"arn": REPORTS_ARN.upper()},
        {"arn": f"{REPORTS_ARN} "},
        {"external_id": Secret("another-tenant")},
        {"region": "us-east-1"},
        {"max_session": timedelta(hours=12)},
    ],
)
async def test_a_role_that_is_not_as_configured_is_never_asked_for(changes: dict[str, Any]) -> None:
    async with calling() as call:
        with pytest.raises(ValueError, match="configuration"):
            await call(an_order(a_role(**changes)))

    assert call.sts.requests == []


async def test_the_wrong_external_id_opens_nothing() -> None:
    role = a_role(external_id=Secret("tenant-one"))
    fake = FakeSts((FakeRole(role.arn, external_id="tenant-two"),))

    async with calling(role, fake=fake) as call:
        with pytest.raises(Outage) as raised:
            await call(an_order(role))

    assert "tenant" not in str(raised.value)
    assert call.sts.issued == []


# --- A8: who, for whom, why ---


def principal(subject: str, alias: str = "acme") -> Principal:
    return Principal("https://issuer.example", alias, subject, source_id=subject)


def named_order(subject: str, actor_id: str) -> SessionOrder:
    """Returns an order with the names that this subject and this actor get."""
    user = principal(subject)
    actor = Actor(actor_id, ActorKind.OIDC, "https://issuer.example")
    tags = session_tags(user, actor, task_id=TASK, grant_id=GRANT, revision="0" * 64)
    return an_order(session_name=TASK, source_identity=source_identity(user), tags=tags)


@settings(max_examples=15, deadline=None)
@given(subject=names, actor_id=names)
def test_sts_hears_of_every_subject_and_actor_whatever_their_names(subject: str, actor_id: str) -> None:
    async def scenario() -> list[Request]:
        async with calling() as call:
            await call(named_order(subject, actor_id))
        return call.sts.requests

    (request,) = asyncio.run(scenario())

    assert request.outcome == "issued"
    assert request.form["SourceIdentity"].startswith("acme.")
    assert request.tags["remit:grant"].split(".")[1:] == [TASK, GRANT]
    assert set(request.tags) == {"remit:grant", "remit:by"}


@given(subject=names, actor_id=names)
def test_names_and_tags_keep_to_what_aws_takes(subject: str, actor_id: str) -> None:
    order = named_order(subject, actor_id)
    form = {"RoleSessionName": order.session_name, "SourceIdentity": order.source_identity}
    for number, (key, value) in enumerate(order.tags, start=1):
        form |= {f"Tags.member.{number}.Key": key, f"Tags.member.{number}.Value": value}

    check_names(form)

    assert tags_of(form) == dict(order.tags)


@given(first=names, second=names)
def test_two_subjects_never_share_a_source_identity(first: str, second: str) -> None:
    shared = source_identity(principal(first)) == source_identity(principal(second))

    assert shared is (first == second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a|b", "a=7Cb"),
        ("a b", "a=20b"),
        ("Alice", "alice"),
        ("e\u0301", "\u00e9"),
        ("x" * 200, "x" * 201),
        ("=h", "=H"),
    ],
)
def test_near_twins_never_share_a_source_identity(first: str, second: str) -> None:
    assert source_identity(principal(first)) != source_identity(principal(second))


@pytest.mark.parametrize(
    ("old", "new", "outcome"),
    [
        (b"&Policy=", b"&Ignored=", "NoSessionPolicy"),
        (b"&SourceIdentity=", b"&Ignored=", "AccessDenied"),
        (b"DurationSeconds=900", b"DurationSeconds=899", "ValidationError"),
        (b"remit-reports", b"remit-admin", "AccessDenied"),
        (b"AssumeRole", b"GetSessionToken", "InvalidAction"),
    ],
)
async def test_the_fake_refuses_what_the_tests_above_rely_on_it_to_refuse(old: bytes, new: bytes, outcome: str) -> None:
    body = assume_role_body(an_order()).replace(old, new, 1)
    keys = AwsKeys(ACCESS_KEY_ID, Secret(SECRET_ACCESS_KEY))

    async with FakeSts((FakeRole(REPORTS_ARN),)) as sts, aiohttp.ClientSession() as client:
        host = sts.url.removeprefix("http://")
        headers = SigV4("sts").headers(host=host, body=body, region="eu-central-1", keys=keys, now=CLOCK.now())
        async with client.post(sts.url, data=body, headers=headers) as response:
            await response.read()

    assert [request.outcome for request in sts.requests] == [outcome]


async def test_the_fake_refuses_a_body_that_was_changed_after_signing() -> None:
    body = assume_role_body(an_order())
    keys = AwsKeys(ACCESS_KEY_ID, Secret(SECRET_ACCESS_KEY))

    async with FakeSts((FakeRole(REPORTS_ARN),)) as sts, aiohttp.ClientSession() as client:
        host = sts.url.removeprefix("http://")
        headers = SigV4("sts").headers(host=host, body=body, region="eu-central-1", keys=keys, now=CLOCK.now())
        async with client.post(sts.url, data=body + b"&x=y", headers=headers) as response:
            await response.read()

    assert [request.outcome for request in sts.requests] == ["SignatureDoesNotMatch"]
