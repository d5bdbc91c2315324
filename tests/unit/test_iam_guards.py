"""Guards: what each kind of Allow is answered with, and the bounds in time and place."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from remit_server.iam import (
    Condition,
    Document,
    Effect,
    Statement,
    TooManyOverlapsError,
    Witness,
    bound_to,
    contains,
    guarded,
    time_bound,
)
from remit_server.iam.issuing.cells import DIRECT_CALL
from remit_server.iam.issuing.guards import is_bound
from remit_server.iam.language.negation import negated

VIA = {"BoolIfExists": {"aws:ViaAWSService": "false"}}


def policy(*statements: dict[str, object]) -> Document:
    return Document.parse({"Version": "2012-10-17", "Statement": list(statements)})


def allow(actions: object, resources: object, **more: object) -> dict[str, object]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources, **more}


def guards_of(*allows: dict[str, object]) -> list[dict[str, object]]:
    return [json.loads(guard.text) for guard in guarded(policy(*allows).statements)[0]]


def test_one_allow_is_guarded_by_its_actions_and_its_resources() -> None:
    guards = guards_of(allow("s3:GetObject", "arn:aws:s3:::reports/*"))

    assert guards == [
        {"Effect": "Deny", "NotAction": "s3:GetObject", "Resource": "*", "Condition": VIA},
        {"Effect": "Deny", "Action": "*", "NotResource": "arn:aws:s3:::reports/*", "Condition": VIA},
    ]


def test_an_allow_on_everything_needs_no_resource_guard() -> None:
    guards = guards_of(allow("sqs:ListQueues", "*"))

    assert guards == [{"Effect": "Deny", "NotAction": "sqs:ListQueues", "Resource": "*", "Condition": VIA}]


def test_two_allows_on_separate_resources_need_only_two_guards() -> None:
    guards = guards_of(allow("s3:GetObject", "arn:aws:s3:::b/*"), allow("s3:ListBucket", "arn:aws:s3:::b"))

    assert guards == [
        {"Effect": "Deny", "NotAction": "s3:ListBucket", "NotResource": "arn:aws:s3:::b/*", "Condition": VIA},
        {"Effect": "Deny", "NotAction": "s3:GetObject", "NotResource": "arn:aws:s3:::b", "Condition": VIA},
    ]


def test_overlapping_actions_are_guarded_apart_where_they_differ() -> None:
    guards = guards_of(allow("s3:Get*", "arn:aws:s3:::b/a/*"), allow("s3:GetObject", "arn:aws:s3:::b/*"))

    assert {
        "Effect": "Deny",
        "NotAction": "s3:GetObject",
        "NotResource": "arn:aws:s3:::b/a/*",
        "Condition": VIA,
    } in guards
    assert {"Effect": "Deny", "Action": "*", "NotResource": "arn:aws:s3:::b/*", "Condition": VIA} in guards


@pytest.mark.parametrize(
    "allows",
    [
        [allow("s3:GetObject", ["arn:aws:s3:::b/a/*", "arn:aws:s3:::b/c/*"])],
        [allow("s3:GetObject", "arn:aws:s3:::b/*"), allow("s3:ListBucket", "arn:aws:s3:::b")],
        [allow("s3:Get*", "arn:aws:s3:::b/a/*"), allow("s3:GetObject", "arn:aws:s3:::c/*")],
        [allow("s3:*Object", "arn:aws:s3:::b/*"), allow("s3:Get*", "arn:aws:s3:::c/*"), allow("s3:List*", "*")],
        [allow("s3:Get*", "arn:aws:s3:::b/*"), allow("sqs:*", "arn:aws:sqs:r:1:q"), allow("kms:Decrypt", "*")],
    ],
)
def test_guards_leave_exactly_the_allows(allows: list[dict[str, object]]) -> None:
    """Read as a policy of their own ("everything but"), the guards and the Allows contain each other."""
    document = policy(*allows)
    guards = [
        Statement(one.effect, one.actions, one.resources, (), one.not_action, one.not_resource)
        for one in guarded(document.statements)[0]
    ]
    everything_but = Document((*policy(allow("*", "*")).statements, *guards))

    assert isinstance(contains(everything_but, document), Witness)
    assert isinstance(contains(document, everything_but), Witness)


def test_a_condition_is_guarded_by_its_opposite_for_direct_calls() -> None:
    guards = guards_of(
        allow("s3:ListBucket", "arn:aws:s3:::b", Condition={"StringLike": {"s3:prefix": ["a/*", "c/*"]}}),
    )

    assert guards[-1] == {
        "Effect": "Deny",
        "Action": "s3:ListBucket",
        "Resource": "*",
        "Condition": {**VIA, "StringNotLike": {"s3:prefix": ["a/*", "c/*"]}},
    }


def test_a_condition_guard_spares_other_resources_of_the_same_action() -> None:
    guards = guards_of(
        allow("s3:GetObject", "arn:aws:s3:::b/*", Condition={"Bool": {"aws:SecureTransport": "true"}}),
        allow("s3:GetObject", "arn:aws:s3:::c/*"),
    )

    assert guards[-1]["Resource"] == "arn:aws:s3:::b/*"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (
            allow("s3:GetObject", "arn:aws:s3:::b/*", Condition={"StringEquals": {"aws:x": "1"}}),
            allow("s3:Get*", "arn:aws:s3:::b/a/*"),
        ),
        (
            allow("s3:GetObject", "*", Condition={"DateLessThan": {"aws:x": ["2030-01-01", "2031-01-01"]}}),
            allow("sqs:SendMessage", "*"),
        ),
        (
            allow("s3:GetObject", "*", Condition={"Bool": {"aws:ViaAWSService": "true"}}),
            allow("sqs:SendMessage", "*"),
        ),
    ],
    ids=["shared with an unconditioned Allow", "no opposite", "about the call itself"],
)
def test_a_condition_that_cannot_be_guarded_is_listed(first: dict[str, object], second: dict[str, object]) -> None:
    statements = policy(first, second).statements

    guards, unguarded = guarded(statements)

    assert unguarded == statements[0].conditions
    assert not any(len(guard.conditions) > 1 for guard in guards)


def test_a_key_used_through_a_service_is_guarded_against_direct_use_only() -> None:
    guards = guards_of(
        allow(
            "kms:Decrypt",
            "arn:aws:kms:eu-central-1:1:key/k",
            Condition={"StringEquals": {"kms:ViaService": "s3.eu-central-1.amazonaws.com"}},
        )
    )

    assert guards[-1]["Condition"] == {**VIA, "StringNotEquals": {"kms:ViaService": "s3.eu-central-1.amazonaws.com"}}


def test_nothing_allowed_cannot_be_guarded() -> None:
    with pytest.raises(ValueError, match="no Allow"):
        guarded(())


def test_too_many_overlaps_are_refused_and_not_guarded_less() -> None:
    allows = [allow(f"s3:*{letter}*", f"arn:aws:s3:::{letter}/*") for letter in "abcdefgh"]

    with pytest.raises(TooManyOverlapsError):
        guarded(policy(*allows).statements)


@pytest.mark.parametrize(
    ("condition", "opposite"),
    [
        (("StringEquals", "1"), (("StringNotEquals", "1"),)),
        (("StringNotEqualsIfExists", "1"), (("StringEquals", "1"),)),
        (("StringLikeIfExists", "1"), (("StringNotLike", "1"), ("Null", "false"))),
        (("NumericLessThan", "5"), (("NumericGreaterThanEqualsIfExists", "5"),)),
        (("DateGreaterThanIfExists", "2030-01-01"), (("DateLessThanEquals", "2030-01-01"),)),
        (("IpAddress", "10.0.0.0/8"), (("NotIpAddress", "10.0.0.0/8"),)),
        (("ArnLike", "arn:aws:s3:::b"), (("ArnNotLike", "arn:aws:s3:::b"),)),
        (("Bool", "true"), (("BoolIfExists", "false"),)),
        (("BoolIfExists", "false"), (("Bool", "true"),)),
        (("Null", "true"), (("Null", "false"),)),
        (("ForAnyValue:StringEquals", "1"), (("ForAllValues:StringNotEquals", "1"),)),
        (("ForAllValues:StringLike", "1"), (("ForAnyValue:StringNotLike", "1"),)),
        (("BinaryEquals", "MQ=="), None),
        (("ForAllValues:Bool", "true"), None),
        (("Bool", "maybe"), None),
        (("Null", "maybe"), None),
        (("StringEquals", "${aws:username}"), None),
    ],
)
def test_a_condition_has_this_opposite(
    condition: tuple[str, str], opposite: tuple[tuple[str, str], ...] | None
) -> None:
    operator, value = condition

    found = negated(Condition(operator, "aws:k", (value,)))

    expected = None if opposite is None else [(name, "aws:k", (text,)) for name, text in opposite]
    assert (None if found is None else [(one.operator, one.key, one.values) for one in found]) == expected


def test_the_end_is_written_in_utc_and_cut_to_the_second() -> None:
    end = datetime(2026, 3, 1, 13, 30, 59, 999_999, tzinfo=timezone(timedelta(hours=1)))

    assert json.loads(time_bound(end).text) == {
        "Effect": "Deny",
        "Action": "*",
        "Resource": "*",
        "Condition": {"DateGreaterThanEquals": {"aws:CurrentTime": "2026-03-01T12:30:59Z"}},
    }


def test_an_end_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        time_bound(datetime(2026, 3, 1, tzinfo=UTC).replace(tzinfo=None))


def test_a_network_bound_denies_direct_calls_from_elsewhere() -> None:
    bound = bound_to(source_cidrs=["203.0.113.0/24", "10.1.0.0/16", "10.1.0.0/16"])

    assert json.loads(bound.text)["Condition"] == {
        **VIA,
        "NotIpAddressIfExists": {"aws:SourceIp": ["10.1.0.0/16", "203.0.113.0/24"]},
    }
    assert is_bound(bound)


def test_a_vpc_bound_denies_direct_calls_from_elsewhere() -> None:
    bound = bound_to(vpc_ids=["vpc-0a1b2c3d"])

    assert bound.conditions == (DIRECT_CALL, Condition("StringNotEqualsIfExists", "aws:SourceVpc", ("vpc-0a1b2c3d",)))
    assert bound.effect is Effect.DENY


@pytest.mark.parametrize(
    ("cidrs", "vpcs"),
    [
        ((), ()),
        (("10.0.0.0/8",), ("vpc-1",)),
        (("10.0.0.1/8",), ()),
        (("10.0.0.*",), ()),
        ((), ("vpc-*",)),
        ((), ("vpc-",)),
        ((), ("subnet-1",)),
    ],
)
def test_an_unreadable_bound_is_refused(cidrs: tuple[str, ...], vpcs: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"Bind|VPC id|network|host bits"):
        bound_to(source_cidrs=cidrs, vpc_ids=vpcs)
