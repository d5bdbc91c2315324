"""What the Denies of a document leave of its Allows, and that an Allow is never read as less than they leave."""

import pytest

from remit_server.iam import Condition, Document, Statement, Steps
from remit_server.iam.containment.implication import excludes
from remit_server.iam.containment.lifting import exact_opposite, has_one_value, left_by, lifting
from remit_server.iam.language.automaton import BudgetError

B = "arn:aws:s3:::b"
VIA = {"BoolIfExists": {"aws:ViaAWSService": "false"}}
Said = dict[str, object]


def policy(*statements: Said) -> Document:
    return Document.parse({"Version": "2012-10-17", "Statement": list(statements)}, authored=True)


def allow(action: object = "s3:GetObject", resource: object = "*", condition: object = None) -> Said:
    return {
        "Effect": "Allow",
        "Action": action,
        "Resource": resource,
        **({"Condition": condition} if condition else {}),
    }


def deny(**said: object) -> Said:
    return {"Effect": "Deny", **({} if {"Action", "NotAction"} & set(said) else {"Action": "*"}), **said}


def but(*resources: str, **more: object) -> Said:
    return deny(NotResource=list(resources), **more)


def left(*statements: Said) -> tuple[Statement, ...]:
    allowed, *_ = policy(*statements).statements
    return tuple(left_by(lifting(policy(*statements).statements), allowed, Steps(1_000)))


def said(*statements: Said) -> tuple[Statement, ...]:
    return policy(*statements).statements


def prefix(operator: str, *values: str) -> Said:
    return {operator: {"s3:prefix": list(values)}}


def keys(operator: str, *values: str) -> Said:
    return {operator: {"dynamodb:LeadingKeys": list(values)}}


READS, WRITES = "s3:GetObject", "s3:PutObject"
LEFT: dict[str, tuple[list[Said], list[Said]]] = {
    "all but listed resources": ([allow(), but(f"{B}/1", f"{B}/2")], [allow(READS, [f"{B}/1", f"{B}/2"])]),
    "the listed within what is allowed": (
        [allow(READS, f"{B}/*"), but(f"{B}/1", "arn:aws:s3:::c")],
        [allow(READS, f"{B}/1")],
    ),
    "the allowed within what is listed": ([allow(READS, f"{B}/1"), but(f"{B}/*")], [allow(READS, f"{B}/1")]),
    "what is only partly listed stays whole": ([allow(READS, f"{B}/a*"), but(f"{B}/*b")], [allow(READS, f"{B}/a*")]),
    "partly listed beside wholly listed": (
        [allow(READS, f"{B}/a*"), but(f"{B}/*b", f"{B}/a1")],
        [allow(READS, f"{B}/a*")],
    ),
    "each pattern by itself": (
        [allow(READS, [f"{B}/a*", "arn:aws:s3:::c/*", "arn:aws:s3:::d/*"]), but(f"{B}/*b", "arn:aws:s3:::c/1")],
        [allow(READS, [f"{B}/a*", "arn:aws:s3:::c/1"])],
    ),
    "nothing that is listed": ([allow(READS, f"{B}/1"), but(f"{B}/2")], []),
    "a Deny of some of the actions": (
        [allow([READS, WRITES]), but(f"{B}/1", Action=READS)],
        [allow(READS, f"{B}/1"), allow(WRITES)],
    ),
    "a Deny of a part of an action pattern": ([allow("s3:*"), but(f"{B}/1", Action=READS)], [allow("s3:*")]),
    "a Deny of all but an action": (
        [allow([READS, WRITES]), but(f"{B}/1", NotAction=READS)],
        [allow(READS), allow(WRITES, f"{B}/1")],
    ),
    "a Deny of two resources": (
        [allow(READS, [f"{B}/1", f"{B}/2"]), deny(Resource=f"{B}/1")],
        [allow(READS, f"{B}/2")],
    ),
    "a Deny of a part of a resource": ([allow(READS, f"{B}/*"), deny(Resource=f"{B}/1")], [allow(READS, f"{B}/*")]),
    "all but listed actions": ([allow("*"), deny(NotAction=[READS, WRITES], Resource="*")], [allow([READS, WRITES])]),
    "a part of the listed actions": (
        [allow(["s3:Get*", "sqs:*"]), deny(NotAction=[READS, WRITES], Resource="*")],
        [allow(READS)],
    ),
    "all but listed actions on some resources": (
        [allow("*", [f"{B}/1", f"{B}/2"]), deny(NotAction=READS, Resource=f"{B}/1")],
        [allow("*", [f"{B}/1", f"{B}/2"])],
    ),
    "all but listed actions on all but some resources": (
        [allow("*", f"{B}/1"), deny(NotAction=READS, NotResource=f"{B}/1")],
        [allow("*", f"{B}/1")],
    ),
    "all but listed actions on no resource": (
        [allow("*"), deny(NotAction=READS, NotResource="*")],
        [allow("*")],
    ),
    "two Denies": ([allow(), but(f"{B}/*"), but(f"{B}/1", "arn:aws:s3:::c")], [allow(READS, f"{B}/1")]),
    "the opposite of a condition": (
        [allow(), deny(Resource="*", Condition=prefix("StringNotLike", "a/*", "b"))],
        [allow(READS, "*", prefix("StringLike", "a/*", "b"))],
    ),
    "the opposite on one resource": (
        [allow(READS, [f"{B}/1", f"{B}/2"]), deny(Resource=f"{B}/1", Condition=prefix("StringNotLike", "a"))],
        [allow(READS, f"{B}/1", prefix("StringLike", "a")), allow(READS, f"{B}/2")],
    ),
    "the opposite for one action": (
        [allow([READS, WRITES]), deny(Action=READS, Resource="*", Condition=prefix("StringNotLike", "a"))],
        [allow(READS, "*", prefix("StringLike", "a")), allow(WRITES)],
    ),
    "the opposite on what is left": (
        [allow(), deny(Resource=f"{B}/1", Condition=prefix("StringNotLike", "a")), but(f"{B}/1", f"{B}/2")],
        [allow(READS, f"{B}/1", prefix("StringLike", "a")), allow(READS, f"{B}/2")],
    ),
    "a condition of its own and one of a Deny": (
        [
            allow(READS, "*", prefix("StringLike", "a*", "c")),
            deny(Resource="*", Condition=prefix("StringNotLike", "ab*", "d")),
        ],
        [allow(READS, "*", prefix("StringLike", "ab*"))],
    ),
    "conditions that no one list of values can say together": (
        [allow(READS, "*", prefix("StringLike", "a")), deny(Resource="*", Condition=prefix("StringNotLike", "b"))],
        [allow(READS, "*", prefix("StringLike", "a"))],
    ),
    "no value but those": (
        [allow(), deny(Resource="*", Condition=keys("ForAnyValue:StringNotEquals", "1"))],
        [allow(READS, "*", keys("ForAllValues:StringEquals", "1"))],
    ),
    "two conditions": (
        [
            allow(),
            deny(Resource="*", Condition=keys("ForAnyValue:StringNotEquals", "1")),
            deny(Resource="*", Condition=prefix("StringNotLike", "a")),
        ],
        [allow(READS, "*", {**keys("ForAllValues:StringEquals", "1"), **prefix("StringLike", "a")})],
    ),
    "some value of those, which is no opposite of one condition with another": (
        [allow(), deny(Resource="*", Condition=keys("ForAllValues:StringNotEquals", "1"))],
        [allow()],
    ),
    "a key that may have several values": (
        [allow(), deny(Resource="*", Condition={"StringNotEquals": {"aws:x": "1"}})],
        [allow()],
    ),
    "two conditions of one Deny": (
        [allow(), deny(Resource="*", Condition={**prefix("StringNotLike", "a"), **VIA})],
        [allow()],
    ),
    "a guard of direct calls": ([allow(), but(f"{B}/1", Condition=VIA)], [allow()]),
    "a guard of direct calls of actions": (
        [allow("*"), deny(NotAction=READS, Resource="*", Condition=VIA)],
        [allow("*")],
    ),
    "an orderly opposite without its key": (
        [allow(), deny(Resource="*", Condition=prefix("StringEqualsIfExists", "a"))],
        [allow()],
    ),
    "an opposite that is not known": (
        [allow(), deny(Resource="*", Condition=prefix("StringNotLike", "${aws:x}"))],
        [allow()],
    ),
    "a variable is itself only": ([allow(READS, f"{B}/1"), but(f"{B}/${{aws:x}}")], [allow(READS, f"{B}/1")]),
    "a variable within a wildcard": (
        [allow(READS, f"{B}/*"), but(f"{B}/${{aws:x}}")],
        [allow(READS, f"{B}/${{aws:x}}")],
    ),
    "a region left open": (
        [allow(READS, "arn:aws:sqs:*:1:q"), but("arn:aws:sqs:r:1:*")],
        [allow(READS, "arn:aws:sqs:*:1:q")],
    ),
}


@pytest.mark.parametrize(("statements", "expected"), LEFT.values(), ids=list(LEFT))
def test_denies_leave_this_of_an_allow(statements: list[Said], expected: list[Said]) -> None:
    assert left(*statements) == (said(*expected) if expected else ())


def test_another_allow_and_a_deny_of_conditions_unknown_take_nothing_away() -> None:
    document = policy(allow(), allow(WRITES, f"{B}/1"), but(f"{B}/1", Condition=VIA))

    assert lifting(document.statements) == []
    assert left_by([], document.statements[0], Steps(0)) == [document.statements[0]]


@pytest.mark.parametrize(
    ("statements", "steps"),
    [
        ([allow([READS, WRITES]), but(f"{B}/1", f"{B}/2")], 2 * (1 + 2)),
        ([allow(), deny(NotAction=[READS, WRITES], Resource="*")], 2 + 1),
        ([allow(READS, [f"{B}/1", f"{B}/2"]), deny(Resource=f"{B}/1", Condition=prefix("StringNotLike", "a"))], 1 + 2),
        ([allow(READS, [f"{B}/1", f"{B}/2"]), deny(Resource=[f"{B}/1", f"{B}/3"])], 1 + 4),
        (
            [
                allow(READS, [f"{B}/1", f"{B}/{'2' * 16}"]),
                deny(Resource=[f"{B}/1", f"{B}/3", f"{B}/4"], Condition=prefix("StringNotLike", "a")),
            ],
            1 + 3 + 2 * 3,
        ),
    ],
)
def test_every_comparison_is_counted_and_one_too_few_is_refused(statements: list[Said], steps: int) -> None:
    document = policy(*statements)
    enough, too_few = Steps(steps), Steps(steps - 1)

    left_by(lifting(document.statements), document.statements[0], enough)

    assert enough.left == 0
    with pytest.raises(BudgetError):
        left_by(lifting(document.statements), document.statements[0], too_few)


@pytest.mark.parametrize(
    ("condition", "opposite"),
    [
        (Condition("StringNotLike", "s3:Prefix", ("a",)), Condition("StringLike", "s3:Prefix", ("a",))),
        (
            Condition("StringNotEquals", "aws:ResourceTag/t", ("a",)),
            Condition("StringEquals", "aws:ResourceTag/t", ("a",)),
        ),
        (Condition("ForAnyValue:StringNotEquals", "k", ("a",)), Condition("ForAllValues:StringEquals", "k", ("a",))),
        (Condition("ForAnyValue:StringEquals", "k", ("a",)), Condition("ForAllValues:StringNotEquals", "k", ("a",))),
        (Condition("ForAllValues:StringEquals", "k", ("a",)), None),
        (Condition("StringNotEquals", "k", ("a",)), None),
        (Condition("StringNotEquals", "aws:ResourceTag", ("a",)), None),
        (Condition("StringNotEquals", "aws:RequestTag/t", ("a",)), None),
        (Condition("StringEqualsIfExists", "s3:prefix", ("a",)), None),
        (Condition("NumericLessThan", "s3:prefix", ("1", "2")), None),
    ],
    ids=str,
)
def test_the_exact_opposite_of_a_condition_is_this(condition: Condition, opposite: Condition | None) -> None:
    assert exact_opposite(condition) == opposite


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("s3:prefix", True),
        ("s3:prefix/x", False),
        ("aws:resourcetag/x", True),
        ("aws:resourcetag", False),
        ("dynamodb:leadingkeys", False),
    ],
)
def test_few_keys_are_known_to_have_one_value(key: str, expected: bool) -> None:
    assert has_one_value(key) is expected


@pytest.mark.parametrize(
    ("held", "other", "expected"),
    [
        (("StringLike", "s3:prefix", "a/b*"), ("StringNotLike", "s3:prefix", "a/*"), True),
        (("StringLike", "s3:prefix", "a*"), ("StringNotLike", "s3:prefix", "a/*"), False),
        (("StringLike", "s3:prefix", "a/*"), ("StringLike", "s3:prefix", "b/*"), True),
        (("StringLike", "s3:prefix", "a/*"), ("StringLike", "s3:prefix", "a/b"), False),
        (("ForAllValues:StringEquals", "k", "1"), ("ForAnyValue:StringNotEquals", "k", "1"), True),
        (("ForAnyValue:StringEquals", "k", "1"), ("ForAllValues:StringNotEquals", "k", "1"), True),
        (("ForAllValues:StringEquals", "k", "1"), ("ForAllValues:StringNotEquals", "k", "1"), False),
        (("StringEquals", "k", "1"), ("StringNotEquals", "k", "1"), False),
        (("StringEquals", "aws:ResourceTag/t", "1"), ("StringNotEquals", "aws:ResourceTag/t", "1"), True),
        (("StringEquals", "aws:ResourceTag/t", "1"), ("StringNotEquals", "aws:ResourceTag/u", "1"), False),
        (("StringLike", "s3:prefix", "a"), ("StringNotLike", "s3:prefix", "${aws:x}"), False),
    ],
)
def test_conditions_exclude_another_one_only_where_that_is_known(
    held: tuple[str, str, str], other: tuple[str, str, str], expected: bool
) -> None:
    one, two = (Condition(operator, key, (value,)) for operator, key, value in (held, other))

    assert excludes([one], [two]) is expected


def test_one_condition_that_is_excluded_is_enough_and_none_excludes_nothing() -> None:
    held = Condition("StringLike", "s3:prefix", ("a/*",))
    never, sometimes = Condition("StringNotLike", "s3:prefix", ("a/*",)), Condition("Bool", "aws:x", ("true",))

    assert excludes([held], [sometimes, never])
    assert not excludes([held], [sometimes])
    assert not excludes([held], [])
    assert not excludes([], [never])
