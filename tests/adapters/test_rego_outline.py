"""Rules are told apart by what they say: no comment and no layout, but every word of them."""

import json
import re
from pathlib import Path

import pytest
import regorus  # the engine itself: the outline reads its syntax tree
from tests.policy_bundles import DEFAULT_POLICIES, bundle_of

from remit_server.adapters.policy.bundles.bundle import read_bundle
from remit_server.adapters.policy.findings import BundleRefused
from remit_server.adapters.rego.outline import MAX_LITERALS, outline
from remit_server.adapters.rego.outlining import outlined

RULES = """package remit.issue

import data.remit.lib.groups as teams

default allow := false

allow if {
	some name, value in input.labels
	some other
	other = {"a": 1.50, "b": `raw`, "c": [true, null, {1, 2}]}
	not teams.lead(value) with input.groups as {"q": "s"}
	every part in [1, 2] { part > -1 }
	count({one | one := input.list[_]}) != 3
} else := 5 if input.late

lead(who, _) := found if found := who | {1}

reasons contains "no" if not allow

limits.hours[day] := 3 if day := "Monday"
"""


def digests(text: str) -> list[str]:
    return [digest for _, _, digest in outline(trees(text))["rules"]]


def trees(text: str) -> list[dict[str, object]]:
    engine = regorus.Engine()
    engine.add_policy("issue.rego", text)
    found: list[dict[str, object]] = json.loads(engine.get_ast_as_json())
    return found


# What stands for itself in the text above, and what can stand there instead.
CHANGES = [
    ("remit.issue", "remit.other"),
    ("lib.groups", "lib.others"),
    ("as teams", "as gangs"),
    ("default allow := false", "default allow := true"),
    ("some name, value", "some label, value"),
    ("in input.labels", "in input.claims"),
    ("\tsome other\n", "\tsome others\n"),
    ('"a": 1.50', '"a": 1.51'),
    ('"a": 1.50', '"z": 1.50'),
    ("`raw`", "`law`"),
    ("true, null", "false, null"),
    ("null, {1", "7, {1"),
    ("{1, 2}", "{1, 3}"),
    ("not teams.lead", "teams.lead"),
    (" with input.groups as", " with input.teams as"),
    ('{"q": "s"}', '{"q": "t"}'),
    ("every part in [1, 2] { part", "every bit in [1, 2] { bit"),
    ("part > -1", "part >= -1"),
    ("part > -1", "part > -2"),
    ("count(", "sum("),
    (":= input.list[_]", "= input.list[_]"),
    (":= input.list[_]", ":= input.list[0]"),
    ("!= 3", "== 3"),
    ("else := 5", "else := 6"),
    ("if input.late", "if input.soon"),
    ("lead(who, _) := found if found := who |", "lead(who, _) := found if found := who &"),
    ("lead(who, _)", "lead(_, who)"),
    ('contains "no"', 'contains "on"'),
    ('reasons contains "no"', 'reasons := "no"'),
    ("limits.hours[day]", "limits.times[day]"),
    ("[day] := 3", "[day] := 4"),
    ('if day := "Monday"', 'if day := "Sunday"'),
    ("9007199254740993", "9007199254740992"),
]


@pytest.mark.parametrize(("old", "new"), CHANGES)
def test_every_word_counts(old: str, new: str) -> None:
    text = RULES if old in RULES else RULES.replace("!= 3", f"!= {old}")
    assert text.count(old) >= 1

    assert digests(text.replace(old, new, 1)) != digests(text)


def test_comments_and_layout_do_not() -> None:
    other = re.sub(r"\n", "\n# a word\n\n", RULES).replace("\t", "    ").replace(" := ", "  :=  ")

    assert digests(other) == digests(RULES)


def test_another_file_is_no_other_rule() -> None:
    engine = regorus.Engine()
    engine.add_policy("elsewhere.rego", RULES)

    moved = outline(json.loads(engine.get_ast_as_json()))["rules"]

    assert [(path, digest) for path, _, digest in moved] == [
        (path, digest) for path, _, digest in outline(trees(RULES))["rules"]
    ]


def test_texts_and_what_is_read_are_listed() -> None:
    found = outline(trees(RULES))

    assert set(found["literals"]) == {"a", "b", "c", "raw", "q", "s", "no", "Monday"}
    assert set(found["reads"]) == {"input.labels", "input.groups", "input.list", "input.late"}


def test_texts_past_the_bound_are_counted() -> None:
    many = ", ".join(f'"text{number}"' for number in range(MAX_LITERALS + 7))

    found = outline(trees(f"package remit.x\n\nall := {{\n{many.replace(', ', ',' + chr(10))}\n}}\n"))

    assert (len(found["literals"]), found["literals_left_out"]) == (MAX_LITERALS, 7)


async def test_a_bundles_rules_are_outlined_in_a_worker_and_its_tests_are_not() -> None:
    bundle = read_bundle(DEFAULT_POLICIES, stamped=False)

    found = await outlined(bundle)

    assert {file for _, file, _ in found.digests} == {path for path, _ in bundle.rules}
    assert "arn:aws:s3:::production" not in found.literals  # that is data
    assert {"production_delete", "08:00"} & set(found.literals) == {"production_delete"}


async def test_rules_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    broken = bundle_of(tmp_path, "package remit.issue\n\ndecision := {\n")

    with pytest.raises(BundleRefused, match="not Rego"):
        await outlined(broken)
