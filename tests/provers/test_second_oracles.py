"""The algebra against two provers that know nothing of it: greenery on patterns, z3 on small documents as a whole.

What a prover leaves open is counted and shown, never left out. REMIT_PROVER_CASES says how many documents, the others
go with it; REMIT_DIFFERENTIAL_SEED says which.
"""

import json
import os
import random
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.figures import Counted
from tests.property.differential import WRONG_CHECKERS
from tests.property.iam_world import NAMED_HEADS, World, pair

from remit_server.iam import Counterexample, Document, Pattern, Undecided, Witness, contains

PYTHON = Path(__file__).parents[2] / ".venv-tools-provers" / "bin" / "python"
ANSWERING = Path(__file__).with_name("answering.py")
SEED = int(os.environ.get("REMIT_DIFFERENTIAL_SEED", "0"))
CASES = int(os.environ.get("REMIT_PROVER_CASES", "300"))
MOST_OPEN = 0.05
MOST_PAIRS_TO_FIND_IT = 1_000
# Conditions that say nothing about each other: z3 takes each as true or false on its own.
INDEPENDENT: tuple[dict[str, Any], ...] = (
    {"StringEquals": {"aws:x": "1"}},
    {"StringLike": {"aws:y": "a*"}},
    {"Bool": {"aws:z": "true"}, "StringEquals": {"aws:x": "1"}},
)
HEAD = "arn:aws:s3:::"
Ask = Callable[[Mapping[str, Any]], dict[str, Any]]

pytestmark = [
    pytest.mark.skipif(os.environ.get("REMIT_EXTENDED") != "1", reason="part of make nightly: z3 is a large install"),
    pytest.mark.timeout(1200),
]


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """Puts one question after the other to the provers, in their own environment."""
    if not PYTHON.exists():
        if os.environ.get("REMIT_REQUIRE_REAL") == "1":
            pytest.fail("no greenery and z3: make .venv-tools-provers/.ready")
        pytest.skip("no greenery and z3: make .venv-tools-provers/.ready")
    with subprocess.Popen([PYTHON, ANSWERING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as provers:  # noqa: S603
        questions, answers = provers.stdin, provers.stdout
        assert questions is not None
        assert answers is not None

        def asked(question: Mapping[str, Any]) -> dict[str, Any]:
            questions.write(json.dumps(question) + "\n")
            questions.flush()
            found: dict[str, Any] = json.loads(answers.readline())
            return found

        yield asked
        questions.close()


def drawn(chance: random.Random, letters: str, longest: int) -> str:
    return "".join(chance.choices(letters, k=chance.randint(1, longest)))


def bent(chance: random.Random, text: str) -> str:
    """Puts a wildcard for up to two letters."""
    at = chance.randrange(len(text))
    return text[:at] + chance.choice("*?") + text[at + chance.randint(1, 2) :]


def test_greenery_agrees_on_inclusion_overlap_and_intersection_of_patterns(ask: Ask, counted: Counted) -> None:
    chance = random.Random(SEED)  # noqa: S311 - reproducible draws, not secrets
    found: Counter[str] = Counter()

    for _ in range(3 * CASES):
        right = drawn(chance, "aab.*?*", 9)
        left = bent(chance, right) if chance.random() < 0.5 else drawn(chance, "aab.*?*", 9)
        one, other = Pattern(left), Pattern(right)
        common = [each.text for each in one.intersect(other)]
        answer = ask({"kind": "patterns", "left": left, "right": right, "common": common})
        assert answer["overlaps"] is one.overlaps(other), (left, right)
        assert answer["is_common"], (left, right, common)
        assert answer["includes"] or not one.includes(other), (left, right)
        missed = answer["includes"] and not one.includes(other)
        found["included, and not seen" if missed else "included" if answer["includes"] else "not included"] += 1

    counted("Patterns against greenery", found)
    assert found["included"] >= CASES * 0.1
    assert found["included, and not seen"] == 0


def test_greenery_agrees_on_the_resources_that_rules_leave(ask: Ask, counted: Counted) -> None:
    chance = random.Random(SEED)  # noqa: S311 - reproducible draws, not secrets
    found: Counter[str] = Counter()

    for _ in range(CASES):
        issued, ceiling = rules(chance, 2), rules(chance, 4)
        elsewhere = left_elsewhere(issued) and not left_elsewhere(ceiling)
        answer = ask({"kind": "names", "issued": issued, "ceiling": ceiling})
        found[verdict(about_resources(issued), about_resources(ceiling), answer["contained"] and not elsewhere)] += 1

    counted("Resources against greenery", found)
    assert min(found["yes"], found["no"]) >= CASES * 0.05
    assert found.total() - found["yes"] - found["no"] <= CASES * MOST_OPEN


def rules(chance: random.Random, most: int) -> list[dict[str, Any]]:
    return [
        {
            "effect": "Deny" if at and chance.random() < 0.3 else "Allow",
            "negated": chance.random() < 0.2,
            "names": sorted({drawn(chance, "ab*?*", 5) for _ in range(chance.randint(1, 2))}),
        }
        for at in range(chance.randint(1, most))
    ]


def about_resources(rules: list[dict[str, Any]]) -> Document:
    """The rules as a policy on one action; only NotResource reaches what is no object of S3."""
    statements = [
        {
            "Effect": rule["effect"],
            "Action": "s3:a",
            "NotResource" if rule["negated"] else "Resource": [HEAD + name for name in rule["names"]],
        }
        for rule in rules
    ]
    return Document.parse({"Version": "2012-10-17", "Statement": statements})


def left_elsewhere(rules: list[dict[str, Any]]) -> bool:
    return {rule["effect"] for rule in rules if rule["negated"]} == {"Allow"}


def verdict(issued: Document, ceiling: Document, is_contained: bool) -> str:
    match contains(issued, ceiling):
        case Witness():
            assert is_contained, (issued.text, ceiling.text)
            return "yes"
        case Counterexample():
            assert not is_contained, (issued.text, ceiling.text)
            return "no"
        case Undecided():
            return f"undecided, and {'contained' if is_contained else 'not contained'}"


def test_z3_agrees_on_small_documents(ask: Ask, counted: Counted) -> None:
    chance = random.Random(SEED)  # noqa: S311 - reproducible draws, not secrets
    found: Counter[str] = Counter()

    for _ in range(CASES):
        issued, ceiling = pair(World(chance, NAMED_HEADS, INDEPENDENT))
        answer = ask({"kind": "documents", "issued": issued, "ceiling": ceiling})
        if answer["escapes"] is None:
            mine = type(contains(Document.parse(issued), Document.parse(ceiling))).__name__
            found[f"unknown to z3 ({answer['reason']}), a {mine} here"] += 1
        else:
            found[verdict(Document.parse(issued), Document.parse(ceiling), not answer["escapes"])] += 1

    counted("Documents against z3", found)
    assert min(found["yes"], found["no"]) >= CASES * 0.1
    assert found.total() - found["yes"] - found["no"] <= CASES * MOST_OPEN


@pytest.mark.parametrize("mistake", ["it forgets the ceiling's Denies", "it reads NotResource as Resource *"])
def test_z3_finds_a_wrong_checker(ask: Ask, counted: Counted, mistake: str) -> None:
    chance = random.Random(SEED)  # noqa: S311 - reproducible draws, not secrets
    pairs = (pair(World(chance, NAMED_HEADS, INDEPENDENT)) for _ in range(MOST_PAIRS_TO_FIND_IT))
    wrong = WRONG_CHECKERS[mistake]

    taken = ((at, *both) for at, both in enumerate(pairs, 1) if isinstance(wrong(*map(Document.parse, both)), Witness))
    asked = ((at, ask({"kind": "documents", "issued": one, "ceiling": other})) for at, one, other in taken)
    found = next(at for at, answer in asked if answer["escapes"])

    counted("Wrong checkers, and the pairs it took z3 to find them", {f'for "{mistake}"': found})
