"""What lies within the most that a run may ask for."""

import pytest

import remit
from remit.frameworks.core.limits import check_within
from remit.intents import parse_allow

READ_2026 = remit.Permission("s3:Get*", "arn:aws:s3:::reports/2026/*")
LISTED = remit.Permission(
    "s3:ListBucket", "arn:aws:s3:::reports", [remit.Condition("StringLike", "s3:prefix", "2026/*")]
)
Q3 = remit.Capability("s3.read_prefix", bucket="reports", prefix="2026/q3/")
LIMITS = (READ_2026, LISTED, Q3)


@pytest.mark.parametrize(
    "text",
    [
        "s3:GetObject=arn:aws:s3:::reports/2026/q3/summary.md",
        "s3:getobject=arn:aws:s3:::reports/2026/q3/*",
        "s3:Get*=arn:aws:s3:::reports/2026/*",
        "s3:GetObject,s3:GetObjectVersion=arn:aws:s3:::reports/2026/a?,arn:aws:s3:::reports/2026/b",
        "s3.read_prefix bucket=reports prefix=2026/q3/",
    ],
)
def test_what_every_limit_covers_may_be_asked_for(text: str) -> None:
    check_within([parse_allow(text)], LIMITS)


@pytest.mark.parametrize(
    "text",
    [
        "s3:GetObject=arn:aws:s3:::reports/2025/q3/summary.md",
        "s3:*=arn:aws:s3:::reports/2026/*",
        "s3:GetObject=arn:aws:s3:::reports/20*",
        "s3:GetObject=*",
        "s3:PutObject=arn:aws:s3:::reports/2026/q3/summary.md",
        "s3:GetObject,s3:PutObject=arn:aws:s3:::reports/2026/q3/summary.md",
        "s3:GetObject=arn:aws:s3:::reports/2026/a,arn:aws:s3:::reports/2025/a",
        "s3:GetObject=arn:aws:s3:::REPORTS/2026/a",
        "s3:ListBucket=arn:aws:s3:::reports",
        "s3.read_prefix bucket=reports prefix=2026/",
        "s3.write_prefix bucket=reports prefix=2026/q3/",
    ],
)
def test_anything_beyond_is_refused_before_the_gateway_is_asked(text: str) -> None:
    with pytest.raises(remit.Refused) as raised:
        check_within([parse_allow(text)], LIMITS)

    assert raised.value.reason == "RUN_LIMIT_EXCEEDED"
    assert {failure.rule for failure in raised.value.failures} == {"run-limit"}


def test_a_condition_of_the_limit_has_to_be_asked_for_with_it() -> None:
    narrower = remit.Permission(
        LISTED.actions, LISTED.resources, [*LISTED.conditions, remit.Condition("Bool", "a:b", "true")]
    )

    check_within([LISTED, narrower], LIMITS)


def test_what_lies_within_is_offered_beside_what_does_not() -> None:
    within = remit.Permission("s3:GetObject", "arn:aws:s3:::reports/2026/a")

    with pytest.raises(remit.Refused) as raised:
        check_within([within, remit.Permission("s3:PutObject", "arn:aws:s3:::reports/2026/a")], LIMITS)

    assert raised.value.offer == (within,)
    assert [failure.action for failure in raised.value.failures] == ["s3:PutObject"]


def test_without_limits_nothing_may_be_asked_for() -> None:
    with pytest.raises(remit.Refused) as raised:
        check_within([READ_2026], ())

    assert raised.value.remedy is remit.Remedy.GIVE_UP
