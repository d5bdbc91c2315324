"""Narrowing: the part of an intent inside a ceiling, by hand."""

import pytest

from remit_server.iam import Document, Witness, contains, narrow, narrow_all


def policy(*statements: dict[str, object]) -> Document:
    return Document.parse({"Version": "2012-10-17", "Statement": list(statements)}, authored=True)


def allow(action: object, resource: object, **more: object) -> dict[str, object]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def prefix(*values: str) -> dict[str, object]:
    return {"Condition": {"StringLike": {"s3:prefix": list(values)}}}


TLS: dict[str, object] = {"Condition": {"Bool": {"aws:SecureTransport": "true"}}}
CASES: dict[str, tuple[list[dict[str, object]], list[dict[str, object]], list[dict[str, object]]]] = {
    "all of a bucket becomes the prefix": (
        [allow("s3:GetObject", "arn:aws:s3:::reports/*")],
        [allow("s3:Get*", "arn:aws:s3:::reports/2026/*")],
        [allow("s3:GetObject", "arn:aws:s3:::reports/2026/*")],
    ),
    "a wildcard action becomes those allowed": (
        [allow("s3:*", "arn:aws:s3:::reports/*")],
        [allow(["s3:GetObject", "s3:ListBucket"], "*")],
        [allow(["s3:GetObject", "s3:ListBucket"], "arn:aws:s3:::reports/*")],
    ),
    "two wildcards meet in the middle": (
        [allow("s3:Get*", "arn:aws:s3:::reports/*.csv")],
        [allow("s3:*Object", "arn:aws:s3:::reports/2026/*")],
        [allow("s3:get*object", "arn:aws:s3:::reports/2026/*.csv")],
    ),
    "the ceiling's condition is added": (
        [allow("s3:GetObject", "arn:aws:s3:::reports/*")],
        [allow("s3:GetObject", "*", **TLS)],
        [allow("s3:GetObject", "arn:aws:s3:::reports/*", **TLS)],
    ),
    "values of the same condition are intersected": (
        [allow("s3:ListBucket", "arn:aws:s3:::reports", **prefix("2026/*", "hr/*"))],
        [allow("s3:ListBucket", "arn:aws:s3:::reports", **prefix("2026/q3/*", "2025/*"))],
        [allow("s3:ListBucket", "arn:aws:s3:::reports", **prefix("2026/q3/*"))],
    ),
    "values that exclude each other leave nothing": (
        [allow("s3:ListBucket", "arn:aws:s3:::reports", **prefix("hr/*"))],
        [allow("s3:ListBucket", "arn:aws:s3:::reports", **prefix("2026/*"))],
        [],
    ),
    "an ordering inside the ceiling's is kept": (
        [allow("s3:GetObject", "*", Condition={"NumericLessThan": {"s3:signatureAge": "5"}})],
        [allow("s3:GetObject", "*", Condition={"NumericLessThan": {"s3:signatureAge": "9"}})],
        [allow("s3:GetObject", "*", Condition={"NumericLessThan": {"s3:signatureAge": "5"}})],
    ),
    "an ordering that reaches past the ceiling's leaves nothing": (
        [allow("s3:GetObject", "*", Condition={"NumericLessThan": {"s3:signatureAge": "9"}})],
        [allow("s3:GetObject", "*", Condition={"NumericLessThan": {"s3:signatureAge": "5"}})],
        [],
    ),
    "different operators on one key stand side by side": (
        [allow("s3:ListBucket", "*", Condition={"StringEquals": {"s3:prefix": ["a", "b"]}})],
        [allow("s3:ListBucket", "*", **prefix("a*"))],
        [
            allow(
                "s3:ListBucket",
                "*",
                Condition={"StringEquals": {"s3:prefix": ["a", "b"]}, "StringLike": {"s3:prefix": "a*"}},
            )
        ],
    ),
    "keys are the same whatever their case": (
        [allow("s3:ListBucket", "*", Condition={"StringEquals": {"AWS:X": ["1", "2"]}})],
        [allow("s3:ListBucket", "*", Condition={"StringEquals": {"aws:x": ["2", "3"]}})],
        [allow("s3:ListBucket", "*", Condition={"StringEquals": {"AWS:X": "2"}})],
    ),
    "wildcards in values are intersected": (
        [allow("s3:ListBucket", "*", **prefix("2026/*"))],
        [allow("s3:ListBucket", "*", **prefix("*/q3"))],
        [allow("s3:ListBucket", "*", **prefix("2026/*/q3", "2026/q3"))],
    ),
    "values of ARNs in common are kept": (
        [allow("s3:GetObject", "*", Condition={"ArnLike": {"aws:SourceArn": ["arn:a*", "arn:b"]}})],
        [allow("s3:GetObject", "*", Condition={"ArnLike": {"aws:SourceArn": ["arn:a*", "arn:c"]}})],
        [allow("s3:GetObject", "*", Condition={"ArnLike": {"aws:SourceArn": "arn:a*"}})],
    ),
    "values with policy variables are only equal as a whole": (
        [allow("s3:ListBucket", "*", **prefix("${aws:username}/*", "a"))],
        [allow("s3:ListBucket", "*", **prefix("${aws:username}/*", "b"))],
        [],
    ),
    "networks are intersected": (
        [allow("s3:GetObject", "*", Condition={"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "::/0"]}})],
        [allow("s3:GetObject", "*", Condition={"IpAddress": {"aws:SourceIp": "10.1.0.0/16"}})],
        [allow("s3:GetObject", "*", Condition={"IpAddress": {"aws:SourceIp": "10.1.0.0/16"}})],
    ),
    "negative values add up": (
        [allow("s3:GetObject", "*", Condition={"StringNotEquals": {"aws:x": "1"}})],
        [allow("s3:GetObject", "*", Condition={"StringNotEquals": {"aws:x": "2"}})],
        [allow("s3:GetObject", "*", Condition={"StringNotEquals": {"aws:x": ["1", "2"]}})],
    ),
    "what a Deny touches is left out, condition or not": (
        [allow(["s3:GetObject", "s3:DeleteObject"], "arn:aws:s3:::reports/*")],
        [allow("*", "*"), {**allow("s3:Delete*", "*", **TLS), "Effect": "Deny"}],
        [allow("s3:GetObject", "arn:aws:s3:::reports/*")],
    ),
    "what a NotResource Deny spares is kept": (
        [allow("s3:GetObject", "arn:aws:s3:::*")],
        [allow("*", "*"), {"Effect": "Deny", "Action": "s3:*", "NotResource": "arn:aws:s3:::reports/*"}],
        [allow("s3:GetObject", "arn:aws:s3:::reports/*")],
    ),
    "what a NotAction Deny spares is kept": (
        [allow("s3:*", "arn:aws:s3:::reports/*")],
        [allow("*", "*"), {"Effect": "Deny", "NotAction": ["s3:Get*", "sqs:*"], "Resource": "*"}],
        [allow("s3:Get*", "arn:aws:s3:::reports/*")],
    ),
    "a NotAction Allow holds what is apart from its list": (
        [allow(["s3:GetObject", "iam:PassRole", "s3:PutObject"], "*")],
        [{"Effect": "Allow", "NotAction": ["iam:*", "s3:P*"], "Resource": "*"}],
        [allow("s3:GetObject", "*")],
    ),
    "a NotResource Allow holds what is apart from its list": (
        [allow("s3:GetObject", ["arn:aws:s3:::hr/*", "arn:aws:s3:::reports/*"])],
        [{"Effect": "Allow", "Action": "s3:*", "NotResource": "arn:aws:s3:::hr/*"}],
        [allow("s3:GetObject", "arn:aws:s3:::reports/*")],
    ),
    "an intent with NotAction is not expressible": (
        [{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}],
        [allow("*", "*")],
        [],
    ),
    "nothing in common is nothing": (
        [allow("s3:GetObject", "arn:aws:s3:::reports/*")],
        [allow("sqs:*", "*"), allow("s3:*", "arn:aws:s3:::other/*")],
        [],
    ),
    "equal parts of two ceiling statements come once": (
        [allow("s3:GetObject", "arn:aws:s3:::reports/2026/*")],
        [allow("s3:Get*", "arn:aws:s3:::reports/*"), allow("s3:GetObject", "arn:aws:s3:::reports/2026/*")],
        [allow("s3:GetObject", "arn:aws:s3:::reports/2026/*")],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_narrowing_gives(name: str) -> None:
    intent, ceiling, expected = (policy(*statements) if statements else Document(()) for statements in CASES[name])

    narrowed = narrow(intent, ceiling)

    assert narrowed == expected
    assert isinstance(contains(narrowed, ceiling), Witness)


def test_narrowing_by_several_ceilings_is_inside_each() -> None:
    intent = policy(allow("s3:*", "arn:aws:s3:::reports/*"))
    ceilings = [
        policy(allow(["s3:GetObject", "s3:PutObject"], "*")),
        policy(allow("s3:*", "arn:aws:s3:::reports/2026/*")),
        policy({"Effect": "Allow", "NotAction": "s3:PutObject", "Resource": "*"}),
    ]

    assert narrow_all(intent, ceilings) == policy(allow("s3:GetObject", "arn:aws:s3:::reports/2026/*"))


def test_patterns_too_complex_to_intersect_are_left_out() -> None:
    intent = policy(allow("s3:GetObject", "arn:aws:s3:::" + "a*b?" * 12), allow("sqs:SendMessage", "*"))
    ceiling = policy(allow("*", "arn:aws:s3:::" + "*a?b" * 12), allow("sqs:*", "*"))

    narrowed = narrow(intent, ceiling)

    assert narrowed == policy(allow("sqs:SendMessage", "*"))
