"""Our own runner and the real `opa test`, verdict by verdict, on tests that pass, fail, replace and have cases."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.policy_bundles import DEFAULT_POLICIES, written
from tests.real_opa import find_opa

from remit_server.adapters.policy.bundles.bundle import read_bundle
from remit_server.adapters.rego.suite.running import Options, run_suite
from remit_server.cli.policy.telling.outcomes import as_json

HERE = Path(__file__).parent

# What is judged otherwise here, and why.
WITHOUT_CASES = "test_no_case"  # OPA lets a test pass that met no case; it proves nothing, so here it fails
DIFFERENCES = {
    # OPA goes on with undefined where a builtin fails; the gateway's engine breaks off, which is an outage.
    "test_builtin_error": ("FAIL", "ERROR"),
    "test_builtin_error_denied": ("PASS", "ERROR"),
    # OPA's index passes over rules that it can tell from their text, whatever stands in for the builtin.
    "test_indexed_builtin": ("FAIL", "PASS"),
}
DIFFERENT = """package remit.d_test

import data.remit.d

test_builtin_error if to_number("x") == 1

test_builtin_error_denied if not broken

broken if to_number("x") == 1

test_indexed_builtin if d.ends with input.s as "a" with endswith as true
"""

Verdicts = dict[str, tuple[str, Any]]


def verdicts(report: str) -> Verdicts:
    return {
        f"{test['package']}.{test['name']}": (_verdict(test), test.get("sub_results")) for test in json.loads(report)
    }


def _verdict(test: dict[str, Any]) -> str:
    failed = "FAIL" if test.get("fail") else "PASS"
    return "ERROR" if test.get("error") else "SKIP" if test.get("skip") else failed


def opas(folder: Path) -> Verdicts:
    command = [str(find_opa()), "test", "--format", "json", "--bundle", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - as given
    assert done.stdout.startswith("["), done.stdout + done.stderr
    return verdicts(done.stdout)


async def ours(folder: Path, *, coverage: bool = False) -> Verdicts:
    return verdicts(as_json(await run_suite(read_bundle(folder, stamped=False), Options(coverage=coverage))))


@pytest.mark.parametrize(
    ("name", "differing"), [("semantics", {WITHOUT_CASES}), ("functions", set()), ("negations", set())]
)
async def test_both_judge_every_test_alike(name: str, differing: set[str]) -> None:
    real = opas(HERE / name)
    embedded = await ours(HERE / name)

    differ = {one.rpartition(".")[2] for one in real.keys() | embedded.keys() if real.get(one) != embedded.get(one)}
    assert len(real) >= 28
    assert {verdict for verdict, _ in real.values()} >= {"PASS", "FAIL"}
    assert differ == differing


@pytest.mark.parametrize("name", ["semantics", "functions", "negations"])
async def test_looking_at_coverage_changes_no_verdict(name: str) -> None:
    assert await ours(HERE / name, coverage=True) == await ours(HERE / name)


async def test_the_known_differences_are_these(tmp_path: Path) -> None:
    rules = 'package remit.d\n\nends if endswith(input.s, "z")\n'
    folder = written(tmp_path, {"remit/d/d.rego": rules, "remit/d/d_test.rego": DIFFERENT})

    real, embedded = opas(folder), await ours(folder)

    told = {
        name: (real[f"data.remit.d_test.{name}"][0], embedded[f"data.remit.d_test.{name}"][0]) for name in DIFFERENCES
    }
    assert told == DIFFERENCES


# Each breaks something that tests of the default policy look at.
BREAKS = [
    ("remit/lib/actors.rego", 'glob.match(pattern, ["/", ":"], actor_id)', "glob.match(pattern, [], actor_id)"),
    ("remit/lib/chains.rego", "request.parent_task == null", "request.parent_task != null"),
    ("remit/lib/groups.rego", "some group in groups", 'some group in ["analysts"]'),
    ("remit/lib/patterns.rego", "(some_texts, others)\n\n", '(some_texts, [""])\n\n'),
    ("remit/lib/time_window.rego", "hours.from <= clock", "hours.from < clock"),
    ("remit/lib/time_window.rego", "number < 10", "number < 9"),
    ("remit/issue/issue.rego", "if count(reasons) == 0", "if true"),
    ("remit/issue/issue.rego", "labels[name] == value", "labels[name] != value"),
    ("remit/issue/issue.rego", "input.subject.issuer in entry.issuers", "entry.issuers"),
    ("remit/admin/admin.rego", 'input.caller.kind == "person"', "true"),
    ("remit/admin/admin.rego", 'if not "all" in sights', 'if "all" in sights'),
]


@pytest.mark.parametrize(("path", "before", "after"), BREAKS, ids=[f"{path}-{after}" for path, _, after in BREAKS])
async def test_both_find_the_same_faults_in_the_default_policy(
    tmp_path: Path, path: str, before: str, after: str
) -> None:
    files = {str(file.relative_to(DEFAULT_POLICIES)): file.read_text() for file in DEFAULT_POLICIES.rglob("*.rego")}
    files |= {str(file.relative_to(DEFAULT_POLICIES)): file.read_text() for file in DEFAULT_POLICIES.rglob("*.yaml")}
    assert before in files[path]
    folder = written(tmp_path, files | {path: files[path].replace(before, after)})

    real, embedded = opas(folder), await ours(folder)

    # A fault may have the engine break off where OPA goes on: no pass either way.
    assert {name for name, (verdict, _) in real.items() if verdict == "PASS"} == {
        name for name, (verdict, _) in embedded.items() if verdict == "PASS"
    }
    assert {verdict for verdict, _ in real.values()} != {"PASS"}
