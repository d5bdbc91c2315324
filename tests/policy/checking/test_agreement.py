"""The same bundles before `policy check`, the real `opa check` and Regal: one verdict, or a known difference."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.checked_bundles import HEAD, ISSUE, bundle, checked
from tests.policy_bundles import DEFAULT_POLICIES
from tests.real_opa import find_opa, run_opa
from tests.real_regal import regal_violations

from remit_server.adapters.policy.checking.schemas import write_schemas
from remit_server.adapters.rego.linting.definitions import ARITIES


@dataclass(frozen=True)
class Case:
    """Rules that are wrong, what we call that, and what OPA does."""

    rules: str
    ours: str
    opa: str


def with_imports(imports: str, rules: str) -> str:
    """Returns whole issue rules with imports."""
    return HEAD.replace("\n\n", f"\n\n{imports}\n\n", 1) + f"\n{rules}\n"


AGREED = {
    "an open bracket": Case("x := [", "rego-syntax", "rego_parse_error"),
    "a body without if": Case("x := 1 { true }", "rego-syntax", "rego_parse_error"),
    "a set without contains": Case("x[y] { y := 1 }", "rego-syntax", "rego_parse_error"),
    "a rule called input": Case("input := 1", "rego-syntax", "rego_compile_error"),
    "an unsafe variable": Case("x if y == 1", "rego-compile", "rego_unsafe_var_error"),
    "an unsafe variable in a head": Case("x := y", "rego-compile", "rego_unsafe_var_error"),
    "an unsafe variable under not": Case("x if not y == 1", "rego-compile", "rego_unsafe_var_error"),
    "an unsafe variable in every": Case("x if every y in [1] { y == z }", "rego-compile", "rego_unsafe_var_error"),
    "a variable assigned twice": Case("x := y if { y := 1; y := 2 }", "rego-compile", "rego_compile_error"),
    "a variable used before": Case("x := y if { y == 1; y := 1 }", "rego-compile", "rego_compile_error"),
    "a default that is not constant": Case("default x := input.actor.id", "rego-compile", "rego_parse_error"),
    "recursion of rules": Case("x := y\n\ny := x", "recursion", "rego_recursion_error"),
    "recursion of functions": Case("f(x) := g(x)\n\ng(x) := f(x)", "recursion", "rego_recursion_error"),
    "an unknown function": Case("x := foo(1)", "unknown-builtin", "rego_type_error"),
    "an unknown function of a package": Case("x := data.remit.lib.foo(1)", "unknown-builtin", "rego_type_error"),
    "two defaults": Case("default x := 1\n\ndefault x := 2", "duplicate-default", "rego_type_error"),
    "a value and a set": Case("x := 1\n\nx contains 2", "conflicting-rules", "rego_type_error"),
    "a value and a function": Case("x := 1\n\nx(_) := 2", "conflicting-rules", "rego_type_error"),
    "a function of one and two": Case("x(_) := 1\n\nx(_, _) := 2", "conflicting-rules", "rego_type_error"),
    "a value and its members": Case("x := 1\n\nx[y] := 2 if some y in [1]", "conflicting-rules", "rego_type_error"),
    "a set and its members": Case("x contains 1\n\nx[y] := 2 if some y in [1]", "conflicting-rules", "rego_type_error"),
    "a function with too many": Case("f(_) := 1\n\nx := f(1, 2, 3)", "wrong-arity", "rego_type_error"),
    "a builtin with too many": Case("x := count(1, 2, 3)", "wrong-arity", "rego_type_error"),
    "a builtin with too few": Case('x := startswith("a")', "wrong-arity", "rego_type_error"),
    "an unused variable": Case("x if y := input.actor.id", "unused-variable", "rego_compile_error"),
    "an unused declaration": Case("x if { some y; input.actor.id }", "unused-variable", "rego_compile_error"),
    "an unused argument": Case("f(y) := 1", "unused-variable", "rego_compile_error"),
}
DIFFERENT = {
    # The embedded engine sees types when it evaluates: an outage then, never a yes.
    "a builtin with another type": Case("x := abs([])", "", "rego_type_error"),
    "a sum with text": Case('x := 1 + "a"', "", "rego_type_error"),
    # A decision must repeat bit for bit, and reach nothing: OPA is not asked for that.
    "the time of the machine": Case("x := time.now_ns()", "refused-builtin", ""),
    "a call of the network": Case('x := http.send({"url": "https://x.test", "method": "get"})', "refused-builtin", ""),
    "a builtin that only OPA has": Case('x := json.unmarshal("1")', "unknown-builtin", ""),
    # OPA answers what it finds only when both hold; so do we, with an outage. Neither sees it in the text.
    "values that contradict each other": Case("x := 1\n\nx := 2", "", ""),
    # Ours alone: OPA has no opinion on them.
    "a member that input lacks, without a schema": Case("x if input.subject.grups", "unknown-input", ""),
    "a path that data lacks": Case("x := data.remit.catalog.nothing", "unknown-data", ""),
}


def written(folder: Path, rules: str) -> Path:
    """Writes the bundle of these tests with more rules."""
    for path, content in bundle({ISSUE: f"{HEAD}\n{rules}\n"}).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def opa_errors(folder: Path, *options: str) -> list[str]:
    """Returns the codes of what `opa check --strict` holds against a bundle."""
    done = subprocess.run(  # noqa: S603 - the binary that the tests are pointed at
        [str(find_opa()), "check", "--strict", "--format", "json", *options, "--bundle", str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return [one["code"] for one in json.loads(done.stderr or done.stdout or "{}").get("errors", [])]


@pytest.mark.parametrize("case", [*AGREED.values(), *DIFFERENT.values()], ids=[*AGREED, *DIFFERENT])
def test_opa_says_what_it_is_recorded_to_say_and_so_do_we(case: Case, tmp_path: Path) -> None:
    theirs = opa_errors(written(tmp_path, case.rules))
    ours = {one.rule for one in checked({ISSUE: f"{HEAD}\n{case.rules}\n"}).findings}

    assert (case.opa in theirs) if case.opa else theirs == []
    assert (case.ours in ours) if case.ours else ours == set()


def test_what_is_agreed_on_is_refused_by_both() -> None:
    assert all(case.ours and case.opa for case in AGREED.values())


IMPORTS = {
    "an unused import": ("import data.remit.catalog.entitlements as held", "x := 1", "unused-import"),
    "two imports of one name": ("import data.remit.a.x\nimport data.remit.b.x", "y := x", "shadowed-import"),
}


@pytest.mark.parametrize(("imports", "rules", "rule"), IMPORTS.values(), ids=IMPORTS.keys())
def test_imports_are_judged_alike(imports: str, rules: str, rule: str, tmp_path: Path) -> None:
    text = with_imports(imports, rules)
    (written(tmp_path, "") / ISSUE).write_text(text)

    assert "rego_compile_error" in opa_errors(tmp_path)
    assert rule in {one.rule for one in checked({ISSUE: text}).findings}


@pytest.mark.parametrize(
    ("read", "wrong"),
    [
        ("input.subject.grups", True),
        ("input.subject.groups", False),
        ("input.intent.permissions[_].action", True),
        ("input.intent.permissions[_].actions", False),
        ("input.context.time.hour", True),
        ("input.subject.claims.anything.goes", False),
        ("input.task.labels.anything", False),
        ("input.parent_task.id", False),
    ],
)
def test_with_the_published_schema_opa_finds_the_same_members_unknown(read: str, wrong: bool, tmp_path: Path) -> None:
    write_schemas(tmp_path / "published")
    rules = f"x if {read}"

    theirs = opa_errors(written(tmp_path / "bundle", rules), "--schema", str(tmp_path / "published/input.json"))
    ours = {one.rule for one in checked({ISSUE: f"{HEAD}\n{rules}\n"}).findings}

    assert ("rego_type_error" in theirs, "unknown-input" in ours) == (wrong, wrong)


def test_our_builtins_take_as_many_arguments_as_opa_s() -> None:
    listed = json.loads(run_opa("capabilities", "--current"))["builtins"]

    theirs = {one["name"]: len(one["decl"].get("args", ())) for one in listed}

    assert {name: theirs[name] for name in ARITIES} == dict(ARITIES)


REGAL = {
    "not-equals-in-loop": ('x if input.subject.groups[_] != "a"', "not-equals-in-loop"),
    "constant-condition": ("x if 1 == 1", "constant-condition"),
    "rule-shadows-builtin": ("startswith := 1", "shadows-builtin"),
}


@pytest.mark.parametrize(("theirs", "rules", "ours"), [(name, *one) for name, one in REGAL.items()], ids=REGAL.keys())
def test_regal_s_rules_that_matter_for_safety_are_ours_too(theirs: str, rules: str, ours: str, tmp_path: Path) -> None:
    found = regal_violations(written(tmp_path, rules))

    assert (theirs, 5) in found
    assert (ours, 5) in {(one.rule, one.line) for one in checked({ISSUE: f"{HEAD}\n{rules}\n"}).findings}


def test_the_default_policy_passes_all_three() -> None:
    configuration = DEFAULT_POLICIES.parent / ".regal/config.yaml"

    assert opa_errors(DEFAULT_POLICIES, "--schema", str(DEFAULT_POLICIES / "schemas")) == []
    assert regal_violations(DEFAULT_POLICIES, "--config-file", str(configuration)) == set()


def test_opa_reads_the_default_policy_by_its_schemas(tmp_path: Path) -> None:
    shutil.copytree(DEFAULT_POLICIES, tmp_path / "policies")
    rules = tmp_path / "policies/remit/issue/issue.rego"
    rules.write_text(rules.read_text("utf-8").replace("input.subject.groups", "input.subject.grups"), encoding="utf-8")

    found = opa_errors(tmp_path / "policies", "--schema", str(tmp_path / "policies/schemas"))

    assert "rego_type_error" in found


def test_every_rule_of_regal_that_is_off_has_its_reason_above_it() -> None:
    lines = (DEFAULT_POLICIES.parent / ".regal/config.yaml").read_text("utf-8").splitlines()
    rules = [number for number, line in enumerate(lines) if re.fullmatch(r"    [a-z-]+:", line)]
    off = [number for number in rules if "ignore" in "".join(lines[number : number + 4])]

    assert off
    assert [lines[number] for number in off if not lines[number - 1].startswith("    # ")] == []
