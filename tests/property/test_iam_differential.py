"""The algebra against the slow oracle on ten thousand random pairs of policies; the same ones on every run.

The summary of the run says how they were decided. `make nightly` takes a hundred thousand others.
`REMIT_DIFFERENTIAL_ROUNDS` says how many, `REMIT_DIFFERENTIAL_SEED` which.
"""

import json
import os
import random
from collections import Counter
from itertools import product
from typing import Any

import pytest
from tests.figures import Counted
from tests.property import iam_oracle as oracle
from tests.property.differential import WRONG_CHECKERS, Checker, Disagreement, features, judged, kinds
from tests.property.iam_world import (
    EVALUATED,
    MEANINGFUL,
    NAMED_HEADS,
    OPEN_HEADS,
    VALUES,
    World,
    pair,
    values_of,
)

from remit_server.iam import Document, Witness, compact, contains, narrow

SEEDS = 8
FIRST = int(os.environ.get("REMIT_DIFFERENTIAL_SEED", "0"))
ROUNDS = int(os.environ.get("REMIT_DIFFERENTIAL_ROUNDS", "10000")) // SEEDS
ALL_SEEDS = range(FIRST, FIRST + SEEDS)
MOST_UNDECIDED = 0.01
MOST_PAIRS_TO_FIND_IT = 3_000


@pytest.mark.parametrize("seed", ALL_SEEDS)
def test_the_checker_and_the_oracle_never_disagree(seed: int, counted: Counted) -> None:
    chance = random.Random(seed)  # noqa: S311 - reproducible draws, not secrets
    rounds = ROUNDS * 7 // 10
    found: Counter[str] = Counter()

    verdicts = Counter(judged(*drawn(World(chance, NAMED_HEADS), found)) for _ in range(rounds))

    counted("Containment against the oracle", verdicts)
    counted("Containment against the oracle, pairs with", found)
    # a differential test that decides little, or always the same, proves little
    assert kinds(verdicts)["yes"] >= rounds * 0.1, verdicts
    assert kinds(verdicts)["no"] >= rounds * 0.2, verdicts
    assert all(found[each] >= rounds * 0.2 for each in ("NotAction", "NotResource", "Condition", "Deny")), found
    # the exact path is complete: what it leaves open, it leaves open for want of budget
    assert all("more than" in verdict for verdict in verdicts if verdict.startswith("undecided")), verdicts
    assert kinds(verdicts)["undecided"] <= rounds * MOST_UNDECIDED, verdicts
    assert sum(verdicts[each] for each in verdicts if "independent" in each) <= rounds * MOST_UNDECIDED, verdicts


def drawn(world: World, found: Counter[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Draws a pair of policies and counts what is in it."""
    both = pair(world)
    found.update(features(*both))
    return both


@pytest.mark.parametrize("mistake", WRONG_CHECKERS)
def test_the_oracle_finds_a_wrong_checker(mistake: str, counted: Counted) -> None:
    chance = random.Random(FIRST)  # noqa: S311 - reproducible draws, not secrets
    pairs = (pair(World(chance, NAMED_HEADS)) for _ in range(MOST_PAIRS_TO_FIND_IT))

    taken = next(at for at, both in enumerate(pairs, 1) if is_refuted(WRONG_CHECKERS[mistake], *both))

    counted("Wrong checkers, and the pairs it took to find them", {f'for "{mistake}"': taken})


def is_refuted(checker: Checker, issued: dict[str, Any], ceiling: dict[str, Any]) -> bool:
    try:
        judged(issued, ceiling, checker)
    except Disagreement:
        return True
    return False


def test_both_ways_in_which_the_oracle_looks_agree() -> None:
    chance = random.Random(FIRST)  # noqa: S311 - reproducible draws, not secrets
    escapes = 0

    for _ in range(200):
        issued, ceiling = pair(World(chance, NAMED_HEADS, conditioned=0))
        (holds,) = oracle.opaque_views(issued, ceiling)
        found = oracle.escape(issued, ceiling, [holds])
        escapes += found is not None
        asked = found or (chance.choice(oracle.ACTIONS), chance.choice(oracle.RESOURCES))
        escaping = oracle.allows(issued, *asked, holds) and not oracle.allows(ceiling, *asked, holds)
        assert escaping == (found is not None), (issued, ceiling, asked)

    assert 0.2 * 200 <= escapes <= 0.8 * 200


@pytest.mark.parametrize("seed", ALL_SEEDS)
def test_open_regions_and_accounts_are_decided_too_or_left_open_for_how_aws_reads_them(
    seed: int, counted: Counted
) -> None:
    chance = random.Random(seed)  # noqa: S311 - reproducible draws, not secrets
    rounds = ROUNDS * 3 // 10

    verdicts = Counter(judged(*pair(World(chance, NAMED_HEADS + OPEN_HEADS))) for _ in range(rounds))

    counted("Containment against the oracle, open regions and accounts", verdicts)
    open_ended = {each for each in verdicts if each.startswith("undecided")}
    assert all("more than" in each or "leaves open" in each for each in open_ended), verdicts
    assert sum(verdicts[each] for each in open_ended) <= rounds * 0.2, verdicts


@pytest.mark.parametrize("seed", ALL_SEEDS)
def test_narrowing_is_inside_both_sides_whatever_the_conditions_say(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - reproducible draws, not secrets
    kept = 0

    for _ in range(ROUNDS // 10):
        intent, ceiling = pair(World(chance, NAMED_HEADS[:2], EVALUATED, conditioned=0.5))
        inside = narrow(Document.parse(intent), Document.parse(ceiling))
        if not inside.is_empty:
            kept += 1
            narrowed = plain(inside)
            views = list(oracle.concrete_views(values_of(intent, ceiling)))
            assert oracle.escape(narrowed, intent, views) is None, (intent, ceiling, narrowed)
            assert oracle.escape(narrowed, ceiling, views) is None, (intent, ceiling, narrowed)

    assert kept >= ROUNDS // 10 * 0.1


@pytest.mark.parametrize("seed", ALL_SEEDS)
def test_narrowing_plain_allows_loses_nothing_that_conditions_can_say(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - reproducible draws, not secrets
    kept = 0

    for _ in range(ROUNDS // 10):
        intent, ceiling = (plainly(World(chance, NAMED_HEADS[:2], EVALUATED, conditioned=0.5)) for _ in range(2))
        inside = narrow(Document.parse(intent), Document.parse(ceiling))
        kept += not inside.is_empty
        narrowed = plain(inside) if not inside.is_empty else {"Statement": []}
        both = list(oracle.concrete_views(values_of(intent, ceiling)))
        assert oracle.outside(intent, ceiling, narrowed, both) is None, (intent, ceiling, narrowed)

    assert kept >= ROUNDS // 10 * 0.1


@pytest.mark.parametrize("seed", ALL_SEEDS)
def test_compaction_keeps_the_language(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - reproducible draws, not secrets
    shorter = 0

    for _ in range(ROUNDS // 10):
        policy = World(chance, NAMED_HEADS[:2], EVALUATED, conditioned=0.4).policy()
        compacted = compact(Document.parse(policy))
        shorter += compacted.size < len(Document.parse(policy).text)
        views = list(oracle.concrete_views(values_of(policy)))
        assert oracle.escape(plain(compacted.document), policy, views) is None, (policy, compacted.text)
        assert oracle.escape(policy, plain(compacted.document), views) is None, (policy, compacted.text)

    assert shorter >= ROUNDS // 10 * 0.05


def plain(document: Document) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(document.text)
    return found


def plainly(world: World) -> dict[str, Any]:
    """Draws a policy of Allows that name their actions and resources."""
    statements = [world.statement(denies=0) for _ in range(world.few())]
    for each in statements:
        for element in ("Action", "Resource"):
            each[element] = each.pop(f"Not{element}", None) or each[element]
    return {"Version": "2012-10-17", "Statement": statements}


@pytest.mark.parametrize("seed", ALL_SEEDS)
def test_no_witness_is_wrong_when_conditions_are_evaluated(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - reproducible draws, not secrets
    witnesses = conditioned = 0

    for _ in range(ROUNDS // 20):
        issued, ceiling = pair(World(chance, NAMED_HEADS[:1], MEANINGFUL, conditioned=0.6))
        if isinstance(contains(Document.parse(issued), Document.parse(ceiling)), Witness):
            witnesses += 1
            conditioned += any("Condition" in each for each in ceiling["Statement"])
            assert oracle.escape(issued, ceiling, oracle.concrete_views(VALUES)) is None, (issued, ceiling)

    assert witnesses >= ROUNDS // 20 * 0.1
    assert conditioned >= ROUNDS // 20 * 0.05


@pytest.mark.parametrize("seed", ALL_SEEDS)
def test_no_witness_rests_on_a_wrong_implication_between_conditions(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - reproducible draws, not secrets
    views = list(oracle.concrete_views(VALUES))
    witnesses = 0

    for _ in range(ROUNDS // 5):
        # one resource throughout, so that the conditions decide
        issued, ceiling = conditioned_policy(chance), conditioned_policy(chance)
        if isinstance(contains(Document.parse(issued), Document.parse(ceiling)), Witness):
            witnesses += 1
            for action, holds in product(("s3:a", "s3:b"), views):
                if oracle.allows(issued, action, "arn:aws:s3:::a", holds):
                    assert oracle.allows(ceiling, action, "arn:aws:s3:::a", holds), (issued, ceiling)

    assert witnesses >= ROUNDS // 5 * 0.02


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
