"""Counted budgets: hostile intents reach them, are refused by their name, and cost the same each time."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from remit_server.iam import Budget, Document, Undecided, Witness, conditioned, contains, narrow_all
from remit_server.iam.issuing.deriving import COVERING_STEPS
from remit_server.iam.issuing.narrowing import NARROWING_STEPS
from remit_server.iam.language.automaton import BudgetError, Steps

BUCKET = "arn:aws:s3:::reports"


def policy(*statements: dict[str, Any]) -> Document:
    return Document.parse({"Version": "2012-10-17", "Statement": list(statements)}, authored=True)


def allow(action: object = "s3:GetObject", resource: object = f"{BUCKET}/*", **more: object) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: object, resource: object = f"{BUCKET}/*", **more: object) -> dict[str, Any]:
    return {**allow(action, resource, **more), "Effect": "Deny"}


def when(*keys: str) -> dict[str, Any]:
    return {"Condition": {"Bool": dict.fromkeys(keys, "true")}}


def wild(count: int, length: int = 9) -> list[str]:
    """Names with a wildcard at every other letter, the same ones each time."""
    chance = random.Random(count)  # noqa: S311 - reproducible draws, not secrets
    return [f"{BUCKET}/*{'*'.join(chance.choices('abcd', k=length))}*{number}" for number in range(count)]


LETTERS = [f"{BUCKET}/*{letter}*" for letter in "abcdefghijklmnopqrst"]
TEN = [f"aws:k{number}" for number in range(10)]
EVERY_BUT_A = {"Effect": "Allow", "Action": "s3:*", "NotResource": f"{BUCKET}/*a*"}
HOSTILE: dict[str, tuple[Document, Document, str]] = {
    "twenty letters, each somewhere": (
        policy(allow()),
        policy(*(allow(resource=each) for each in LETTERS)),
        "the proof takes more than 2,000 states",
    ),
    "five hundred wild names in a ceiling of hundreds": (
        policy(allow("s3:Get*", wild(490))),
        policy(*(allow("s3:*", each) for each in wild(200))),
        "the proof takes more than 20,000 comparisons of patterns",
    ),
    "ten conditions at each of many kinds of names": (
        policy(allow(), *(deny("s3:*", **when(key)) for key in TEN)),
        policy(
            allow(),
            *(allow(resource=each) for each in LETTERS[:5]),
            *(deny("s3:Get*", **when(key)) for key in TEN),
        ),
        "the proof takes more than 20,000 evaluations of requests",
    ),
    "eleven conditions at once": (
        policy(allow()),
        policy(*(allow(**when(f"aws:k{at}")) for at in range(11)), EVERY_BUT_A),
        "more than 10 conditions decide at once",
    ),
    "eleven permissions without a single proof": (
        policy(*(allow(resource=f"{BUCKET}/{at}*") for at in range(11))),
        policy(allow(resource=f"{BUCKET}/*a*"), EVERY_BUT_A),
        "more than 10 permissions need the exact procedure",
    ),
    "ten thousand pairs": (
        policy(allow([f"s3:a{at}" for at in range(101)], [f"{BUCKET}/{at}" for at in range(100)])),
        policy(allow("*", "*")),
        "the permissions have more than 10,000 pairs of an action and a resource",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_intent_is_refused_by_the_name_of_the_budget_it_reaches(name: str) -> None:
    issued, ceiling, reason = HOSTILE[name]

    assert contains(issued, ceiling) == Undecided(reason)


@pytest.mark.parametrize("name", HOSTILE)
def test_no_proof_spends_more_than_its_budget_and_the_same_one_spends_the_same(name: str) -> None:
    issued, ceiling, _ = HOSTILE[name]

    spent = []
    for _ in range(2):
        purse = Budget().opened()
        contains(policy_again(issued), policy_again(ceiling), budget=purse)
        spent.append((purse.comparisons.spent, purse.states.spent, purse.evaluations.spent))

    assert spent[0] == spent[1]
    assert all(count <= most for count, most in zip(spent[0], (20_000, 2_000, 20_000), strict=True))


def policy_again(document: Document) -> Document:
    """Reads a document anew: nothing is remembered with it."""
    return Document.parse(document.text)


def test_what_the_first_proof_spends_is_missing_to_the_next() -> None:
    issued, ceiling = policy(allow()), policy(allow(resource=f"{BUCKET}/*a*"), EVERY_BUT_A)
    alone = Budget().opened()
    contains(issued, ceiling, budget=alone)
    shared = Budget(states=2 * alone.states.spent - 1).opened()

    first, second = (contains(issued, ceiling, budget=shared) for _ in range(2))

    assert isinstance(first, Witness)
    assert second == Undecided(f"the proof takes more than {2 * alone.states.spent - 1} states")


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"states": 7}, "the proof takes more than 7 states"),
        ({"comparisons": 7}, "the proof takes more than 7 comparisons of patterns"),
        ({"evaluations": 7}, "the proof takes more than 7 evaluations of requests"),
        ({"atoms": 0}, "more than 0 conditions decide at once"),
        ({"permissions": 0}, "more than 0 permissions need the exact procedure"),
        ({"parts": 0}, "the permissions have more than 0 pairs of an action and a resource"),
    ],
)
def test_each_budget_stops_a_proof_by_itself(limits: dict[str, int], reason: str) -> None:
    issued = policy(allow(), deny("s3:*", **when("aws:k")))
    ceiling = policy(
        *(allow(resource=each) for each in LETTERS[:4]), allow(), EVERY_BUT_A, deny("s3:Get*", **when("aws:k"))
    )

    assert contains(issued, ceiling, budget=Budget(**limits)) == Undecided(reason)
    assert not isinstance(contains(issued, ceiling), Undecided)


def narrowing(steps: Steps) -> Document:
    return narrow_all(
        policy(allow("s3:Get*", wild(490))), [policy(*(allow("s3:*", each) for each in wild(200)))], steps=steps
    )


def covering(steps: Steps) -> Document:
    return conditioned(
        policy(allow("s3:Get*", wild(490))), [policy(*(allow("s3:*", each) for each in wild(200)))], steps=steps
    )


@pytest.mark.parametrize(("work", "most"), [(narrowing, NARROWING_STEPS), (covering, COVERING_STEPS)])
def test_searches_stop_at_their_count_and_count_the_same_twice(work: Callable[[Steps], Document], most: int) -> None:
    counts = [Steps(most), Steps(most)]

    first, second = (work(steps) for steps in counts)

    assert [steps.spent for steps in counts] == [most, most]
    assert first == second


def test_a_search_that_is_stopped_adds_nothing() -> None:
    covered = covering(Steps(COVERING_STEPS))

    assert narrowing(Steps(NARROWING_STEPS)).is_empty
    assert {each.text for one in covered.statements for each in one.resources} == set(wild(490))
    assert all(one.conditions == () and one.actions[0].text == "s3:Get*" for one in covered.statements)


def test_steps_are_refused_before_they_are_taken() -> None:
    steps = Steps(10, "looks")
    steps.take(7)

    with pytest.raises(BudgetError, match=r"^more than 10 looks$"):
        steps.take(4)

    assert steps.spent == 10
    with pytest.raises(BudgetError):
        steps.take()
