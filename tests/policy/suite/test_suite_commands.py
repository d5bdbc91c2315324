"""`remit-server policy test`: what it prints in each format, which code it ends with, and that it steers nothing."""

import base64
import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from tests.policy_bundles import DENY_ALL, written
from typer.testing import CliRunner, Result

from remit_server.cli.policy import app

RULES = """package remit.issue

decision := {"allow": false, "entitlements": [], "reasons": [reason]}

reason := {"code": "no", "message": "Not you.", "remedy": "GIVE_UP"} if not input.blocked

reason := {"code": "blocked", "message": "You least of all.", "remedy": "GIVE_UP"} if input.blocked

never := 1 if {
	input.never
	input.ever
}
"""
PASSES = "package remit.issue_test\n\nimport data.remit.issue\n\ntest_x if not issue.decision.allow\n"


def ran(folder: Path, tests: str, *options: str, rules: str = DENY_ALL) -> Result:
    files = {"remit/issue/issue.rego": rules, "remit/issue/issue_test.rego": tests}
    return CliRunner().invoke(app, ["test", "--bundle", str(written(folder, files)), *options])


def test_what_failed_is_told_with_its_value_its_last_line_and_its_prints(tmp_path: Path) -> None:
    done = ran(tmp_path, 'package remit.issue_test\n\ntest_y if {\n\tprint("seen")\n\t1 == 2\n}\n')

    lines = done.output.splitlines()
    assert lines[0].startswith("FAIL     remit.issue_test.test_y (remit/issue/issue_test.rego:3) ")
    assert lines[1:] == [
        "         its value is undefined",
        "         it came to line 5: 1 == 2",
        "         printed remit/issue/issue_test.rego:4: seen",
        "0 of 1 tests passed, 1 failed",
    ]
    assert done.exit_code == 1


def test_a_skipped_test_is_a_failure_unless_that_is_said(tmp_path: Path) -> None:
    tests = PASSES + "\ntodo_test_y if false\n"

    assert ran(tmp_path, tests).exit_code == 1
    assert ran(tmp_path, tests, "--exit-zero-on-skipped").exit_code == 0


def test_run_chooses_by_the_whole_name_and_finding_none_is_no_success(tmp_path: Path) -> None:
    tests = PASSES + "\ntest_y if false\n"

    assert ran(tmp_path, tests, "--run", r"^data\.remit\.issue_test\.test_x$").exit_code == 0
    assert ran(tmp_path, tests, "--run", "_y").exit_code == 1
    assert ran(tmp_path, tests, "--run", "nothing").exit_code == 2
    assert ran(tmp_path, tests, "--run", "(").exit_code == 2


def test_json_has_the_shape_of_opa(tmp_path: Path) -> None:
    tests = PASSES + '\ntest_y if {\n\tprint("seen")\n\tfalse\n}\n\ntest_z if 1 / 0 == 1\n\ntodo_test_q if true\n'

    passed, failed, broken, skipped = json.loads(ran(tmp_path, tests, "--format", "json").output)

    assert passed["location"] == {"file": "remit/issue/issue_test.rego", "row": 5, "col": 1}
    assert (passed["package"], passed["name"]) == ("data.remit.issue_test", "test_x")
    assert passed.keys() == {"location", "package", "name", "duration"}
    assert failed["fail"]
    assert base64.b64decode(failed["output"]) == b"remit/issue/issue_test.rego:8: seen\n"
    assert "divide by zero" in broken["error"]["message"]
    assert skipped["skip"]


def test_junit_names_failures_errors_and_skips(tmp_path: Path) -> None:
    tests = PASSES + "\ntest_y if false\n\ntest_z if 1 / 0 == 1\n\ntodo_test_q if true\n"

    (suite,) = ET.fromstring(ran(tmp_path, tests, "--format", "junit").output.encode())  # noqa: S314 - our own

    counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "4", "failures": "1", "errors": "1", "skipped": "1"}
    assert [[child.tag for child in case] for case in suite] == [[], ["failure"], ["error"], ["skipped"]]


@pytest.mark.parametrize("form", ["text", "json", "junit"])
def test_nothing_that_a_test_prints_can_steer_the_terminal(tmp_path: Path, form: str) -> None:
    hostile = r"\u001b]0;owned\u0007\u202e\u0000\r\n<&>"
    head = "package remit.issue_test\n\n"
    tests = f'{head}test_y[case] if {{\n\tsome case in ["{hostile}"]\n\tprint("{hostile}")\n\tfalse\n}}\n'

    printed = ran(tmp_path, tests, "--format", form).output

    assert "owned" in printed or form == "json"
    assert all(character.isprintable() or character == "\n" for character in printed)


def test_output_is_bounded(tmp_path: Path) -> None:
    tests = "package remit.issue_test\n\n" + "".join(
        f'test_{number} if {{\n\tsome n in numbers.range(1, 1000)\n\tprint(n, "{"x" * 900}")\n\tfalse\n}}\n\n'
        for number in range(20)
    )

    assert len(ran(tmp_path, tests).output) < 20 * 25 * 400


def test_coverage_tells_lines_and_reasons_that_no_test_reached(tmp_path: Path) -> None:
    tests = 'package remit.issue_test\n\nimport data.remit.issue\n\ntest_x if issue.decision.reasons[0].code == "no"\n'

    done = ran(tmp_path, tests, "--coverage", rules=RULES)

    assert done.output.splitlines() == [
        "1 of 1 tests passed",
        "remit/issue/issue.rego:9-11: not covered",
        "remit/issue/issue.rego:7: reason blocked is given in no test",
        "covered: 3 of 6 (50.00 %) lines, 0 of 0 (100.00 %) entitlements, 1 of 2 (50.00 %) reasons",
    ]
    assert done.exit_code == 0


def test_less_coverage_than_the_threshold_is_wrong(tmp_path: Path) -> None:
    below = ran(tmp_path, PASSES, "--threshold", "50.1", rules=RULES)
    enough = ran(tmp_path, PASSES, "--threshold", "50", rules=RULES)

    assert (below.exit_code, enough.exit_code) == (1, 0)
    assert "50.00 % of the lines are covered, and 50.1 % must be" in below.stderr


def test_coverage_as_json_has_the_shape_of_opa(tmp_path: Path) -> None:
    report = json.loads(ran(tmp_path, PASSES, "--coverage", "--format", "json", rules=RULES).stdout)

    assert report["files"]["remit/issue/issue.rego"]["not_covered"] == [{"start": {"row": 9}, "end": {"row": 11}}]
    assert (report["covered_lines"], report["not_covered_lines"], report["coverage"]) == (3, 3, 50.0)
    assert report["reasons"] == {"covered": ["no"], "not_covered": ["blocked"]}
