"""What the algebra answers to a hundred kept pairs of policies, whole, with the steps it takes to.

A reader sees these answers in refusals and records, and a replay must come to them again: a change is a decision. With
REMIT_REGENERATE_GOLDEN=1 they are written anew.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, assert_never

import pytest

from remit_server.iam import Budget, Counterexample, Document, Undecided, Witness, contains

FILE = Path(__file__).parent / "iam_answers.jsonl"
KEPT: list[dict[str, Any]] = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]


def answered(pair: dict[str, Any]) -> dict[str, Any]:
    issued, ceiling = (Document.parse(pair[side], authored=True) for side in ("issued", "ceiling"))
    purse = Budget().opened()
    match contains(issued, ceiling, budget=purse):
        case Witness(covers=covers):
            found: Any = [[each.statement, each.action, each.resource, list(each.covered_by)] for each in covers]
        case Counterexample() as escape:
            found = {**asdict(escape), "context": dict(escape.context)}
        case Undecided() as undecided:
            found = undecided.reason
        case unknown:
            assert_never(unknown)
    return {"answer": found, "steps": [purse.comparisons.spent, purse.states.spent, purse.evaluations.spent]}


@pytest.mark.parametrize("number", range(len(KEPT)))
def test_a_kept_pair_is_answered_as_before(number: int) -> None:
    pair = KEPT[number]

    found = answered(pair)

    if os.environ.get("REMIT_REGENERATE_GOLDEN") == "1":
        KEPT[number] = {"issued": pair["issued"], "ceiling": pair["ceiling"], **found}
        FILE.write_text("".join(f"{json.dumps(each, separators=(',', ':'))}\n" for each in KEPT), encoding="utf-8")
    else:
        assert found == {"answer": pair["answer"], "steps": pair["steps"]}


def test_the_kept_pairs_show_every_kind_of_answer() -> None:
    kinds = {type(each["answer"]) for each in KEPT}

    assert kinds == {list, dict, str}
    assert len(KEPT) >= 100
