"""The lists of mutants fit the code of today, and forty of the mutants are made and noticed in every run."""

import ast
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from tests.mutation.__main__ import MODULES
from tests.mutation.accounted import NOTICED, PACKAGE, SURVIVORS, entries, name_of
from tests.mutation.changing import all_of
from tests.mutation.operators import mutants_of

ROOT = Path(__file__).resolve().parents[2]
TODAY = {name_of(mutant) for module in MODULES for mutant in all_of(f"{PACKAGE}{module}")[1]}


@pytest.mark.parametrize("page", [SURVIVORS, NOTICED], ids=lambda page: page.stem)
def test_every_mutant_on_a_page_can_be_made_of_todays_code(page: Path) -> None:
    listed = [entry.name for entry in entries(page)]

    stale = [name for name in listed if name not in TODAY]

    assert listed
    assert stale == [], (
        "these statements have changed: run `make mutate`, and say anew why it survives or what notices it"
    )
    assert [name for name, count in Counter(listed).items() if count > 1] == []


def test_every_survivor_stands_under_a_reason() -> None:
    assert [entry.name for entry in entries(SURVIVORS) if len(entry.heading.split()) < 8] == []


def test_the_noted_mutants_are_noticed_by_their_tests() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.mutation", "--noticed"],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("40 of 40 mutants noticed by their tests\n")


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("if a < b: pass", "if a < b: -> if a <= b:"),
        ("x = a and b", "x = a and b -> x = a"),
        ("x = not a", "x = not a -> x = a"),
        ("x = any(a)", "x = any(a) -> x = all(a)"),
        ("x = one.includes(other)", "x = one.includes(other) -> x = one.overlaps(other)"),
        ("x = a & b", "x = a & b -> x = a | b"),
        ("x = 1", "x = 1 -> x = 2"),
        ("x = [a for a in b if a]", "x = [a for a in b if a] -> x = [a for a in b if True]"),
        ("take(1)", "take(1) -> pass"),
    ],
)
def test_a_mistake_of_each_kind_is_made(code: str, change: str) -> None:
    body = f"def f() -> bool:\n    {code}\n"

    assert change in {mutant.change for mutant in mutants_of("m", ast.parse(body))}


def test_an_answer_is_turned_both_ways() -> None:
    made = mutants_of("m", ast.parse("def f(a: int) -> bool:\n    return a > g()\n"))

    assert {"return a > g() -> return True", "return a > g() -> return False"} <= {mutant.change for mutant in made}
