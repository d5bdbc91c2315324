"""Our own runner of policy tests, and the commands around it."""

from pathlib import Path

import pytest
from tests.policy_bundles import DENY_ALL, written
from typer.testing import CliRunner

from remit_server.adapters.policy.bundles.bundle import read_bundle
from remit_server.adapters.policy.findings import BundleRefused
from remit_server.adapters.rego.suite.outcome import Outcome, Verdict
from remit_server.adapters.rego.suite.running import run_suite
from remit_server.cli.policy import app

TESTS = """package remit.issue_test

import data.remit.issue

test_denied if issue.decision.allow == false

test_input_is_replaced if {
	who == "bob" with input as {"id": "bob"}
}

test_data_is_replaced if {
	data.remit.x == 7 with data.remit.x as 7
}

test_a_function_is_replaced if {
	twice(2) == 5 with twice as thrice
}

test_undefined if input.nothing

test_false := false

test_one := 1

test_error if 1 / 0 == 1

helper if false

who := input.id

twice(n) := n * 2

thrice(n) := 5
"""
LOST = """package remit.z_test

f(n) := f(n + 1)

test_a_crash if f(1)

test_b_after_it if true
"""


async def outcomes_of(folder: Path, **tests: str) -> tuple[Outcome, ...]:
    files = {"remit/issue/issue.rego": DENY_ALL, "remit/x/data.json": "{}"}
    files |= {f"remit/issue/{name}_test.rego": text for name, text in tests.items()}
    return (await run_suite(read_bundle(written(folder, files)))).outcomes


async def test_each_test_is_told_by_name_line_and_verdict(tmp_path: Path) -> None:
    outcomes = await outcomes_of(tmp_path, issue=TESTS)

    told = {outcome.full_name.removeprefix("data.remit.issue_test.test_"): outcome.verdict for outcome in outcomes}
    assert told == {
        "denied": Verdict.PASS,
        "input_is_replaced": Verdict.PASS,
        "data_is_replaced": Verdict.PASS,
        "a_function_is_replaced": Verdict.PASS,
        "undefined": Verdict.FAIL,
        "false": Verdict.FAIL,
        "one": Verdict.FAIL,
        "error": Verdict.ERROR,
    }
    assert outcomes[0].path == "remit/issue/issue_test.rego"
    assert [outcome.line for outcome in outcomes] == sorted(outcome.line for outcome in outcomes)
    assert "divide by zero" in outcomes[-1].detail


async def test_a_test_that_kills_the_engine_does_not_stop_the_others(tmp_path: Path) -> None:
    outcomes = await outcomes_of(tmp_path, z=LOST)

    assert [outcome.verdict for outcome in outcomes] == [Verdict.ERROR, Verdict.PASS]


async def test_a_test_file_with_a_syntax_error_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleRefused, match=r"remit/issue/z_test.rego:3"):
        await outcomes_of(tmp_path, z="package remit.z_test\n\ntest_x {\n")


def bundle_folder(folder: Path, tests: str) -> str:
    files = {"remit/issue/issue.rego": DENY_ALL, "remit/issue/issue_test.rego": tests}
    return str(written(folder, files))


def test_the_command_ends_with_0_when_all_pass(tmp_path: Path) -> None:
    folder = bundle_folder(tmp_path, "package remit.issue_test\n\ntest_x if true\n")

    ran = CliRunner().invoke(app, ["test", "--bundle", folder])

    assert (ran.exit_code, ran.output) == (0, "1 of 1 tests passed\n")


def test_the_command_ends_with_1_and_names_what_failed(tmp_path: Path) -> None:
    folder = bundle_folder(tmp_path, "package remit.issue_test\n\ntest_x if true\n\ntest_y if false\n")

    ran = CliRunner().invoke(app, ["test", "--bundle", folder])

    assert ran.exit_code == 1
    assert "FAIL     remit.issue_test.test_y (remit/issue/issue_test.rego:5)" in ran.output
    assert "test_x" not in ran.output


def test_no_test_is_no_success(tmp_path: Path) -> None:
    folder = bundle_folder(tmp_path, "package remit.issue_test\n\nhelper if true\n")

    assert CliRunner().invoke(app, ["test", "--bundle", folder]).exit_code == 2


def test_check_refuses_what_the_gateway_would_refuse(tmp_path: Path) -> None:
    files = {
        "remit/issue/issue.rego": 'package remit.issue\n\ndecision := http.send({"url": "https://example.test"})\n'
    }

    ran = CliRunner().invoke(app, ["check", "--bundle", str(written(tmp_path, files))])

    assert ran.exit_code == 1
    assert "remit/issue/issue.rego:3: http.send is refused" in ran.output


def test_stamp_makes_a_changed_bundle_whole_again(tmp_path: Path) -> None:
    folder = bundle_folder(tmp_path, "package remit.issue_test\n")
    run = CliRunner().invoke

    first = run(app, ["stamp", "--bundle", folder])
    (tmp_path / "remit/issue/issue.rego").write_text(DENY_ALL + "\n# changed\n")
    between = run(app, ["check", "--bundle", folder])
    second = run(app, ["stamp", "--bundle", folder])

    assert first.exit_code == second.exit_code == 0
    assert first.output != second.output
    assert between.exit_code == 1
    assert run(app, ["check", "--bundle", folder]).exit_code == 0


def test_the_command_shows_the_faults_of_rules_and_data_beside_those_of_the_manifest(tmp_path: Path) -> None:
    files = {"remit/issue/issue.rego": DENY_ALL}
    folder = str(written(tmp_path, files))
    CliRunner().invoke(app, ["stamp", "--bundle", folder])
    (tmp_path / "remit/issue/more.rego").write_text("package remit.issue\n\nx := if {\n")
    (tmp_path / "remit/data.yaml").write_text("a: yes\n")

    ran = CliRunner().invoke(app, ["check", "--bundle", folder])

    assert ran.exit_code == 1
    assert ".manifest: it says revision" in ran.stderr
    assert "remit/issue/more.rego" in ran.stderr
    assert "remit/data.yaml:1" in ran.stderr
