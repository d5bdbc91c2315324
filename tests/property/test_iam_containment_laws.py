"""Laws of containment, and its agreement with a slow second opinion on thousands of random pairs."""

import os
import random
from collections import Counter
from itertools import product
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.property import iam_oracle as oracle

from remit_server.iam.containment.proving import contains
from remit_server.iam.containment.verdict import Counterexample, Undecided, Witness
from remit_server.iam.language.document import Document
from remit_server.iam.language.pattern import Pattern, PatternTooComplex

PAIRS = int(os.environ.get("REMIT_DIFFERENTIAL_PAIRS", "2000"))
SEEDS = 8

OPEN_HEADS = ("arn:aws:s3:*::", "arn:aws:s3:*:*:", "arn:aws:sqs:r:*:", "arn:aws:sqs:*:*:")
NAMED_HEADS = ("arn:aws:s3:::", "arn:aws:s3:r::", "arn:aws:sqs:r:1:")
CONDITIONS = (
    {"StringEquals": {"aws:x": "1"}},
    {"StringLike": {"aws:y": "3*"}},
    {"Bool": {"aws:z": "true"}, "StringEquals": {"aws:x": "1"}},
    {"StringEqualsIfExists": {"aws:x": "1"}},
)
# Conditions that say something about each other, for the test that evaluates them.
MEANINGFUL = tuple(
    {operator: {key: values}}
    for key, operators in {
        "s3:prefix": ("StringEquals", "StringLike", "StringNotLike", "StringNotEquals", "StringLikeIfExists"),
        "aws:TagKeys": ("ForAllValues:StringLike", "ForAnyValue:StringEquals", "ForAnyValue:StringNotLike"),
    }.items()
    for operator in operators
    for values in (["a"], ["b"], ["a", "b"], ["a", "ab"], ["a*"], ["a*", "b"], ["*b"], ["a?"])
)
VALUES = {
    "s3:prefix": (None, ("a",), ("b",), ("ab",), ("aab",), ("z",)),
    "aws:TagKeys": (None, ("a",), ("b",), ("a", "b"), ("ab", "z")),
}


class World:
    """Draws policies of the oracle's small world; half of what is issued is bent out of its ceiling."""

    def __init__(
        self,
        chance: random.Random,
        heads: tuple[str, ...],
        conditions: tuple[dict[str, Any], ...] = CONDITIONS,
        conditioned: float = 0.25,
    ) -> None:
        self.chance = chance
        self.heads = heads
        self.conditions = conditions
        self.conditioned = conditioned

    def name(self, longest: int) -> str:
        return "".join(self.chance.choices("ab*?", (4, 3, 3, 2), k=self.chance.randint(1, longest)))

    def action(self) -> str:
        if self.chance.random() < 0.12:
            return "*"
        return f"{self.chance.choice(('s3', 's3', 'sqs', 'S3'))}:{self.name(3)}"

    def resource(self) -> str:
        if self.chance.random() < 0.15:
            return "*"
        return self.chance.choice(self.heads) + self.name(4)

    def statement(self, denies: float = 0.2) -> dict[str, Any]:
        chance = self.chance
        out: dict[str, Any] = {
            "Effect": "Deny" if chance.random() < denies else "Allow",
            "NotAction" if chance.random() < 0.15 else "Action": sorted({self.action() for _ in range(self.few())}),
            "NotResource" if chance.random() < 0.2 else "Resource": sorted(
                {self.resource() for _ in range(self.few())}
            ),
        }
        if chance.random() < self.conditioned:
            out["Condition"] = chance.choice(self.conditions)
        return out

    def few(self) -> int:
        return self.chance.choice((1, 1, 2, 3))

    def policy(self) -> dict[str, Any]:
        statements = [self.statement() for _ in range(self.chance.choice((1, 2, 2, 3, 4)))]
        return {"Version": "2012-10-17", "Statement": statements}

    def bent(self, ceiling: dict[str, Any]) -> dict[str, Any]:
        """Takes some statements of a ceiling and changes a little in each."""
        kept = [each for each in ceiling["Statement"] if each["Effect"] == "Deny" or self.chance.random() < 0.8]
        statements = [self.bent_statement(each) for each in kept] or [self.statement()]
        if self.chance.random() < 0.3:
            statements.append(self.statement(denies=0.9))
        return {"Version": "2012-10-17", "Statement": statements}

    def bent_statement(self, statement: dict[str, Any]) -> dict[str, Any]:
        chance = self.chance
        out = dict(statement)
        for element in ("Action", "NotAction", "Resource", "NotResource"):
            if element in out and chance.random() < 0.6:
                out[element] = sorted({self.bent_text(text) for text in out[element]})
        if chance.random() < self.conditioned / 2:
            out["Condition"] = chance.choice(self.conditions)
        if "Condition" in out and chance.random() < 0.5:
            out["Condition"] = chance.choice([each for each in self.conditions if alike(each, out["Condition"])])
        if chance.random() < 0.05:
            out.pop("Condition", None)
        return out

    def bent_text(self, text: str) -> str:
        """Puts letters for a wildcard, mostly; sometimes a wildcard for a letter."""
        if text == "*":
            return "*"
        lead, _, name = text.rpartition(":")
        at = self.chance.randrange(len(name))
        to = self.chance.choices(("a", "b", "?", "*", "?a", "*b", "a*"), (3, 3, 2, 1, 2, 2, 2))[0]
        if name[at] in "*?" or self.chance.random() < 0.2:
            name = name[:at] + to + name[at + 1 :]
        return f"{lead}:{name}"


def alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Tells whether two conditions differ in their values only."""
    return {name: list(keys) for name, keys in one.items()} == {name: list(keys) for name, keys in other.items()}


def pair(world: World) -> tuple[dict[str, Any], dict[str, Any]]:
    ceiling = world.policy()
    return (world.bent(ceiling) if world.chance.random() < 0.6 else world.policy()), ceiling


def holding(found: Counterexample) -> oracle.Holds:
    return oracle.opaque(name for name, state in found.context if state == "holds")


@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_checker_and_the_oracle_never_disagree(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - reproducible draws, not secrets
    verdicts: Counter[str] = Counter()

    for _ in range(PAIRS // SEEDS):
        heads = NAMED_HEADS if chance.random() < 0.7 else NAMED_HEADS + OPEN_HEADS
        issued, ceiling = pair(World(chance, heads))
        match contains(Document.parse(issued), Document.parse(ceiling)):
            case Witness():
                verdicts["witness"] += 1
                assert oracle.escape(issued, ceiling, oracle.opaque_views(issued, ceiling)) is None, (
                    issued,
                    ceiling,
                )
            case Counterexample() as found:
                verdicts["counterexample"] += 1
                assert oracle.allows(issued, found.action, found.resource, holding(found)), (issued, found)
                assert not oracle.allows(ceiling, found.action, found.resource, holding(found)), (ceiling, found)
            case Undecided():
                verdicts["undecided"] += 1

    # a differential test that decides little, or always the same, proves little
    assert verdicts["witness"] >= PAIRS // SEEDS * 0.1, verdicts
    assert verdicts["counterexample"] >= PAIRS // SEEDS * 0.2, verdicts
    assert verdicts["undecided"] <= PAIRS // SEEDS * 0.15, verdicts


@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_witness_is_wrong_when_conditions_are_evaluated(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - reproducible draws, not secrets
    witnesses = conditioned = 0

    for _ in range(PAIRS // SEEDS // 4):
        issued, ceiling = pair(World(chance, NAMED_HEADS[:1], MEANINGFUL, conditioned=0.6))
        if isinstance(contains(Document.parse(issued), Document.parse(ceiling)), Witness):
            witnesses += 1
            conditioned += any("Condition" in each for each in ceiling["Statement"])
            assert oracle.escape(issued, ceiling, oracle.concrete_views(VALUES)) is None, (issued, ceiling)

    assert witnesses >= PAIRS // SEEDS // 4 * 0.1
    assert conditioned >= PAIRS // SEEDS // 4 * 0.05


@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_witness_rests_on_a_wrong_implication_between_conditions(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - reproducible draws, not secrets
    views = list(oracle.concrete_views(VALUES))
    witnesses = 0

    for _ in range(PAIRS // SEEDS):
        # one resource throughout, so that the conditions decide
        issued, ceiling = conditioned_policy(chance), conditioned_policy(chance)
        if isinstance(contains(Document.parse(issued), Document.parse(ceiling)), Witness):
            witnesses += 1
            for action, holds in product(("s3:a", "s3:b"), views):
                if oracle.allows(issued, action, "arn:aws:s3:::a", holds):
                    assert oracle.allows(ceiling, action, "arn:aws:s3:::a", holds), (issued, ceiling)

    assert witnesses >= PAIRS // SEEDS * 0.02


def conditioned_policy(chance: random.Random) -> dict[str, Any]:
    statements = [
        {
            "Effect": effect,
            "Action": chance.choice(("s3:*", "s3:*", "s3:a")),
            "Resource": "arn:aws:s3:::a",
            "Condition": chance.choice(MEANINGFUL),
        }
        for effect in chance.choice((("Allow",), ("Allow",), ("Allow", "Deny"), ("Allow", "Allow")))
    ]
    if chance.random() < 0.4:
        del statements[0]["Condition"]
    return {"Version": "2012-10-17", "Statement": statements}


def worlds(heads: tuple[str, ...] = NAMED_HEADS) -> st.SearchStrategy[World]:
    return st.integers(0, 2**32).map(lambda seed: World(random.Random(seed), heads))  # noqa: S311


def document(policy: dict[str, Any]) -> Document:
    return Document.parse(policy)


@given(worlds(NAMED_HEADS + OPEN_HEADS))
@settings(max_examples=200, deadline=None)
def test_every_document_is_contained_in_itself(world: World) -> None:
    policy = document(world.policy())

    assert isinstance(contains(policy, policy), Witness)


@given(worlds())
@settings(max_examples=300, deadline=None)
def test_containment_is_transitive(world: World) -> None:
    outer = world.policy()
    middle = world.bent(outer)
    inner = document(world.bent(middle))
    assume(isinstance(contains(document(middle), document(outer)), Witness))
    assume(isinstance(contains(inner, document(middle)), Witness))

    verdict = contains(inner, document(outer))

    assert not isinstance(verdict, Counterexample)


@given(worlds())
@settings(max_examples=300, deadline=None)
def test_one_more_allow_in_the_ceiling_never_turns_a_yes_into_a_no(world: World) -> None:
    ceiling = world.policy()
    issued = document(world.bent(ceiling))
    assume(isinstance(contains(issued, document(ceiling)), Witness))

    wider = document({**ceiling, "Statement": [world.statement(denies=0), *ceiling["Statement"]]})

    assert isinstance(contains(issued, wider), Witness)


@given(worlds())
@settings(max_examples=300, deadline=None)
def test_one_more_deny_in_what_is_issued_never_turns_a_yes_into_a_no(world: World) -> None:
    policy = world.policy()
    ceiling = document(policy)
    issued = world.bent(policy)
    assume(isinstance(contains(document(issued), ceiling), Witness))

    narrower = document({**issued, "Statement": [*issued["Statement"], world.statement(denies=1)]})

    assert isinstance(contains(narrower, ceiling), Witness)


@given(worlds(NAMED_HEADS + OPEN_HEADS), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_neither_statement_order_nor_the_case_of_actions_matters(world: World, chance: random.Random) -> None:
    ceiling = world.policy()
    issued = world.bent(ceiling)

    turned = document(shuffled_and_recased(ceiling, chance))

    assert type(contains(document(issued), turned)) is type(contains(document(issued), document(ceiling)))


def shuffled_and_recased(policy: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    statements = [dict(each) for each in policy["Statement"]]
    chance.shuffle(statements)
    for each in statements:
        for element in ("Action", "NotAction"):
            if element in each:
                each[element] = list({text.upper(): text.upper() for text in each[element]})
    return {**policy, "Statement": statements}


PATTERNS = st.text("ab*?", max_size=6)
WORDS = tuple(oracle.words(6))


@given(PATTERNS, PATTERNS)
@settings(max_examples=400, deadline=None)
def test_pattern_inclusion_overlap_and_intersection_agree_with_listing_words(left: str, right: str) -> None:
    one, other = Pattern(left), Pattern(right)
    lefts = {word for word in WORDS if oracle.glob(left, word)}
    rights = {word for word in WORDS if oracle.glob(right, word)}

    assert {word for word in WORDS if one.matches(word)} == lefts
    if one.includes(other):
        assert rights <= lefts
    if lefts & rights:
        assert one.overlaps(other)
    both = one.intersect(other)
    assert {word for word in WORDS if any(each.matches(word) for each in both)} == lefts & rights
    assert all(one.includes(each) and other.includes(each) for each in both)


@given(st.text("ab*?", max_size=3), st.text("ab*?", max_size=3))
@settings(max_examples=300, deadline=None)
def test_pattern_inclusion_and_overlap_are_exact_on_short_patterns(left: str, right: str) -> None:
    one, other = Pattern(left), Pattern(right)
    lefts = {word for word in WORDS if oracle.glob(left, word)}
    rights = {word for word in WORDS if oracle.glob(right, word)}

    assert one.includes(other) == (rights <= lefts)
    assert one.overlaps(other) == bool(lefts & rights)


@given(st.text("ab*?", max_size=40), st.text("ab*?", max_size=40))
@settings(max_examples=100, deadline=None)
def test_long_patterns_end_in_an_answer_or_in_a_named_refusal(left: str, right: str) -> None:
    one, other = Pattern(left), Pattern(right)

    try:
        both = one.intersect(other)
    except PatternTooComplex:
        return

    assert bool(both) == one.overlaps(other)
