"""Which mistakes are made, which of them tests notice, and that judging them ends, whatever they are."""

import json
import re
from pathlib import Path

import pytest
from tests.policy_bundles import DEFAULT_POLICIES, ENTITLEMENT, written
from typer.testing import CliRunner, Result

from remit_server.adapters.policy.bundles.bundle import Bundle, read_bundle
from remit_server.adapters.policy.bundles.bundle_files import read_files
from remit_server.adapters.rego.mutating.catalogue import catalogue_mutants, mutated, place_of, places_of
from remit_server.adapters.rego.mutating.judging import Effort, Fate, Mutant, judge_tests
from remit_server.adapters.rego.suite.running import ready_suite, suite_program
from remit_server.cli.policy import app

RULES = """package remit.issue

# Two rules below say why not.

decision := {"allow": true, "entitlements": [], "reasons": []} if count(reasons) == 0

decision := {"allow": false, "entitlements": [], "reasons": [one | some one in reasons]} if count(reasons) > 0

reasons contains {"code": "late", "message": "Too late.", "remedy": "GIVE_UP"} if input.hour >= 18

reasons contains {"code": "stranger", "message": "Not you.", "remedy": "GIVE_UP"} if not known

known if {
	every group in input.groups {
		group != "guests"
	}
	input.kind == "person"
}
"""
TESTS = """package remit.issue_test

import data.remit.issue

asked(hour, kind, groups) := x if {
	x := issue.decision with input as {"hour": hour, "kind": kind, "groups": groups}
}

test_allowed if asked(9, "person", ["staff"]).allow

test_late if not asked(19, "person", ["staff"]).allow

test_guests if not asked(9, "person", ["guests"]).allow
"""
ENTRY = {
    "description": "Reads",
    "actors": ["spiffe://example/a"],
    "role_arn": ENTITLEMENT["role_arn"],
    "permissions": ENTITLEMENT["permissions"],
    "max_credential_seconds": 900,
    "max_task_seconds": 900,
    "task_labels": {"a": "b"},
}


def bundle_of(folder: Path, rules: str = RULES, tests: str = TESTS) -> Bundle:
    files = {"remit/issue/issue.rego": rules, "remit/issue/issue_test.rego": tests}
    return read_bundle(written(folder, files))


async def judged(bundle: Bundle, **effort: float) -> tuple[Mutant, ...]:
    return (await judge_tests(bundle, {}, Effort(**effort))).mutants  # type: ignore[arg-type]


def mutate(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["mutate", "--bundle", str(folder), *options])


async def test_what_no_test_would_miss_is_named_with_what_it_would_do(tmp_path: Path) -> None:
    found = await judge_tests(bundle_of(tmp_path), {}, Effort())

    assert [(one.line, one.effect, one.what) for one in found.survivors] == [
        (9, "widens", "changed >= to > in input.hour >= 18"),
        (14, "widens", 'changed every to some in every group in input.groups { group != "guests" }'),
        (17, "widens", 'dropped input.kind == "person"'),
    ]


async def test_better_tests_notice_them(tmp_path: Path) -> None:
    better = """
test_a_workload if not asked(9, "workload", ["staff"]).allow

test_a_guest_among_staff if not asked(9, "person", ["staff", "guests"]).allow

test_at_six if asked(18, "person", ["staff"]).allow == false
"""

    found = await judge_tests(bundle_of(tmp_path, tests=TESTS + better), {}, Effort())

    assert (found.survivors, found.score) == ((), 100.0)


async def test_every_kind_of_mistake_in_rules_is_made(tmp_path: Path) -> None:
    whats = {one.what for one in await judged(bundle_of(tmp_path))}

    assert whats >= {
        "let reasons never hold",
        "let known never hold",
        "dropped count(reasons) == 0",
        "changed == to != in count(reasons) == 0",
        "changed > to >= in count(reasons) > 0",
        "took the not away from not known",
        'dropped group != "guests"',
        'changed "guests" in group != "guests"',
        'changed "person" in input.kind == "person"',
        'changed every to some in every group in input.groups { group != "guests" }',
    }
    assert any(what.startswith('changed true in decision := {"allow": true') for what in whats)


async def test_the_same_comes_out_however_many_work(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path)

    assert await judged(bundle, jobs=1) == await judged(bundle, jobs=3)


async def test_a_mistake_that_hangs_is_noticed_and_the_others_are_judged(tmp_path: Path) -> None:
    loop = "count([1 | some a in numbers.range(1, 100000); some b in numbers.range(1, 100000); a + b == 0]) == 0"
    rules = RULES.replace("\tinput.kind ==", f"\tcount([1 | input.slow; {loop}]) == 0\n\tinput.kind ==")

    found = await judged(bundle_of(tmp_path, rules))

    hung = [one for one in found if one.what == "dropped input.slow"]
    assert [one.fate for one in hung] == [Fate.KILLED]
    assert "no answer within" in hung[0].killer
    assert sum(one.killer.startswith("data.remit.issue_test.") for one in found) > 10


async def test_no_more_mistakes_are_made_than_may_be(tmp_path: Path) -> None:
    found = await judge_tests(bundle_of(tmp_path), {}, Effort(most=3))

    everything = await judge_tests(bundle_of(tmp_path), {}, Effort())
    assert found.mutants == everything.mutants[:3]
    assert found.left_out == len(everything.mutants) - 3


@pytest.mark.parametrize(("size", "left_out"), [(1, False), (9 << 20, True)])
def test_a_catalogue_too_large_to_be_changed_is_left_out_and_the_last_line_says_so(
    tmp_path: Path, size: int, left_out: bool
) -> None:
    catalogue = {"roles": [ENTRY["role_arn"]], "by_group": {"staff": ["one"]}, "entitlements": {"one": ENTRY}}
    files = {
        "remit/issue/issue.rego": RULES,
        "remit/issue/issue_test.rego": TESTS,
        "remit/catalog/entitlements/data.json": json.dumps(catalogue),
        "remit/more/data.json": json.dumps({"text": "x" * size}),
    }
    folder = written(tmp_path, files)

    text, told = mutate(folder), mutate(folder, "--format", "json")

    last = text.output.splitlines()[-1]
    assert last.endswith("the catalogue is too large to be changed, and was left out") == left_out
    report = json.loads(told.output)
    assert report["catalogue_left_out"] == left_out
    assert any("entitlements" in one["file"] for one in report["mutants"]) != left_out


async def test_few_mistakes_in_the_default_rules_are_no_rego_at_all() -> None:
    bundle = read_bundle(DEFAULT_POLICIES, stamped=False)

    found = await judge_tests(bundle, {}, Effort(jobs=2))

    # Dropping what gives a variable its value is the one mistake that no engine takes.
    invalid = {one.what.split(" ")[1] for one in found.mutants if one.fate is Fate.INVALID}
    assert invalid <= {"some"}
    assert found.score >= 95.0
    assert len(found.mutants) >= 200


async def test_it_is_told_whether_a_mistake_in_a_rule_widens(tmp_path: Path) -> None:
    async with ready_suite(suite_program(bundle_of(tmp_path)), 5.0, mutants=1_000) as suite:
        effects = {(line, what): effect for _, line, what, effect, *_ in suite.mutants}

    assert effects[(5, "dropped count(reasons) == 0")] == "widens"
    assert effects[(7, "dropped count(reasons) > 0")] == "narrows"
    assert effects[(9, "let reasons never hold")] == "widens"
    assert effects[(9, "dropped input.hour >= 18")] == "narrows"
    assert effects[(13, "let known never hold")] == "narrows"
    assert effects[(17, 'dropped input.kind == "person"')] == "widens"
    assert effects[(17, 'changed == to != in input.kind == "person"')] == "may widen"


async def test_a_rule_that_no_decision_needs_is_told_apart(tmp_path: Path) -> None:
    rules = RULES + "\nunused if input.x == 1\n"

    found = await judge_tests(bundle_of(tmp_path, rules), {}, Effort())

    assert {one.effect for one in found.survivors if one.line == 20} == {"reaches no decision"}


def test_every_mistake_in_the_catalogue_gives_more_away() -> None:
    entry = ENTRY | {
        "issuers": ["https://a.test"],
        "approval": {"groups": ["x"]},
        "hours": {},
        "bind": {"vpc_ids": ["v"]},
    }
    tree = {
        "remit": {
            "catalog": {
                "entitlements": {
                    "by_group": {"staff": ["reader"], "others": []},
                    "entitlements": {"reader": entry | {"hours": {"days": ["Monday"]}}},
                },
                "administration": {"by_group": {"staff": [{"may": ["A.B"], "visible": "own", "issuers": ["i"]}]}},
            }
        }
    }
    before = json.dumps(tree)

    made = {one.what: mutated(tree, one)["remit"]["catalog"] for one in catalogue_mutants(tree)}

    entries = {what: after["entitlements"]["entitlements"]["reader"] for what, after in made.items()}
    for limit in ("issuers", "hours", "task_labels", "approval", "bind"):
        assert limit not in entries[f"reader: dropped {limit}"]
    assert entries['reader: widened actors to "**"']["actors"] == ["**"]
    assert entries["reader: doubled max_task_seconds"]["max_task_seconds"] == 1800
    assert entries["reader: set offline_renewal"]["offline_renewal"] is True
    assert entries["reader: widened s3:GetObject to s3:*"]["permissions"][0]["actions"] == ["s3:*"]
    widened = "reader: widened arn:aws:s3:::reports/* to arn:aws:s3:::*"
    assert entries[widened]["permissions"][0]["resources"] == ["arn:aws:s3:::*"]
    assert made["reader: added to every group"]["entitlements"]["by_group"]["others"] == ["reader"]
    assert made["staff: made everything visible"]["administration"]["by_group"]["staff"][0]["visible"] == "all"
    assert "issuers" not in made["staff: dropped issuers"]["administration"]["by_group"]["staff"][0]
    assert json.dumps(tree) == before


def test_a_mistake_in_the_catalogue_is_placed_where_it_stands() -> None:
    files = read_files(DEFAULT_POLICIES)
    tree = json.loads(read_bundle(DEFAULT_POLICIES, stamped=False).data_json)
    places = places_of(files)

    for one in catalogue_mutants(tree):
        path, line = place_of(one, places)
        above = files[path].decode().splitlines()[:line]
        names = [text.strip() for text in above if re.fullmatch(r" {2}\S+:", text)]
        assert above[-1] == "by_group:" if one.at[-1] == "by_group" else names[-1] == f"{one.entitlement or 'staff'}:"


async def test_a_catalogue_that_no_test_looks_at_is_told(tmp_path: Path) -> None:
    catalogue = {
        "roles": [ENTRY["role_arn"]],
        "by_group": {"staff": ["reader"]},
        "entitlements": {"reader": ENTRY},
    }
    written(tmp_path, {"remit/catalog/entitlements/data.json": json.dumps(catalogue)})
    bundle = bundle_of(tmp_path)

    found = await judge_tests(bundle, {}, Effort())

    assert "reader to every agent" in {one.widening for one in found.survivors}


def test_the_command_tells_survivors_score_and_ends_with_1_below_the_threshold(tmp_path: Path) -> None:
    bundle_of(tmp_path)

    enough, below = mutate(tmp_path, "--threshold", "80"), mutate(tmp_path, "--threshold", "99.9")

    assert (enough.exit_code, below.exit_code) == (0, 1)
    lines = enough.output.splitlines()
    assert lines[2] == 'remit/issue/issue.rego:17: widens: dropped input.kind == "person", and no test would miss it'
    assert lines[-1].endswith("3 survived (3 widens)")
    assert "and 99.9 % must be" in below.stderr


def test_as_json_every_mutant_has_its_fate_and_its_killer(tmp_path: Path) -> None:
    bundle_of(tmp_path)

    report = json.loads(mutate(tmp_path, "--format", "json").output)

    assert {mutant["fate"] for mutant in report["mutants"]} == {"killed", "survived"}
    assert all(mutant["killer"] for mutant in report["mutants"] if mutant["fate"] == "killed")
    assert report["survived"] == 3


def test_tests_that_fail_judge_nothing(tmp_path: Path) -> None:
    bundle_of(tmp_path, tests=TESTS + "\ntest_wrong if false\n")

    done = mutate(tmp_path)

    assert done.exit_code == 1
    assert "FAIL     remit.issue_test.test_wrong" in done.stderr
    assert "the tests must pass before" in done.stderr


@pytest.mark.parametrize("form", ["text", "json"])
def test_nothing_that_a_rule_says_can_steer_the_terminal(tmp_path: Path, form: str) -> None:
    rules = RULES + '\nunused if input.x == "\u202e\u009b31m"\n'
    bundle_of(tmp_path, rules)

    printed = mutate(tmp_path, "--format", form).output

    assert "202e" in printed
    assert all(character.isprintable() or character == "\n" for character in printed)
