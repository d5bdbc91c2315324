"""Negations whose outcome depends on the engine are refused, and those that are let be mean the same on both."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.policy_bundles import NO, bundle_of
from tests.real_opa import run_opa

from remit_server.adapters.policy.bundles.bundle import read_bundle
from remit_server.adapters.policy.findings import BundleRefused
from remit_server.adapters.rego.embedded import check_bundle
from remit_server.adapters.rego.process import Program, RegoProcess
from remit_server.adapters.rego.wire import ISSUE

ROOT = Path(__file__).parents[2]
# `of` has a value for 1 alone, whatever it is; `is_one` and `known` are true for 1 alone.
FUNCTIONS = """
of(x) := input.people[x]

same(x) := x if x == "1"

is_one(x) if x == "1"

default known(_) := false

known(x) if x == "1"

names contains name if some name, _ in input.people
"""
INPUT = {"people": {"1": {"ok": True, "n": 1, "list": ["1"]}}}
# What may be undefined stands in the negation: with "2" in it OPA finds no value, the embedded engine a yes.
DIFFERING = [
    'not of("{x}").no',
    'not of("{x}")["no"]',
    'not is_one(same("{x}"))',
    'not of("{x}") == 1',
    'not 1 == of("{x}")',
    'not of("{x}").n > 1',
    'not of("{x}").n + 1 == 7',
    'not "7" in of("{x}").list',
    'not same("{x}") in ["7"]',
    'not startswith(same("{x}"), "7")',
    'not lower(same("{x}")) == "7"',
    'not count(input.people["{x}"]) == 7',
    'not input.people[same("{x}")].no',
    'not {{"a": same("{x}")}}.a == "7"',
    'not [1, same("{x}")] == [1, "7"]',
    'not data.remit.issue.same("{x}") == "7"',
    'count([1 | not same("{x}") == "7"]) == 1',
]
# What a negation may hold: the call itself, what always has a value, what got its name before, a query of its own.
ALIKE = [
    'not is_one("{x}")',
    'not same("{x}")',
    'not known("{x}") == true',
    'not lower("{x}") == "7"',
    "not count(names) == 7",
    'not count([1 | same("{x}") == "7"]) == 1',
    'not count({{1 | not is_one("{x}")}}) == 7',
    'value := same("{x}"); not value == "7"',
    'value := of("{x}"); not value.no',
    'value := same("{x}"); not lower(value) == "7"',
    'some name in names; not startswith(lower(name), "{x}")',
    "not input.people.nobody",
    'not input.people["{x}"].n == 7',
]


def rules(conditions: Sequence[str]) -> str:
    """Returns rules whose decision is which of these conditions hold; they follow it line by line."""
    answer = "decision := [number | some number, _ in numbers.range(0, 99); holds[number]]"
    lines = [f"holds[{number}] if {{ {condition} }}" for number, condition in enumerate(conditions)]
    return "\n\n".join(["package remit.issue", answer, FUNCTIONS, *lines])


def by_the_embedded_engine(text: str) -> Any:
    """Returns what the embedded engine answers, without a check."""

    async def answered() -> Any:
        worker = await RegoProcess.start(Program((("remit/issue/issue.rego", text),), "{}", 512 << 20, 60.0))
        try:
            return json.loads(await worker.ask(ISSUE, json.dumps(INPUT), seconds=30.0) or "null")
        finally:
            await worker.close()

    return asyncio.run(answered())


def by_opa(folder: Path, text: str) -> Any:
    """Returns what the real OPA answers."""
    (folder / "issue.rego").write_text(text, encoding="utf-8")
    printed = run_opa(
        *("eval", "--format", "json", "--stdin-input", "--data", "issue.rego", "data.remit.issue.decision"),
        stdin=json.dumps(INPUT),
        folder=folder,
    )
    return json.loads(printed)["result"][0]["expressions"][0]["value"]


def filled(conditions: Sequence[str], person: str) -> list[str]:
    return [condition.format(x=person) for condition in conditions]


@pytest.mark.parametrize("person", ["1", "2"])
def test_what_is_let_be_means_the_same_on_both_engines(tmp_path: Path, person: str) -> None:
    text = rules(filled(ALIKE, person))

    assert by_the_embedded_engine(text) == by_opa(tmp_path, text)


def test_what_is_refused_means_another_thing_on_each_engine(tmp_path: Path) -> None:
    text = rules(filled(DIFFERING, "2"))

    assert by_the_embedded_engine(text) == list(range(len(DIFFERING)))
    assert by_opa(tmp_path, text) == []


@pytest.mark.parametrize("condition", filled(DIFFERING, "2"))
def test_a_negated_call_that_may_be_undefined_refuses_the_bundle(tmp_path: Path, condition: str) -> None:
    text = f"package remit.issue\n\ndecision := {json.dumps(NO)}\n\nx if {{\n\t{condition}\n}}\n{FUNCTIONS}"

    with pytest.raises(BundleRefused) as refused:
        asyncio.run(check_bundle(bundle_of(tmp_path, text)))

    assert {(one.path, one.line, one.rule) for one in refused.value.findings} == {
        ("remit/issue/issue.rego", 6, "negated-call")
    }
    assert "Name the value first" in refused.value.findings[0].mend


@pytest.mark.parametrize("condition", filled(ALIKE, "2"))
def test_what_means_the_same_on_both_engines_is_let_be(tmp_path: Path, condition: str) -> None:
    text = f"package remit.issue\n\ndecision := {json.dumps(NO)}\n\nx if {{\n\t{condition}\n}}\n{FUNCTIONS}"

    assert asyncio.run(check_bundle(bundle_of(tmp_path, text))) == ()


@pytest.mark.parametrize("name", ["policies", "examples/policies/agent-fleet", "examples/policies/gitlab-gitpod"])
def test_no_policy_of_this_repository_decides_by_a_negated_call(name: str) -> None:
    assert asyncio.run(check_bundle(read_bundle(ROOT / name))) == ()
