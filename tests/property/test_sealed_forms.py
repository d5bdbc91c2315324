"""Sealed forms of random Allows against the slow oracle: every request of its small world, every context, both ways."""

import json
import os
import random
from collections import Counter
from typing import Any

import pytest
from tests.figures import Counted
from tests.property import iam_oracle as oracle
from tests.property.iam_world import MEANINGFUL, NAMED_HEADS, VALUES, World

from remit_server.iam import Budget, Document, Effect, Statement, Steps, allows_of
from remit_server.iam.issuing.dense.equality import is_proven_equal
from remit_server.iam.issuing.dense.sealed import SEALING_STEPS, Sealed, sealed
from remit_server.iam.issuing.merging import Fact, facts_of, fewest, in_order

SEEDS = 4
FIRST = int(os.environ.get("REMIT_DIFFERENTIAL_SEED", "0"))
ROUNDS = int(os.environ.get("REMIT_DIFFERENTIAL_ROUNDS", "10000")) // SEEDS // 50
ACTIONS = ("s3:a", "s3:?", "s3:ab", "s3:b?b", "s3:z*", "sqs:a", "sqs:ba", "zz:b", "zz:a*")


class Tasks(World):
    """Draws Allows as tasks want them: few actions, mostly apart, on few resources, some under a condition."""

    def task(self) -> dict[str, Any]:
        chance = self.chance
        places = sorted({self.resource() for _ in range(chance.choice((1, 2, 3, 4)))})
        names = chance.sample(ACTIONS, k=chance.choice((1, 2, 3, 5)))
        return {
            "Version": "2012-10-17",
            "Statement": [self.wish(names, places) for _ in range(chance.choice((1, 2, 3, 4)))],
        }

    def wish(self, names: list[str], places: list[str]) -> dict[str, Any]:
        chance = self.chance
        out: dict[str, Any] = {
            "Effect": "Allow",
            "Action": chance.sample(names, k=chance.randint(1, len(names))),
            "Resource": chance.sample(places, k=chance.randint(1, len(places))),
        }
        if chance.random() < self.conditioned:
            out["Condition"] = chance.choice(self.conditions)
        return out


def drawn(seed: int) -> "list[tuple[list[Fact], Sealed | None]]":
    chance = random.Random(f"sealed {seed}")  # noqa: S311 - reproducible draws, not secrets
    world = Tasks(chance, NAMED_HEADS, MEANINGFUL, conditioned=0.5)
    tasks = [Document.parse(world.task()) for _ in range(ROUNDS)]
    wishes = [fewest(in_order(facts_of(task.statements))) for task in tasks]
    return [(wish, sealed(wish, Steps(SEALING_STEPS))) for wish in wishes]


def said(statements: "tuple[Statement, ...] | list[Statement]") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Document(tuple(statements)).text)
    return found


def escapes(one: dict[str, Any], other: dict[str, Any], **direct: tuple[str, ...]) -> bool:
    """Says whether a request goes through the first policy and not through the other, under some context."""
    keys = {key for policy in (one, other) for each in policy["Statement"] for _, key, _ in oracle.atoms(each)}
    values = {key: VALUES[key] for key in keys & set(VALUES)}
    for via in (("false",), None) if direct else (("true",), ("false",), None):
        if oracle.escape(one, other, oracle.concrete_views({**values, "aws:ViaAWSService": (via,)})):
            return True
    return False


def is_equal(form: Sealed, wish: list[Fact]) -> bool:
    """Says what `is_proven_equal` proves, as the oracle finds it."""
    granted, written = said([fact.statement for fact in wish]), said(form.statements)
    read = said(allows_of(Document(form.statements)).statements)
    anything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    named = {**written, "Statement": [anything, *(each for each in written["Statement"] if each["Effect"] == "Deny")]}
    both = [(written, granted), (granted, written), (read, granted), (granted, read)]
    return not any(escapes(*pair) for pair in both) and not escapes(named, said(form.at_most), direct=("false",))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
def test_what_is_sealed_is_equal_for_the_oracle_and_nearly_always_proven_so(seed: int, counted: Counted) -> None:
    found: Counter[str] = Counter()

    for wish, form in drawn(seed):
        if form is None:
            found["not applicable"] += 1
            continue
        proven = is_proven_equal(form, wish, Budget().opened())
        found["proven equal" if proven else "equal, not proven"] += 1
        assert is_equal(form, wish), said(form.statements)

    counted("Sealed forms against the oracle", found)
    assert found["proven equal"] >= ROUNDS * 0.4, found
    assert found["equal, not proven"] <= ROUNDS * 0.2, found


@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
def test_a_form_with_one_mistake_is_not_proven_unless_the_oracle_finds_it_equal(seed: int, counted: Counted) -> None:
    chance = random.Random(f"mistakes {seed}")  # noqa: S311 - reproducible draws, not secrets
    found: Counter[str] = Counter()

    for wish, form in drawn(seed):
        if form is None or len(form.statements) == 1:
            continue
        wrong = mistaken(form, chance)
        if not is_proven_equal(wrong, wish, Budget().opened()):
            found["refused"] += 1
        else:
            found["equal all the same"] += 1
            assert is_equal(wrong, wish), said(wrong.statements)

    counted("Sealed forms with a mistake", found)
    assert found["refused"] >= ROUNDS * 0.3, found


def mistaken(form: Sealed, chance: random.Random) -> Sealed:
    """Leaves a statement out, or one of its lists of patterns or its conditions wrong."""
    statements = list(form.statements)
    at = chance.randrange(len(statements))
    one, other = statements[at], chance.choice([each for each in statements if each != statements[at]])
    bent = chance.choice(
        (
            [],
            [Statement(one.effect, one.actions, other.resources, one.conditions, one.not_action, one.not_resource)],
            [Statement(one.effect, other.actions, one.resources, one.conditions, one.not_action, one.not_resource)],
            [Statement(one.effect, one.actions, one.resources, other.conditions, one.not_action, one.not_resource)],
            [Statement(one.effect, one.actions, one.resources[:1], (), one.not_action, one.not_resource)],
        )
    )
    kept = (*statements[:at], *bent, *statements[at + 1 :])
    is_allowing = any(each.effect is Effect.ALLOW for each in kept)
    return Sealed(kept, form.guards, form.unguarded, form.at_most) if is_allowing else form
