"""The real OPA, where there is one: asked many questions in one process."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest


def is_there() -> bool:
    """Says whether there is an `opa` binary."""
    return _binary() is not None


def _binary() -> Path | None:
    """Returns the `opa` binary, or None."""
    named = os.environ.get("REMIT_OPA") or shutil.which("opa")
    places = [Path(named)] if named else [Path("/go/bin/opa"), Path.home() / "go" / "bin" / "opa"]
    return next((place for place in places if os.access(place, os.X_OK)), None)


def find_opa() -> Path:
    """Returns the `opa` binary; without one the test is skipped, or fails under REMIT_REQUIRE_REAL=1."""
    if (binary := _binary()) is not None:
        return binary
    if os.environ.get("REMIT_REQUIRE_REAL") == "1":
        pytest.fail("no opa binary: set REMIT_OPA, or `go install github.com/open-policy-agent/opa@latest`")
    pytest.skip("no opa binary (set REMIT_OPA)")


def run_opa(*arguments: str, stdin: str = "", folder: Path | None = None) -> str:
    """Returns what an `opa` command printed, run in a folder; fails the test when the command failed."""
    done = subprocess.run(  # noqa: S603 - the binary that the tests are pointed at
        [str(find_opa()), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr or done.stdout
    return done.stdout


def opa_answers(expression: str, inputs: Sequence[Any], *options: str) -> list[Any]:
    """Returns the value of an expression for each input, None where it is undefined (`c` is the input)."""
    query = f"{{i: r | some i, c in input; r := {expression}}}"
    printed = run_opa("eval", "--format", "json", "--stdin-input", *options, query, stdin=json.dumps(list(inputs)))
    found = json.loads(printed)["result"][0]["expressions"][0]["value"]
    return [found.get(str(place)) for place in range(len(inputs))]
