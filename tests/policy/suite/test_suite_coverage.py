"""What counts as covered: lines as OPA counts them, entitlements and reasons only when the real policy gave them."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.policy_bundles import DEFAULT_POLICIES, ENTITLEMENT, written
from tests.real_opa import run_opa

from remit_server.adapters.policy.bundles.bundle import read_bundle
from remit_server.adapters.rego.suite.coverage import Coverage, coverage_of
from remit_server.adapters.rego.suite.running import Options, run_suite

RULES = """package remit.issue

import data.remit.catalog.entitlements as catalogue

entitled := [object.union(entry, {"id": id}) |
	some id, entry in catalogue.entitlements
	input.id == id
]

decision := {"allow": true, "entitlements": entitled, "reasons": []} if count(entitled) > 0

decision := {"allow": false, "entitlements": [], "reasons": [no]} if count(entitled) == 0

no := {"code": "no", "message": "Not you.", "remedy": "GIVE_UP"}
"""
ENTRY = {key: value for key, value in ENTITLEMENT.items() if key in {"role_arn", "permissions"}} | {
    "description": "Reads",
    "actors": ["spiffe://example/a"],
    "max_credential_seconds": 900,
    "max_task_seconds": 900,
}


def catalogue(**entries: Any) -> str:
    groups = {"everybody": sorted(entries)}
    return json.dumps({"roles": [ENTRY["role_arn"]], "by_group": groups, "entitlements": entries})


async def reached(folder: Path, *tests: str) -> Coverage:
    files = {
        "remit/issue/issue.rego": RULES,
        "remit/catalog/entitlements/data.json": catalogue(reader=ENTRY, writer=ENTRY),
        "remit/issue/issue_test.rego": "\n\n".join(["package remit.issue_test", "import data.remit.issue", *tests, ""]),
    }
    bundle = read_bundle(written(folder, files), stamped=False)
    ran = await run_suite(bundle, Options(coverage=True))
    assert {one.verdict for one in ran.outcomes} == {"PASS"}, ran.outcomes
    return coverage_of(ran, bundle)


async def test_an_entitlement_in_an_answer_is_covered(tmp_path: Path) -> None:
    found = await reached(tmp_path, 'test_x if issue.decision.allow with input.id as "reader"')

    assert (found.entitlements, found.missed_entitlements) == (("reader",), ("writer",))


async def test_it_is_covered_when_another_rule_asks_for_the_answer(tmp_path: Path) -> None:
    asked = "answer(id) := x if {\n\tx := issue.decision with input.id as id\n}"

    found = await reached(
        tmp_path, asked, 'test_x if {\n\tevery id in ["reader", "writer"] {\n\t\tanswer(id).allow\n\t}\n}'
    )

    assert found.entitlements == ("reader", "writer")


@pytest.mark.parametrize(
    "test",
    [
        # Only the catalogue is looked at.
        "test_x if data.remit.catalog.entitlements.entitlements.reader.role_arn",
        # A catalogue of the test's own has an entitlement of that id, which is another one.
        """test_x if issue.decision.allow
	with input.id as "reader"
	with data.remit.catalog.entitlements.entitlements as {"reader": {"role_arn": "r", "permissions": []}}""",
        # The answer itself is made up.
        """test_x if issue.decision.allow with issue.decision as {"allow": true, "entitlements": [{"id": "reader"}]}""",
    ],
)  # fmt: skip
async def test_what_the_real_policy_did_not_answer_is_not_covered(tmp_path: Path, test: str) -> None:
    found = await reached(tmp_path, test)

    assert found.entitlements == ()


async def test_a_reason_is_covered_by_an_answer_and_not_by_its_rule(tmp_path: Path) -> None:
    only_the_rule = await reached(tmp_path / "a", 'test_x if issue.no.code == "no"')
    the_answer = await reached(tmp_path / "b", "test_x if not issue.decision.allow")

    assert only_the_rule.missed_reasons == {"no": ("remit/issue/issue.rego", 14)}
    assert (the_answer.reasons, the_answer.missed_reasons) == (("no",), {})


async def test_answers_that_are_no_decisions_do_not_trouble_the_tests(tmp_path: Path) -> None:
    rules = "package remit.issue\n\ndecision := input.answer\n"
    answers = ["1", '"x"', "{}", '{"entitlements": 1, "reasons": {"code"}}', '{"entitlements": [1], "reasons": [[]]}']
    tests = "\n\n".join(
        f"test_{number} if issue.decision == {answer} with input.answer as {answer}"
        for number, answer in enumerate(answers)
    )
    files = {
        "remit/issue/issue.rego": rules,
        "remit/issue/issue_test.rego": f"package remit.issue_test\n\nimport data.remit.issue\n\n{tests}\n",
    }

    ran = await run_suite(read_bundle(written(tmp_path, files)), Options(coverage=True))

    assert [one.verdict for one in ran.outcomes] == ["PASS"] * len(answers)


async def test_a_line_is_covered_where_opa_says_so() -> None:
    bundle = read_bundle(DEFAULT_POLICIES, stamped=False)
    real = json.loads(run_opa("test", "--coverage", "--format", "json", "--bundle", str(DEFAULT_POLICIES)))["files"]

    ours = coverage_of(await run_suite(bundle, Options(coverage=True)), bundle)

    assert ours.covered.keys() == {path for path, _ in bundle.rules}  # OPA counts the lines of tests, too
    for path, covered in ours.covered.items():
        report = report_on(path, real)
        # Beyond ours, OPA counts the lines on which a rule's head stands alone, and those on which an expression ends.
        assert set(covered) <= rows(report["covered"]), path
        assert set(ours.missed[path]) <= rows(report["not_covered"]), path


async def test_a_line_is_missed_where_opa_says_so(tmp_path: Path) -> None:
    rules = """package remit.issue

decision := {"allow": true} if {
	count(input.a) > 0
	count(input.a) > 5
	true
}

decision := {"allow": false} if {
	count(input.a) < 1
	every x in input.list {
		x > 1
	}
}

unused := [y |
	some x in input.list
	y := x + 1
]

helper(x) := x + 1
"""
    # Both have what they need: OPA does not even begin a rule whose input it finds undefined.
    question = '{"a": [1], "list": [1]}'
    tests = f"package remit.issue_test\n\ntest_x if not data.remit.issue.decision with input as {question}\n"
    folder = written(tmp_path, {"remit/issue/issue.rego": rules, "remit/issue/issue_test.rego": tests})
    real = json.loads(run_opa("test", "--coverage", "--format", "json", "--bundle", str(folder)))["files"]
    bundle = read_bundle(folder)

    ours = coverage_of(await run_suite(bundle, Options(coverage=True)), bundle)

    path = "remit/issue/issue.rego"
    report = report_on(path, real)
    assert ours.covered[path] == (4, 5, 10)
    assert set(ours.covered[path]) <= rows(report["covered"])
    assert set(ours.missed[path]) <= rows(report["not_covered"])


def rows(ranges: list[Any]) -> set[int]:
    return {row for one in ranges for row in range(one["start"]["row"], one["end"]["row"] + 1)}


def report_on(path: str, files: dict[str, Any]) -> dict[str, list[Any]]:
    """Returns what OPA says of a file; with --bundle it names each twice, once with the folder doubled."""
    named = [file for name, file in files.items() if name.endswith(path)]
    return {part: [one for file in named for one in file.get(part, [])] for part in ("covered", "not_covered")}
