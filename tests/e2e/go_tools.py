"""The Go toolchain, for the tests of the Go client; skipped where there is none, unless nothing real may be missing."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.watched import plain_environment

CLIENT = Path(__file__).resolve().parents[2] / "clients" / "go"
PATIENCE = 540.0


@dataclass(frozen=True)
class GoTests:
    """How a run of `go test` came out: what each test came to by its name, and everything that was printed."""

    outcomes: Mapping[str, str]
    output: str
    code: int


def go(*arguments: str, folder: Path, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the go command in a module's folder."""
    program = shutil.which("go")
    if program is None:
        if os.environ.get("REMIT_REQUIRE_REAL") == "1":
            pytest.fail("the Go client is tested with Go, and there is no go here")
        pytest.skip("there is no go here: the Go client is not tested")
    return subprocess.run(  # noqa: S603 - the toolchain
        [program, *arguments],
        cwd=folder,
        env=plain_environment(environment),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def go_test(folder: Path, environment: Mapping[str, str] | None = None) -> GoTests:
    """Runs all tests of a module, watched for data races where there is a C compiler."""
    race = ["-race"] if shutil.which("gcc") or shutil.which("clang") else []
    # Side by side: the tests wait for lives and leases to be over, most of their time.
    done = go("test", *race, "-json", "-count=1", "-parallel=32", "./...", folder=folder, environment=environment)
    outcomes: dict[str, str] = {}
    output: list[str] = []
    for line in done.stdout.splitlines():
        event = json.loads(line)
        output.append(event.get("Output", ""))
        if "Test" in event and event["Action"] in {"pass", "fail", "skip"}:
            outcomes[event["Test"]] = event["Action"]
    return GoTests(outcomes, f"{''.join(output)}\n{done.stderr}", done.returncode)
