"""What conditions imply about each other, held against plain evaluation: every pair of some hundreds of conditions.

A request may lack the key, or carry one or two values of it. The pairs are those of each kind of value, with all of its
operators, qualifiers and IfExists.
"""

import os
import random
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, reduce
from itertools import combinations, product
from operator import and_
from pathlib import Path

import pytest
from tests.figures import Counted
from tests.property import condition_oracle as oracle

from remit_server.iam import (
    ActionPattern,
    Condition,
    Document,
    Effect,
    ResourcePattern,
    Statement,
    Witness,
    contains,
)
from remit_server.iam.containment.implication import implies
from remit_server.iam.evaluation.operators import holds
from remit_server.iam.language.negation import negated

TABLE = Path(__file__).parents[2] / "docs" / "conditions.md"
FIRST = int(os.environ.get("REMIT_DIFFERENTIAL_SEED", "0"))
ROUNDS = int(os.environ.get("REMIT_DIFFERENTIAL_ROUNDS", "10000"))
KEY = "aws:k"
QUALIFIERS = ("", "ForAllValues:", "ForAnyValue:")
FORMS = tuple(product(QUALIFIERS, ("", "IfExists")))


@dataclass(frozen=True, slots=True)
class Kind:
    """Some operators that read values alike, values to write into conditions, and values for requests."""

    operators: tuple[str, ...]
    written: tuple[tuple[str, ...], ...]
    carried: tuple[str, ...]


ORDERINGS = ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
KINDS = {
    "String": Kind(
        tuple(f"String{no}{how}" for no in ("", "Not") for how in ("Equals", "EqualsIgnoreCase", "Like")),
        (("a",), ("A",), ("a*",), ("?",), ("*b",), ("a", "b"), ("a*", "B"), ("ab", "1"), ("",), ("*",)),
        ("", "a", "A", "b", "ab", "aB", "1", "a*", "z"),
    ),
    "Numeric": Kind(
        tuple(f"Numeric{ordering}" for ordering in ORDERINGS),
        (("1",), ("1.0",), ("2",), ("-3.5",), ("1", "2"), ("10", "9"), ("010",), ("-0",), ("0",)),
        ("-4", "-3.5", "0", "1", "1.5", "2", "9", "9.5", "10", "11"),
    ),
    "Date": Kind(
        tuple(f"Date{ordering}" for ordering in ORDERINGS),
        (
            ("2026-01-01T00:00:00Z",),
            ("2027-01-01T00:00:00Z",),
            ("1767225600",),
            ("1767225601", "999999999"),
            ("2030",),
            ("20300101", "9"),
        ),
        (
            *("8", "2030", "20300101", "999999999", "2025-12-31T23:59:59Z", "1767225600", "2026-01-01T00:00:01Z"),
            *("1798761600", "1798761601", "1893456001"),
        ),
    ),
    "Bool": Kind(
        ("Bool",),
        (("true",), ("True",), ("false",), ("true", "false"), ("maybe",), ("Maybe",)),
        ("true", "false", "TRUE"),
    ),
    "Binary": Kind(("BinaryEquals",), (("QUI=",), ("QUI=", "QUM="), ("qui=",)), ("QUI=", "QUM=", "qui=")),
    "IpAddress": Kind(
        ("IpAddress", "NotIpAddress"),
        (
            ("10.0.0.0/8",),
            ("10.1.0.0/16",),
            ("10.0.0.0/9", "10.128.0.0/9"),
            ("10.1.2.3",),
            ("192.168.0.0/16", "10.1.2.3/32"),
            ("0.0.0.0/0",),
            ("::/0",),
            ("2001:db8::/32",),
            ("2001:db8:1::/48", "10.0.0.0/8"),
            ("2001:DB8:0001::1",),
            ("10.0.0.0/08",),
        ),
        ("10.1.2.3", "10.1.9.9", "10.200.0.1", "11.0.0.0", "192.168.0.0", "2001:db8::1", "2001:db8:1::1", "fe80::1"),
    ),
    "Arn": Kind(
        ("ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"),
        (
            ("arn:aws:s3:::a*",),
            ("arn:aws:s3:::ab",),
            ("arn:aws:sqs:*:1:q",),
            ("arn:aws:sqs:r:1:*", "arn:aws:s3:::b"),
            ("arn:aws:sqs:r:?:q",),
            ("arn:*:*:*:*:*",),
        ),
        ("arn:aws:s3:::a", "arn:aws:s3:::ab", "arn:aws:s3:::b", "arn:aws:sqs:r:1:q", "arn:aws:sqs:r:2:q:x", "a"),
    ),
}


def conditions(kind: Kind) -> list[Condition]:
    written = [
        Condition(f"{qualifier}{operator}{optional}", KEY, values)
        for operator, values, (qualifier, optional) in product(kind.operators, kind.written, FORMS)
    ]
    return [*written, Condition("Null", KEY, ("true",)), Condition("Null", KEY, ("false",))]


def requests(kind: Kind) -> tuple[oracle.Values, ...]:
    return (None, *((one,) for one in kind.carried), *combinations(kind.carried, 2))


@cache
def held(name: str) -> dict[Condition, int]:
    """For each condition of a kind, the requests for which it holds, as bits."""
    return {each: mask_of(each, KINDS[name]) for each in conditions(KINDS[name])}


def views(kind: Kind) -> tuple[tuple[oracle.Values, bool], ...]:
    """Each request, under both readings of what nobody is sure of, where something written is of that sort."""
    name = next(name for name, each in KINDS.items() if each is kind)
    unsure = any(oracle.is_unsure(name, value) for values in kind.written for value in values)
    return tuple(product(requests(kind), (False, True) if unsure else (False,)))


def mask_of(condition: Condition, kind: Kind) -> int:
    asked = enumerate(views(kind))
    return sum(
        oracle.holds(condition.operator, condition.values, values, otherwise=otherwise) << at
        for at, (values, otherwise) in asked
    )


@pytest.mark.parametrize("name", KINDS)
def test_a_condition_holds_where_plain_evaluation_says_so(name: str) -> None:
    kind = KINDS[name]

    for condition, (at, (values, _)) in product(conditions(kind), enumerate(views(kind))):
        found = holds(condition, {} if values is None else {"AWS:K": values})
        carried = (values or ()) if name == "Date" else ()
        unsure = any(oracle.is_unsure(name, value) for value in (*condition.values, *carried))
        assert found is bool(held(name)[condition] >> at & 1) or (found is None and unsure), (condition, values)


@pytest.mark.parametrize("name", KINDS)
def test_no_implication_is_wrong_for_any_request(name: str) -> None:
    every = held(name)

    proven = [(one, other) for one, other in product(every, every) if implies(one, other)]

    assert [pair for pair in proven if every[pair[0]] & ~every[pair[1]]] == []
    assert len(proven) > len(every), "some conditions imply others than themselves"


@pytest.mark.parametrize("name", KINDS)
def test_implication_is_reflexive_and_transitive(name: str) -> None:
    every = list(held(name))
    follow = {one: {other for other in every if implies(one, other)} for one in every}

    assert all(one in follow[one] for one in every)
    for one in every:
        for other in follow[one]:
            assert follow[other] <= follow[one], (one, other, follow[other] - follow[one])


@pytest.mark.parametrize("name", KINDS)
def test_the_opposite_of_a_condition_holds_exactly_where_it_does_not(name: str) -> None:
    """Without a qualifier a key has one value: for orderings and Bool, AWS has no operator that says "none of them"."""
    asked_of = enumerate(views(KINDS[name]))
    several = sum(values is not None and len(values) > 1 and 1 << at for at, (values, _) in asked_of)
    every_request = (1 << len(views(KINDS[name]))) - 1

    for condition in held(name):
        opposite = negated(condition)
        asked = every_request if ":" in condition.operator else every_request & ~several
        if opposite is not None:
            together = reduce(and_, (mask_of(each, KINDS[name]) for each in opposite))
            assert together & asked == asked & ~mask_of(condition, KINDS[name]), (condition, opposite)


ROW = re.compile(r"^\| `(\S+) \[(.*?)\]` \| `(\S+) \[(.*?)\]` \| (yes|no) \|", re.MULTILINE)


@pytest.mark.parametrize("row", ROW.findall(TABLE.read_text()), ids=" ".join)
def test_the_documented_implications_are_those_of_the_code(row: tuple[str, str, str, str, str]) -> None:
    operator, values, other, others, follows = row
    this = Condition(operator, "aws:K", tuple(values.split(", ")))
    that = Condition(other, "aws:k", tuple(others.split(", ")))

    found = implies(this, that)

    assert found is (follows == "yes")


@pytest.mark.parametrize("name", KINDS)
def test_no_document_is_contained_on_a_wrong_implication(name: str) -> None:
    chance = random.Random(FIRST)  # noqa: S311 - reproducible draws, not secrets
    witnesses = 0

    for _ in range(ROUNDS // 50):
        issued, ceiling = (conditioned(chance, held(name)) for _ in range(2))
        if isinstance(contains(issued, ceiling), Witness):
            witnesses += 1
            assert allowed(issued, KINDS[name]) & ~allowed(ceiling, KINDS[name]) == 0, (issued.text, ceiling.text)

    assert witnesses >= ROUNDS // 50 * 0.02


def conditioned(chance: random.Random, every: Iterable[Condition]) -> Document:
    """Draws one or two Allows and sometimes a Deny, of one action and under one condition each."""
    drawn = chance.choices(list(every), k=3)
    effects = chance.choice(((Effect.ALLOW,), (Effect.ALLOW, Effect.ALLOW), (Effect.ALLOW, Effect.DENY)))
    under = [() if chance.random() < 0.3 else (one,) for one in drawn]
    on = (ActionPattern.parse("s3:GetObject"),), (ResourcePattern.parse("*"),)
    return Document(
        tuple(Statement(effect, *on, conditions) for effect, conditions in zip(effects, under, strict=False))
    )


def allowed(document: Document, kind: Kind) -> int:
    masks: dict[Effect, int] = {Effect.ALLOW: 0, Effect.DENY: 0}
    for each in document.statements:
        masks[each.effect] |= mask_of(each.conditions[0], kind) if each.conditions else -1
    return masks[Effect.ALLOW] & ~masks[Effect.DENY] & ((1 << len(views(kind))) - 1)


def test_how_much_of_what_holds_is_proven(counted: Counted) -> None:
    found: Counter[str] = Counter()
    for name in KINDS:
        every = held(name)
        for one, other in product(every, every):
            # what holds for no request here says nothing
            if one != other and every[one] and not every[one] & ~every[other]:
                found[f"{name} {'proven' if implies(one, other) else 'not proven'}"] += 1

    counted("Implications between conditions that hold for all requests tried", found)
    assert all(found[f"{name} proven"] >= found[f"{name} not proven"] * 0.2 for name in KINDS), found
