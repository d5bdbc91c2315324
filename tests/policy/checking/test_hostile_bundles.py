"""Bundles that would hurt whoever checks them: each is refused, with a place, and the check goes on."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.checked_bundles import CATALOGUE, HEAD, ISSUE, PATIENT, READER, bundle, checked, told
from typer.testing import CliRunner

from remit_server.adapters.policy.bundles import catalogue
from remit_server.adapters.policy.checking.report import check_files
from remit_server.adapters.rego.checks import MAX_LINES
from remit_server.cli.policy import app

CHAIN = "\n\n".join(f"r{number} := r{number + 1}" for number in range(400))
FUNCTIONS = "\n\n".join(f"f{number}(x) := f{number + 1}(x)" for number in range(400))

BOMBS = {
    "a ring of four hundred rules": (f"{CHAIN}\n\nr400 := r0", "recursion"),
    "a ring of four hundred functions": (f"{FUNCTIONS}\n\nf400(x) := f0(x)", "recursion"),
    "a rule that reads all rules": ("x := data.remit", "recursion"),
    "deep brackets": ("x := " + "[\n" * 41 + "]\n" * 41, "rego-text"),
    "deep comprehensions": ("x := " + "[y | y := " * 41 + "1" + "]" * 41, "rego-text"),
    "signs without end": ("x := " + "-" * 900 + "1", "rego-text"),
    "lines without end": ("\n" * MAX_LINES, "rego-text"),
    "a line without end": (f'x := "{"a" * 2_000}"', "rego-text"),
    "a NUL byte": ("x := 1 \0 y := 2", "encoding"),
    "text that ends in a string": ('x := "', "rego-syntax"),
}


@pytest.mark.parametrize(("rules", "rule"), BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_in_the_rules_is_refused(rules: str, rule: str) -> None:
    report = checked({ISSUE: f"{HEAD}\n{rules}\n"})

    assert rule in {one.rule for one in report.errors}
    assert all(one.path.startswith("remit/") for one in report.errors)


def test_a_chain_of_functions_is_followed_so_far_and_no_further() -> None:
    rules = f"{FUNCTIONS}\n\nf400(x) := x.grups\n\ny := f0(input.subject)"

    assert checked({ISSUE: f"{HEAD}\n{rules}\n"}).errors == ()


def test_what_steers_a_terminal_is_told_as_text(tmp_path: Path) -> None:
    for path, content in bundle({ISSUE: f'{HEAD}\nx if input.subject["\\u001b[2J"]\n'}).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)

    done = CliRunner().invoke(app, ["check", "--bundle", str(tmp_path)])

    assert "[unknown-input]" in done.stderr
    assert "\x1b" not in done.stderr


def test_thousands_of_findings_are_counted_and_not_printed() -> None:
    rules = "\n\n".join(f"x{number} if not input.subject.grups{number}" for number in range(900))

    findings = checked({ISSUE: f"{HEAD}\n{rules}\n"}).findings

    assert len(findings) == 201
    assert sum("700 more of the same" in one.problem for one in findings) == 1


def test_data_that_kills_the_worker_is_refused_as_too_large() -> None:
    text = "a:\n" + "".join(f"  k{number}: [{', '.join(['1.5'] * 50)}]\n" for number in range(20_000))
    files = bundle({"remit/x/data.yaml": text})

    report = asyncio.run(check_files(files, None, replace(PATIENT, memory_bytes=96 << 20)))

    assert {(one.rule, one.path) for one in report.errors} == {("bundle-size", "data")}


def test_a_catalogue_over_its_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "MAX_ENTITLEMENTS", 0)

    assert {one for one, _, _ in told()} == {"catalogue-shape"}


def many(count: int) -> str:
    """Returns a catalogue of so many entitlements in JSON: a hundred sets of permissions, a group for each ten."""
    entries = {
        f"e{number}": {
            "description": "Reads",
            "actors": ["spiffe://acme.example/copilot"],
            "role_arn": "arn:aws:iam::111122223333:role/remit-reports",
            "permissions": [
                {
                    "actions": ["s3:GetObject"],
                    "resources": [f"arn:aws:s3:::reports/{number % 100}/*"],
                    "conditions": [],
                }
            ],
            "max_credential_seconds": 900,
            "max_task_seconds": 3600,
        }
        for number in range(count)
    }
    groups = {f"g{number}": [f"e{number + step}" for step in range(10)] for number in range(0, count, 10)}
    role = "arn:aws:iam::111122223333:role/remit-reports"
    return json.dumps({"roles": [role], "by_group": groups, "entitlements": entries})


def test_ten_thousand_entitlements_are_checked_without_a_finding() -> None:
    files = bundle() | {CATALOGUE.replace("yaml", "json"): many(10_000).encode()}
    del files[CATALOGUE]

    report = asyncio.run(check_files(files, None, PATIENT))

    assert (report.findings, report.entitlements) == ((), 10_000)


@pytest.mark.parametrize("old", ["actors: [", "permissions:", "[reader]", "roles: ["])
def test_a_catalogue_that_is_broken_anywhere_is_told_and_never_raises(old: str) -> None:
    for new in ("", "x", "[", "{", "- ", "&a ", "!!python/object:os.system "):
        assert checked({CATALOGUE: READER.replace(old, new)}).errors
