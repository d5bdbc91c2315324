"""Hand-judged containments: every row is a trick that has fooled, or could fool, a checker."""

import string
from typing import Any

import pytest

from remit_server.iam.containment.proving import contains, contains_all
from remit_server.iam.containment.verdict import Budget, Counterexample, Undecided, Witness
from remit_server.iam.language.document import Document

ONE_DAY = {"Condition": {"StringEquals": {"aws:PrincipalTag/day": "monday"}}}


def allow(action: object = "s3:GetObject", resource: object = "arn:aws:s3:::a/*", **others: object) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **others}


def deny(action: object = "s3:GetObject", resource: object = "arn:aws:s3:::a/*", **others: object) -> dict[str, Any]:
    return {**allow(action, resource, **others), "Effect": "Deny"}


def but(statement: dict[str, Any], element: str) -> dict[str, Any]:
    """Turns Action into NotAction or Resource into NotResource."""
    return {f"Not{name}" if name == element else name: value for name, value in statement.items()}


def document(*statements: dict[str, Any], authored: bool = False) -> Document:
    return Document.parse({"Version": "2012-10-17", "Statement": list(statements)}, authored=authored)


def under(operator: str, *values: str, key: str = "aws:x") -> dict[str, Any]:
    return {"Condition": {operator: {key: list(values)}}}


CONTAINED = {
    "the same statement": ([allow()], [allow()]),
    "a longer prefix": ([allow(resource="arn:aws:s3:::a/b/*")], [allow()]),
    "an action in other case": ([allow("S3:GETOBJECT")], [allow("s3:get*")]),
    "a union of two names is all names of one letter": (
        [allow(resource="arn:aws:s3:::a?")],
        [allow(resource="arn:aws:s3:::?*")],
    ),
    "two ceiling statements together hold the rectangle": (
        [allow(["s3:GetObject", "s3:PutObject"], ["arn:aws:s3:::a/*", "arn:aws:s3:::b/*"])],
        [allow("s3:*", "arn:aws:s3:::a/*"), allow("s3:*Object", "arn:aws:s3:::b/*")],
    ),
    "a union of resources is needed: with and without a b": (
        [allow(resource="arn:aws:s3:::*")],
        [
            allow(resource="arn:aws:s3:::*b*"),
            but(allow(resource="arn:aws:s3:::*b*"), "Resource"),
        ],
    ),
    "a union of actions is needed": (
        [allow("s3:*")],
        [allow("s3:*a*"), but(allow(["s3:*a*", "sqs:*"]), "Action")],
    ),
    "an action that a NotAction ceiling does not except": ([allow()], [but(allow("iam:*"), "Action")]),
    "a resource that a NotResource ceiling does not except": (
        [allow()],
        [but(allow(resource="arn:aws:s3:::secret/*"), "Resource")],
    ),
    "a ceiling deny elsewhere": ([allow()], [allow("s3:*", "*"), deny("s3:*", "arn:aws:s3:::secret/*")]),
    "a ceiling deny of another action": ([allow()], [allow("s3:*", "*"), deny("s3:Put*", "*")]),
    "a ceiling deny on all other resources": (
        [allow()],
        [allow("s3:*", "*"), but(deny("s3:*", ["arn:aws:s3:::a", "arn:aws:s3:::a/*"]), "Resource")],
    ),
    "a ceiling deny that what is issued repeats": (
        [allow(), deny("*", "*", **under("Bool", "false"))],
        [allow(), deny("*", "*", **under("Bool", "false"))],
    ),
    "a ceiling deny inside a wider deny of what is issued": (
        [allow(resource="arn:aws:s3:::*"), deny("s3:*", "arn:aws:s3:::s*")],
        [allow(resource="arn:aws:s3:::*"), deny("s3:Get*", "arn:aws:s3:::secret/*", **ONE_DAY)],
    ),
    "an allow that issued guards cut down to what the ceiling holds": (
        [allow("s3:*", "*"), but(deny("s3:GetObject", "*"), "Action"), but(deny("*", "arn:aws:s3:::a/*"), "Resource")],
        [allow()],
    ),
    "the ceiling's condition is carried along": ([allow(**ONE_DAY)], [allow(**ONE_DAY)]),
    "a condition the ceiling does not ask for": ([allow(**ONE_DAY)], [allow()]),
    "a narrower value of the same condition": (
        [allow(**under("StringLike", "a/b/*", key="s3:prefix"))],
        [allow(**under("StringLike", "a/*", key="s3:prefix"))],
    ),
    "more values excluded than the ceiling excludes": (
        [allow(**under("StringNotLike", "a*", "b"))],
        [allow(**under("StringNotLike", "a*"))],
    ),
    "one region inside all": (
        [allow("sqs:SendMessage", "arn:aws:sqs:eu-west-1:1:q")],
        [allow("sqs:*", "arn:aws:sqs:*:1:*")],
    ),
    "a document with nothing in it": ([], [allow()]),
}

ESCAPING = {
    "a shorter prefix": ([allow(resource="arn:aws:s3:::a*")], [allow()], "no statement"),
    "a question mark against a letter": (
        [allow(resource="arn:aws:s3:::?/*")],
        [allow()],
        "no statement",
    ),
    "a star against a question mark": (
        [allow(resource="arn:aws:s3:::*")],
        [allow(resource="arn:aws:s3:::?*"), allow("s3:PutObject", "*")],
        "no statement",
    ),
    "every resource against every bucket": ([allow(resource="*")], [allow(resource="arn:aws:s3:::*")], "no statement"),
    "brackets are no class": (
        [allow(resource="arn:aws:s3:::a")],
        [allow(resource="arn:aws:s3:::[ab]")],
        "no statement",
    ),
    "the corner of a rectangle": (
        [allow(["s3:GetObject", "s3:PutObject"], ["arn:aws:s3:::a/*", "arn:aws:s3:::b/*"])],
        [
            allow(["s3:GetObject", "s3:PutObject"], "arn:aws:s3:::a/*"),
            allow("s3:GetObject", "arn:aws:s3:::b/*"),
        ],
        "no statement",
    ),
    "an action that a NotAction ceiling excepts": ([allow("iam:PassRole")], [but(allow("iam:*"), "Action")], "no"),
    "a wildcard that reaches into a NotAction exception": (
        [allow("s3:*")],
        [but(allow("s3:Delete*"), "Action")],
        "no statement",
    ),
    "a wildcard that reaches into a NotResource exception": (
        [allow(resource="arn:aws:s3:::*")],
        [but(allow(resource="arn:aws:s3:::secret/*"), "Resource")],
        "no statement",
    ),
    "a ceiling deny in another case of the action": (
        [allow("s3:DeleteObject")],
        [allow("s3:*"), deny("S3:DELETE*", "*")],
        "statement 1 denies it",
    ),
    "a ceiling deny in the middle of a wildcard": (
        [allow(resource="arn:aws:s3:::*")],
        [allow("s3:*", "*"), deny("s3:*", "arn:aws:s3:::*secret*")],
        "statement 1 denies it",
    ),
    "a conditional ceiling deny may fire": (
        [allow()],
        [allow(), deny(**under("Bool", "false"))],
        "statement 1 denies it",
    ),
    "a conditional deny that only an equal condition would repeat": (
        [allow(), deny(**under("Bool", "true"))],
        [allow(), deny(**under("Bool", "false"))],
        "statement 1 denies it",
    ),
    "a ceiling deny on all but": (
        [allow()],
        [allow("s3:*", "*"), but(deny("s3:*", "arn:aws:s3:::b/*"), "Resource")],
        "statement 1 denies it",
    ),
    "a ceiling deny of all actions but": (
        [allow()],
        [allow("s3:*", "*"), but(deny("s3:Put*", "*"), "Action")],
        "statement 1 denies it",
    ),
    "a condition dropped": ([allow()], [allow(**ONE_DAY)], "condition StringEquals aws:PrincipalTag/day is missing"),
    "a list of values grown": (
        [allow(**under("StringEquals", "1", "2"))],
        [allow(**under("StringEquals", "1"))],
        "condition",
    ),
    "IfExists, which holds without the key": (
        [allow(**under("StringEqualsIfExists", "1"))],
        [allow(**under("StringEquals", "1"))],
        "condition",
    ),
    "ForAllValues, which holds without the key": (
        [allow(**under("ForAllValues:StringEquals", "1"))],
        [allow(**under("StringEquals", "1"))],
        "condition",
    ),
    "another operator": (
        [allow(**under("BinaryEquals", "1"))],
        [allow(**under("StringEquals", "1"))],
        "condition",
    ),
    "fewer values excluded than the ceiling excludes": (
        [allow(**under("StringNotLike", "a*"))],
        [allow(**under("StringNotLike", "a*", "b"))],
        "condition",
    ),
    "a deny of part of the action puts no condition on the whole": (
        [allow("s3:List*"), deny("s3:ListBucket", **under("StringNotLike", "a/*", key="s3:prefix"))],
        [allow("s3:List*", **under("StringLike", "a/*", key="s3:prefix"))],
        "condition",
    ),
    "another key": ([allow(**under("StringEquals", "1", key="aws:y"))], [allow(**under("StringEquals", "1"))], "condi"),
    "one of two conditions": (
        [allow(**ONE_DAY)],
        [allow(Condition={**ONE_DAY["Condition"], "Bool": {"aws:x": "true"}})],
        "condition Bool aws:x is missing",
    ),
    "an issued NotAction against a list": ([but(allow("iam:*"), "Action")], [allow("s3:*")], "no statement"),
    "an issued NotAction that excepts one of two forbidden services": (
        [but(allow("iam:*", "*"), "Action")],
        [allow("*", "*"), deny(["iam:*", "sts:*"], "*")],
        "statement 1 denies it",
    ),
    "an issued NotAction against one that excepts more": (
        [but(allow("iam:*", "*"), "Action")],
        [but(allow(["iam:*", "sts:*"], "*"), "Action")],
        "no statement",
    ),
    "an issued NotResource that excepts one of two forbidden prefixes": (
        [but(allow(), "Resource")],
        [allow("s3:*", "*"), deny("s3:*", ["arn:aws:s3:::a/*", "arn:aws:s3:::b/*"])],
        "statement 1 denies it",
    ),
    "an issued NotResource against one that excepts more": (
        [but(allow(), "Resource")],
        [but(allow("s3:*", ["arn:aws:s3:::a/*", "arn:aws:s3:::b/*"]), "Resource")],
        "no statement",
    ),
    "an issued NotResource against a prefix": ([but(allow(), "Resource")], [allow()], "no statement"),
    "another account": (
        [allow("sqs:*", "arn:aws:sqs:r:2:q")],
        [allow("sqs:*", "arn:aws:sqs:r:1:q")],
        "no statement",
    ),
    "all regions against one": (
        [allow("sqs:*", "arn:aws:sqs:*:1:q")],
        [allow("sqs:*", "arn:aws:sqs:r:1:q")],
        "no statement",
    ),
    "a guard that only holds on a condition": (
        [allow(resource="arn:aws:s3:::*"), but(deny(**under("Bool", "true")), "Resource")],
        [allow()],
        "no statement",
    ),
}


@pytest.mark.parametrize("case", CONTAINED)
def test_what_the_ceiling_holds_gets_a_witness(case: str) -> None:
    issued, ceiling = CONTAINED[case]
    small = document(*issued) if issued else Document(())

    verdict = contains(small, document(*ceiling))

    assert isinstance(verdict, Witness), verdict
    assert verdict.document_sha256 == small.sha256
    assert verdict.ceiling_sha256 == document(*ceiling).sha256


@pytest.mark.parametrize("case", ESCAPING)
def test_what_escapes_the_ceiling_gets_a_counterexample(case: str) -> None:
    issued, ceiling, stopped_by = ESCAPING[case]

    verdict = contains(document(*issued), document(*ceiling))

    assert isinstance(verdict, Counterexample), verdict
    assert verdict.stopped_by.startswith(stopped_by)


def test_a_witness_names_the_statement_that_covers_each_atom() -> None:
    issued = document(allow(["s3:GetObject", "s3:PutObject"], "arn:aws:s3:::a/x"))
    ceiling = document(allow("sqs:*", "*"), allow("s3:Get*"), allow("s3:Put*"))

    verdict = contains(issued, ceiling)

    assert isinstance(verdict, Witness)
    assert [(cover.action, cover.resource, cover.covered_by) for cover in verdict.covers] == [
        ("s3:GetObject", "arn:aws:s3:::a/x", (1,)),
        ("s3:PutObject", "arn:aws:s3:::a/x", (2,)),
    ]


def test_a_counterexample_is_one_concrete_request_of_the_failing_statement() -> None:
    issued = document(allow(), allow("s3:PutObject", "arn:aws:s3:::a/x", **ONE_DAY))

    verdict = contains(issued, document(allow()))

    assert isinstance(verdict, Counterexample)
    assert (verdict.statement, verdict.action, verdict.resource) == (1, "s3:putobject", "arn:aws:s3:::a/x")
    assert verdict.context == (("StringEquals aws:PrincipalTag/day [monday]", "holds"),)


def test_what_no_pattern_names_is_shown_as_the_star() -> None:
    verdict = contains(document(allow(resource="*")), document(allow(resource="arn:aws:s3:::*")))

    assert isinstance(verdict, Counterexample)
    assert verdict.resource == "*"


USER = "arn:aws:s3:::home/${aws:username}"


@pytest.mark.parametrize(
    ("issued", "ceiling", "verdict", "reason"),
    [
        ([allow(resource=USER)], [allow(resource=USER)], Witness, "the same variable has the same value"),
        ([allow(resource=USER)], [allow(resource="arn:aws:s3:::home/*")], Witness, "the star holds every value"),
        ([allow(resource=USER)], [allow(resource="arn:aws:s3:::home/????")], Undecided, "a value has any length"),
        ([allow(resource=USER)], [allow(resource=USER.replace("username", "userid"))], Undecided, "another variable"),
        ([allow(resource="arn:aws:s3:::home/alice")], [allow(resource=USER)], Undecided, "is the user alice?"),
        ([allow(resource="arn:aws:s3:::home/${*}")], [allow(resource=USER)], Undecided, "an escape is not the name"),
        (
            [allow(resource="arn:aws:s3:::home/alice")],
            [allow(resource="arn:aws:s3:::home/*"), deny(resource=USER)],
            Undecided,
            "a deny of a variable may be a deny of alice",
        ),
        (
            [allow(resource="arn:aws:s3:::home/alice")],
            [allow(resource="arn:aws:s3:::home/*"), but(deny(resource=USER), "Resource")],
            Undecided,
            "a deny of all but a variable may spare alice or not",
        ),
        (
            [allow(resource="arn:aws:s3:::home/alice"), deny(resource=USER)],
            [allow(resource="arn:aws:s3:::home/*"), deny(resource="arn:aws:s3:::home/alice")],
            Undecided,
            "the issued deny may not be about alice",
        ),
        (
            [allow(resource="arn:aws:s3:::team/x")],
            [allow(resource="arn:aws:s3:::*"), deny(resource=USER)],
            Witness,
            "no value of the variable leaves home/",
        ),
    ],
)
def test_a_policy_variable_is_never_guessed(
    issued: list[dict[str, Any]], ceiling: list[dict[str, Any]], verdict: type, reason: str
) -> None:
    answer = contains(document(*issued, authored=True), document(*ceiling, authored=True))

    assert isinstance(answer, verdict), reason


def test_a_region_that_could_run_over_colons_is_not_trusted_next_to_a_deny() -> None:
    issued = document(allow(resource="arn:aws:s3:*:*:data"))
    ceiling = document(allow("s3:*", "*"), deny("s3:*", "arn:aws:s3:::secret/*"))

    assert isinstance(contains(issued, ceiling), Undecided)


MARKS = "?" * 20
BOMBS = {
    "an a twenty marks before the end": (
        [allow(resource=f"arn:aws:s3:::*a{MARKS}")],
        [allow(resource=f"arn:aws:s3:::*a{MARKS[1:]}b"), allow(resource=f"arn:aws:s3:::*b{MARKS}*")],
    ),
    "everything against such an a": (
        [allow(resource="arn:aws:s3:::*")],
        [allow(resource=f"arn:aws:s3:::*a{MARKS}"), allow(resource="arn:aws:s3:::?*")],
    ),
    "twenty overlapping letters somewhere": (
        [allow(resource="arn:aws:s3:::*")],
        [allow(resource=f"arn:aws:s3:::*{letter}*") for letter in string.ascii_lowercase[:20]],
    ),
    "twenty letters in action names": (
        [allow("s3:*")],
        [allow(f"s3:*{letter}*") for letter in string.ascii_lowercase[:20]],
    ),
    "more regions and accounts than can be told apart": (
        [allow("*", "*")],
        [allow("ec2:*", "*"), *[deny("ec2:*", f"arn:aws:ec2:r-{at}:{at}:x/{at}") for at in range(60)]],
    ),
    "eleven permissions past the fast path": (
        [allow(resource=f"arn:aws:s3:::b{at}") for at in range(11)],
        [allow()],
    ),
    "thousands of actions on thousands of resources": (
        [allow([f"s3:a{at}" for at in range(101)], [f"arn:aws:s3:::a/{at}" for at in range(100)])],
        [allow("*", "*")],
    ),
    "more conditions than can be tried": (
        [allow(), deny(**under("Bool", "true"))],
        [allow(**under("Bool", "true", key=f"aws:k{at}")) for at in range(11)],
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_an_input_that_would_explode_ends_undecided_within_the_budget(bomb: str) -> None:
    issued, ceiling = BOMBS[bomb]

    assert isinstance(contains(document(*issued), document(*ceiling)), Undecided)


def test_a_larger_budget_decides_what_a_smaller_one_could_not() -> None:
    issued = document(allow(resource="arn:aws:s3:::*"))
    ceiling = document(allow(resource="arn:aws:s3:::*a*"), but(allow(resource="arn:aws:s3:::*a*"), "Resource"))

    assert isinstance(contains(issued, ceiling, budget=Budget(states=1)), Undecided)
    assert isinstance(contains(issued, ceiling), Witness)


def test_a_long_literal_start_costs_no_states() -> None:
    issued = document(allow(resource=f"arn:aws:s3:::{'a' * 1000}/*"))
    ceiling = document(allow(resource="arn:aws:s3:::*b*"), but(allow(resource="arn:aws:s3:::*b*"), "Resource"))

    assert isinstance(contains(issued, ceiling, budget=Budget(states=20)), Witness)


def test_every_ceiling_must_hold_and_the_failing_one_is_named() -> None:
    issued = document(allow())
    wide, floor = document(allow("s3:*", "*")), document(allow("*", "*"), deny("s3:Get*", "*"))

    verdict = contains_all(issued, [wide, floor])

    assert isinstance(verdict, Counterexample)
    assert verdict.ceiling == 1
    assert len(contains_all(issued, [wide, wide])) == 2  # type: ignore[arg-type]


def test_without_any_ceiling_nothing_is_contained() -> None:
    assert isinstance(contains_all(document(allow()), []), Undecided)
