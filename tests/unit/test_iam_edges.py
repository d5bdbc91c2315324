"""Edges of containment: the last permission that a budget holds, variables, and what is said of a no.

Each is here because a mutant of the code survived without it (docs/decisions/mutation.md).
"""

from typing import Any

import pytest

from remit_server.iam import Budget, Counterexample, Document, Undecided, Witness, contains
from remit_server.iam.containment.implication import written_out

BUCKET = "arn:aws:s3:::reports"


def policy(*statements: dict[str, Any]) -> Document:
    return Document.parse({"Version": "2012-10-17", "Statement": list(statements)}, authored=True)


def allow(action: object = "s3:GetObject", resource: object = f"{BUCKET}/*", **more: object) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: object = "s3:GetObject", resource: object = f"{BUCKET}/*", **more: object) -> dict[str, Any]:
    return {**allow(action, resource, **more), "Effect": "Deny"}


def when(**keys: object) -> dict[str, Any]:
    return {"Condition": {"StringEquals": {f"aws:{key}": value for key, value in keys.items()}}}


def everything_but(resource: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": "s3:*", "NotResource": resource}


def test_as_many_permissions_as_the_budget_names_are_decided_exactly() -> None:
    ceiling = policy(allow(resource=f"{BUCKET}/*a*"), everything_but(f"{BUCKET}/*a*"))
    ten = policy(*(allow(resource=f"{BUCKET}/{at}*") for at in range(10)))

    assert isinstance(contains(ten, ceiling, budget=Budget(permissions=10)), Witness)
    assert isinstance(contains(ten, ceiling, budget=Budget(permissions=9)), Undecided)


def test_the_first_doubt_is_the_one_that_is_told() -> None:
    issued = policy(allow(resource=f"{BUCKET}/${{aws:u}}x"), allow("s3:PutObject", f"{BUCKET}/*"))
    ceiling = policy(
        allow(resource=f"{BUCKET}/*a*"), *(allow("s3:PutObject", f"{BUCKET}/*{letter}*") for letter in "abcdefghijk")
    )

    found = contains(issued, ceiling, budget=Budget(states=50))

    assert found == Undecided("a policy variable is only contained in itself or in a trailing wildcard")


@pytest.mark.parametrize(
    ("issued", "ceiling"),
    [
        pytest.param([allow(resource=f"{BUCKET}/${{aws:u}}")], [allow(resource=f"{BUCKET}/?*")], id="may be empty"),
        pytest.param([allow(resource=f"{BUCKET}/a${{aws:u}}")], [allow(resource=f"{BUCKET}/*a")], id="is no end"),
        pytest.param(
            [allow(resource=f"{BUCKET}/*")],
            [allow(resource=[f"{BUCKET}/a*", f"{BUCKET}/${{aws:u}}"]), everything_but(f"{BUCKET}/*")],
            id="one of two resources",
        ),
        pytest.param(
            [allow()], [allow(), deny(resource=[f"{BUCKET}/secret/*", f"{BUCKET}/${{aws:u}}/*"])], id="a deny"
        ),
        pytest.param(
            [allow()],
            [allow(), {**deny(), "NotResource": [f"{BUCKET}/${{aws:u}}/*", f"{BUCKET}/a*"]}],
            id="all but a variable",
        ),
    ],
)
def test_a_variable_anywhere_never_makes_a_yes(issued: list[dict[str, Any]], ceiling: list[dict[str, Any]]) -> None:
    for each in ceiling:
        if "NotResource" in each:
            each.pop("Resource", None)

    assert not isinstance(contains(policy(*issued), policy(*ceiling)), Witness)


def test_a_conditional_deny_of_the_ceiling_stops_what_meets_its_condition_and_more() -> None:
    issued = policy(allow(**when(a="1", b="1")))
    ceiling = policy(allow(), deny(resource=f"{BUCKET}/a*", **when(b="1")))

    found = contains(issued, ceiling)

    assert isinstance(found, Counterexample)
    assert found.stopped_by == "statement 1 denies it"


def test_the_conditions_that_are_missing_are_those_of_the_nearest_allow() -> None:
    issued = policy(allow(resource=f"{BUCKET}/a*", **when(a="1")))
    ceiling = policy(
        allow(resource=f"{BUCKET}/*a*", **when(b="1", c="1", d="1")),
        allow(resource=f"{BUCKET}/a?*", **when(a="1", b="1")),
    )

    found = contains(issued, ceiling)

    assert isinstance(found, Counterexample)
    assert found.resource == f"{BUCKET}/a"
    assert found.stopped_by == "condition StringEquals aws:b, StringEquals aws:c, StringEquals aws:d is missing"
    longer = contains(policy(allow(resource=f"{BUCKET}/ab*", **when(a="1"))), ceiling)
    assert isinstance(longer, Counterexample)
    assert longer.stopped_by == "condition StringEquals aws:b is missing"


@pytest.mark.parametrize("kind", ["Action", "Resource"])
def test_a_deny_of_everything_but_is_spared_only_by_what_lies_in_all_of_its_list(kind: str) -> None:
    issued = policy({"Effect": "Allow", f"Not{kind}": "*" if kind == "Resource" else ["s3:*"]} | _other(kind))
    spared = policy(allow("*", "*"), {"Effect": "Deny", f"Not{kind}": ["*"]} | _other(kind))

    assert isinstance(contains(issued, spared), Witness)


def _other(kind: str) -> dict[str, Any]:
    return {"Resource": "*"} if kind == "Action" else {"Action": "s3:*"}


def test_a_name_that_a_rule_uses_never_stands_for_all_the_others() -> None:
    taken = ["us-east-1", "eu-west-1"]
    ceiling = policy(*(allow("sqs:*", f"arn:aws:sqs:{region}:111122223333:q") for region in taken))

    found = contains(policy(allow("sqs:*", "arn:aws:sqs:*:111122223333:q")), ceiling)

    assert isinstance(found, Counterexample)
    assert found.resource.split(":")[3] not in taken


@pytest.mark.parametrize(
    ("count", "is_written"), [pytest.param(400, True, id="all of them"), pytest.param(401, False, id="one too many")]
)
def test_as_many_alternatives_are_written_out_as_a_document_may_have(count: int, is_written: bool) -> None:
    fifties = [allow(resource=f"{BUCKET}/{at}", **when(a=[str(value) for value in range(50)])) for at in range(8)]
    issued = policy(*fifties, *(allow(resource=f"{BUCKET}/{at}") for at in range(8, 8 + count - 400)))

    found = written_out(issued, policy(allow(**when(b="other"))))

    assert (found is not None) is is_written


def test_a_deny_puts_its_opposite_only_on_what_it_holds_whole() -> None:
    two = [f"{BUCKET}/a/*", f"{BUCKET}/b/*"]
    prefix = {"Condition": {"StringNotLike": {"s3:prefix": "a/*"}}}
    ceiling = policy(allow(resource=two, Condition={"StringLike": {"s3:prefix": "a/*"}}))

    whole = contains(policy(allow(resource=two), deny(resource=two, **prefix)), ceiling)
    part = contains(policy(allow(resource=two), deny(resource=[two[0], f"{BUCKET}/b/c*"], **prefix)), ceiling)

    assert isinstance(whole, Witness)
    assert isinstance(part, Counterexample)


def test_a_deny_whose_opposite_takes_two_conditions_is_taken_for_no_condition() -> None:
    optional = {"Condition": {"StringLikeIfExists": {"s3:prefix": "a/*"}}}
    ceiling = policy(allow(Condition={"StringNotLike": {"s3:prefix": "a/*"}}))

    found = contains(policy(allow(), deny(**optional)), ceiling)

    assert isinstance(found, Counterexample)
