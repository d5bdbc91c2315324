"""What one condition implies about another, and that nothing else about conditions is believed."""

import pytest

from remit_server.iam import Condition, Counterexample, Document, Witness, contains
from remit_server.iam.containment.implication import implies


def policy(*statements: dict[str, object]) -> Document:
    return Document.parse({"Version": "2012-10-17", "Statement": list(statements)}, authored=True)


def allow(condition: object = None) -> dict[str, object]:
    plain: dict[str, object] = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::b"}
    return plain if condition is None else {**plain, "Condition": condition}


def deny(condition: object, action: str = "s3:ListBucket") -> dict[str, object]:
    return {"Effect": "Deny", "Action": action, "Resource": "*", "Condition": condition}


def like(*values: str) -> dict[str, object]:
    return {"StringLike": {"s3:prefix": list(values)}}


@pytest.mark.parametrize(
    ("operator", "narrow", "wide", "expected"),
    [
        ("StringEquals", ("a",), ("a", "b"), True),
        ("StringEquals", ("a", "b"), ("a",), False),
        ("StringEquals", ("a",), ("A",), False),
        ("StringLike", ("a/b/*", "c"), ("a/*", "?"), True),
        ("StringLike", ("a/*",), ("a/b/*",), False),
        ("StringLikeIfExists", ("a/b",), ("a/*",), True),
        ("ForAllValues:StringEquals", ("a",), ("a", "b"), True),
        ("ForAnyValue:StringLike", ("ab*",), ("a*",), True),
        ("StringNotEquals", ("a", "b"), ("a",), True),
        ("StringNotEquals", ("a",), ("a", "b"), False),
        ("StringNotLike", ("a*",), ("ab*",), True),
        ("StringNotLike", ("ab*",), ("a*",), False),
        ("IpAddress", ("10.1.0.0/16",), ("10.0.0.0/8",), True),
        ("IpAddress", ("10.0.0.0/8",), ("10.1.0.0/16",), False),
        ("IpAddress", ("::/0",), ("0.0.0.0/0",), False),
        ("IpAddress", ("ten",), ("0.0.0.0/0",), False),
        ("NotIpAddress", ("10.0.0.0/8",), ("10.1.0.0/16",), True),
        ("NumericLessThan", ("5",), ("9",), True),
        ("NumericLessThan", ("9",), ("5",), False),
        ("ArnLike", ("arn:aws:s3:::a*",), ("arn:aws:s3:::a*", "arn:aws:s3:::b"), True),
        ("ArnLike", ("arn:aws:s3:::ab",), ("arn:aws:s3:::a*",), True),
        ("StringEqualsIgnoreCase", ("a",), ("a", "b"), True),
        ("StringNotEqualsIgnoreCase", ("a", "b"), ("b",), True),
        ("ArnNotEquals", ("a",), ("a", "b"), False),
        ("NumericNotEquals", ("1", "2"), ("1",), True),
        ("BinaryEquals", ("QUI=",), ("QUI=", "QUM="), True),
        ("Null", ("true",), ("false", "true"), False),
        ("StringLike", ("${aws:username}/x",), ("${aws:username}/*",), False),
        ("StringLike", ("${aws:username}/*",), ("${aws:username}/*",), True),
    ],
)
def test_a_condition_implies_another(
    operator: str, narrow: tuple[str, ...], wide: tuple[str, ...], expected: bool
) -> None:
    assert implies(Condition(operator, "aws:K", narrow), Condition(operator, "aws:k", wide)) is expected


CONTAINED = {
    "values within a wildcard": ([allow(like("a/b/*"))], [allow(like("a/*"))]),
    "two values, two statements": ([allow(like("a", "b"))], [allow(like("a")), allow(like("b"))]),
    "two statements, two values": ([allow(like("a")), allow(like("b"))], [allow(like("a", "b"))]),
    "a Deny under the opposite": (
        [allow(), deny({"StringNotLike": {"s3:prefix": "a/*"}})],
        [allow(like("a/*"))],
    ),
    "a text within a wildcard": ([allow({"StringEquals": {"s3:prefix": "a/b"}})], [allow(like("a/*"))]),
    "the same Deny": (
        [allow(), deny({"BinaryEquals": {"aws:x": "1"}})],
        [allow(), deny({"BinaryEquals": {"aws:x": "1"}})],
    ),
}
ESCAPING = {
    "the condition dropped": ([allow()], [allow(like("a/*"))]),
    "the list grown": ([allow(like("a/*", "b/*"))], [allow(like("a/*"))]),
    "IfExists added": ([allow({"StringLikeIfExists": {"s3:prefix": "a/*"}})], [allow(like("a/*"))]),
    "ForAllValues added": ([allow({"ForAllValues:StringLike": {"s3:prefix": "a/*"}})], [allow(like("a/*"))]),
    "another operator": ([allow(like("a/*"))], [allow({"StringEquals": {"s3:prefix": "a/*"}})]),
    "another key": ([allow({"StringLike": {"s3:delimiter": "a/*"}})], [allow(like("a/*"))]),
    "every value of two lists": (
        [allow({"ForAllValues:StringLike": {"aws:x": ["a", "b"]}})],
        [
            allow({"ForAllValues:StringLike": {"aws:x": "a"}}),
            allow({"ForAllValues:StringLike": {"aws:x": "b"}}),
        ],
    ),
    "a Deny of another action": (
        [allow(), deny({"StringNotLike": {"s3:prefix": "a/*"}}, "s3:GetObject")],
        [allow(like("a/*"))],
    ),
    "a Deny of direct calls only": (
        [allow(), deny({"StringNotLike": {"s3:prefix": "a/*"}, "BoolIfExists": {"aws:ViaAWSService": "false"}})],
        [allow(like("a/*"))],
    ),
    "a Deny under one more condition": (
        [allow(), deny({"StringNotLike": {"s3:prefix": "a/*", "s3:versionid": "1"}})],
        [allow(like("a/*"))],
    ),
    "a Deny on one of two resources": (
        [
            {**allow(), "Resource": ["arn:aws:s3:::b", "arn:aws:s3:::c"]},
            {**deny({"StringNotLike": {"s3:prefix": "a/*"}}), "Resource": "arn:aws:s3:::b"},
        ],
        [{**allow(like("a/*")), "Resource": "*"}],
    ),
    "a Deny on a key that may have several values": (
        [allow(), deny({"StringNotLike": {"aws:TagKeys": "a/*"}})],
        [allow({"StringLike": {"aws:TagKeys": "a/*"}})],
    ),
    "a Deny under wider values": (
        [allow(), deny({"StringNotLike": {"s3:prefix": ["a/*", "b/*"]}})],
        [allow(like("a/*"))],
    ),
    "the ceiling's conditional Deny lost": ([allow()], [allow(), deny(like("a/*"))]),
}


@pytest.mark.parametrize("name", CONTAINED)
def test_it_is_proven_that_this_is_contained(name: str) -> None:
    issued, ceiling = (policy(*statements) for statements in CONTAINED[name])

    found = contains(issued, ceiling)

    assert isinstance(found, Witness)
    assert (found.document_sha256, found.ceiling_sha256) == (issued.sha256, ceiling.sha256)
    assert {cover.statement for cover in found.covers} <= set(range(len(issued.statements)))
    assert all(0 <= at < len(ceiling.statements) for cover in found.covers for at in cover.covered_by)


@pytest.mark.parametrize("name", ESCAPING)
def test_this_escapes_its_ceiling(name: str) -> None:
    issued, ceiling = (policy(*statements) for statements in ESCAPING[name])

    assert isinstance(contains(issued, ceiling), Counterexample)
