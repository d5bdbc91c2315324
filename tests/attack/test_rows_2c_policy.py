"""Attack rows 2c of the threat model, second half: what a session policy may be, and what it must carry.

Rows P7 to P10; P1 to P6 stand in `test_rows_2c_intent.py`.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.concrete_world import escape
from tests.fake_sts import FakeRole, FakeSts, resetting_after_the_work, throttling
from tests.fakes import REPORTS_ROLE, ROLES, entitlement, permission
from tests.issuing_world import IssuingWorld, issuing_world
from tests.sts_orders import POLICY, REPORTS_ARN, TAGS, a_policy_of, an_order, calling

from remit_server.adapters.aws.sts_protocol import assume_role_body
from remit_server.domain.decision import Allow
from remit_server.domain.errors import Denied, Outage, Reason, Remedy
from remit_server.iam import (
    Condition,
    Document,
    MalformedCondition,
    MalformedPattern,
    ResourcePattern,
)

Q3 = permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/*")


def doc(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[IssuingWorld]:
    async with issuing_world(tmp_path) as made:
        yield made


# --- P7: too large is a no, never a second, wider try ---


async def test_p7_2048_characters_reach_sts_and_2049_do_not() -> None:
    async with calling() as call:
        await call(an_order(session_policy=a_policy_of(2048)))
        with pytest.raises(ValueError, match=r"2,048"):
            await call(an_order(session_policy=a_policy_of(2049)))

    assert [len(request.policy) for request in call.sts.requests] == [2048]


async def test_p7_fifty_tags_reach_sts_and_fifty_one_do_not() -> None:
    tags = (*TAGS, *((f"key-{number}", "value") for number in range(49)))

    async with calling() as call:
        await call(an_order(tags=tags[:50]))
        with pytest.raises(ValueError, match="50 session tags"):
            await call(an_order(tags=tags))

    assert [len(request.tags) for request in call.sts.requests] == [50]


async def test_p7_tags_that_overflow_the_packed_size_are_refused_after_one_call() -> None:
    tags = (*TAGS, *((f"key-{number}", "v" * 256) for number in range(9)))

    async with calling() as call:
        with pytest.raises(Denied) as raised:
            await call(an_order(tags=tags))

    assert raised.value.reason is Reason.INTENT_TOO_LARGE
    assert [request.outcome for request in call.sts.requests] == ["PackedPolicyTooLarge"]


@pytest.mark.parametrize("percent", [101, 250])
async def test_p7_a_packed_policy_over_the_limit_is_refused_for_good_after_one_call(
    tmp_path: Path, percent: int
) -> None:
    async with issuing_world(tmp_path, sts={"packed_percent": lambda _: percent}) as gateway:
        request = gateway.world.request(Q3)

        errors = [await gateway.refusal_of(request) for _ in range(2)]

        assert {(error.reason, error.remedy) for error in errors} == {(Reason.INTENT_TOO_LARGE, Remedy.SPLIT)}
        assert [sent.outcome for sent in gateway.sent] == ["PackedPolicyTooLarge"]
        assert (await gateway.states())[-1] == "FAILED"


async def test_p7_a_packed_policy_at_the_limit_is_issued_and_its_size_told() -> None:
    async with calling(fake=FakeSts((FakeRole(REPORTS_ARN),), packed_percent=lambda _: 100)) as call:
        session = await call()

    assert session.packed_policy_percent == 100


async def test_p7_an_intent_that_does_not_fit_reaches_sts_neither_whole_nor_in_part(gateway: IssuingWorld) -> None:
    many = [permission("s3:GetObject", f"arn:aws:s3:::reports/2026/{n * 2654435761 % 2**32:x}/*") for n in range(50)]

    error = await gateway.refused(*many)

    assert (error.reason, error.remedy) == (Reason.INTENT_TOO_LARGE, Remedy.SPLIT)
    assert gateway.sent == []


# --- P8: no short ARN ---


@pytest.mark.parametrize(
    "resource",
    [
        "arn:aws:s3",
        "arn:aws:s3:::",
        "arn:aws:s3:*",
        "arn:aws",
        "arn:*",
        "arn",
        "arn:aws:*:::reports",
        "arn:*:s3:::reports",
        "*:aws:s3:::reports",
        "arn:aws:s?:::reports",
        "arn:aws:dynamodb:eu-*:111122223333:table/orders",
        "arn:aws:dynamodb:eu-central-1:1111*:table/orders",
        "ARN:aws:s3:::reports",
        "reports/2026/*",
        "**",
        "",
    ],
)
def test_p8_a_resource_has_six_segments_whose_first_five_are_literal_empty_or_a_star(resource: str) -> None:
    with pytest.raises(MalformedPattern):
        ResourcePattern.parse(resource)


# --- P9: no session policy means the whole role ---


@pytest.mark.parametrize(
    "policy", ["", " ", "\n", "{}", "null", '{"Version":"2012-10-17","Statement":[]}', '{"Statement":null}', "[]", '""']
)
async def test_p9_no_call_without_a_session_policy_even_for_an_order_that_was_tampered_with(policy: str) -> None:
    order = an_order()
    object.__setattr__(order, "session_policy", policy)

    async with calling() as call:
        with pytest.raises(ValueError, match="session policy"):
            await call(order)

    assert call.sts.requests == []


def test_p9_an_order_without_a_session_policy_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="session policy"):
        an_order(session_policy=" ")


def test_p9_the_policy_is_in_every_body_that_can_be_signed() -> None:
    body = assume_role_body(an_order()).decode()

    assert body.count("&Policy=%7B") == 1


async def test_p9_every_request_of_every_failing_call_carries_the_policy_that_was_ordered() -> None:
    async with calling() as call:
        call.sts.plan(throttling, resetting_after_the_work, throttling, throttling)
        with pytest.raises(Outage):
            await call()

    assert [request.policy for request in call.sts.requests] == [POLICY] * 4


# --- P10: the ceiling's Deny and Condition are kept ---

CONDITION = {"StringEquals": {"aws:RequestedRegion": ["eu-central-1", "eu-west-1"]}}
LESS = {
    "dropped": (),
    "grown": (Condition("StringEquals", "aws:RequestedRegion", ("eu-central-1", "eu-west-1", "us-east-1")),),
    "if it exists": (Condition("StringEqualsIfExists", "aws:RequestedRegion", ("eu-central-1", "eu-west-1")),),
    "of all values": (Condition("ForAllValues:StringEquals", "aws:RequestedRegion", ("eu-central-1", "eu-west-1")),),
    "with a wildcard": (Condition("StringLike", "aws:RequestedRegion", ("eu-*",)),),
    "under another operator": (Condition("StringNotLike", "aws:RequestedRegion", ("eu-central-1", "eu-west-1")),),
    "negated": (Condition("StringNotEquals", "aws:RequestedRegion", ("us-east-1",)),),
    "of another key": (Condition("StringEquals", "aws:ResourceAccount", ("eu-central-1", "eu-west-1")),),
}


@pytest.mark.parametrize("name", LESS)
async def test_p10_a_condition_of_the_role_that_is_weakened_is_refused(tmp_path: Path, name: str) -> None:
    ceiling = Document.parse(doc({"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Condition": CONDITION}))
    async with issuing_world(tmp_path, roles=(replace(ROLES[0], ceiling=ceiling),)) as gateway:
        error = await gateway.refused(permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/*", *LESS[name]))

        assert error.reason is Reason.CEILING_EXCEEDED
        assert gateway.sent == []


async def test_p10_a_condition_of_the_role_that_is_kept_or_narrowed_is_issued_with_it(tmp_path: Path) -> None:
    ceiling = Document.parse(doc({"Effect": "Allow", "Action": "s3:*", "Resource": "*", "Condition": CONDITION}))
    async with issuing_world(tmp_path, roles=(replace(ROLES[0], ceiling=ceiling),)) as gateway:
        for regions in (("eu-central-1", "eu-west-1"), ("eu-west-1",)):
            condition = Condition("StringEquals", "aws:RequestedRegion", regions)
            await gateway.issued(permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/*", condition))

        assert [escape(policy, json.loads(ceiling.text)) for policy in gateway.policies] == [None, None]


async def test_p10_a_condition_of_the_entitlement_is_added_to_an_intent_that_left_it_out(tmp_path: Path) -> None:
    from_the_office = Condition("StringEquals", "aws:PrincipalTag/site", ("office",))
    bounded = entitlement("office", permission("s3:GetObject", "arn:aws:s3:::reports/*", from_the_office))
    async with issuing_world(tmp_path, bounded) as gateway:
        await gateway.issued(Q3)

        (policy,) = gateway.policies
        assert escape(policy, json.loads(bounded.document().text)) is None


@pytest.mark.parametrize(
    "condition",
    [{"Bool": {"aws:SecureTransport": "false"}}, {"StringNotEquals": {"aws:RequestedRegion": "eu-central-1"}}],
)
async def test_p10_a_conditional_deny_of_the_role_is_not_forgotten(tmp_path: Path, condition: dict[str, Any]) -> None:
    ceiling = Document.parse(
        doc(
            {"Effect": "Allow", "Action": "s3:*", "Resource": "*"},
            {"Effect": "Deny", "Action": "s3:Get*", "Resource": "*", "Condition": condition},
        )
    )
    async with issuing_world(tmp_path, roles=(replace(ROLES[0], ceiling=ceiling),)) as gateway:
        error = await gateway.refused(Q3)

        assert error.reason is Reason.CEILING_EXCEEDED
        assert gateway.sent == []


@pytest.mark.parametrize(
    "operator",
    [
        "stringequals ",
        "ForSomeValues:StringEquals",
        "",
        "Null ",
        "StringAlike",
        "NotBool",
        "ForAllValues:Null",
        "NullIfExists",
        "StringEqualsIfExist",
        "DateLessThanEqual",
        "stringequals",
        "NotNumericLessThan",
        "StringEquals\n",
    ],
)
def test_p10_an_operator_that_aws_does_not_have_is_refused_where_it_is_read(operator: str) -> None:
    with pytest.raises(MalformedCondition):
        Condition(operator, "aws:RequestedRegion", ("eu-central-1",))


async def test_p10_a_policy_that_changes_its_mind_is_held_to_the_role_each_time(gateway: IssuingWorld) -> None:
    wide = entitlement("wide", permission("s3:*", "*"), role_arn=REPORTS_ROLE)
    gateway.world.policy.answer = Allow((wide,))

    error = await gateway.refused(permission("s3:GetObject", "arn:aws:s3:::payroll/*"))
    await gateway.issued(permission("s3:GetObject", "arn:aws:s3:::reports/*"))

    assert error.reason is Reason.CEILING_EXCEEDED
    assert escape(gateway.policies[0], json.loads(ROLES[0].ceiling.text)) is None
