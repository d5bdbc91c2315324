"""The real Regal, where there is one."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest


def find_regal() -> str:
    """Returns the `regal` binary; without one the test is skipped: not every proxy has its module."""
    found = shutil.which("regal")
    if found is not None:
        return found
    pytest.skip("no regal binary on the PATH (`make policies` builds it)")


def regal_violations(folder: Path, *options: str) -> set[tuple[str, int]]:
    """Returns the rules that Regal finds broken, with their lines."""
    done = subprocess.run(  # noqa: S603 - the binary that the tests are pointed at
        [find_regal(), "lint", "--format", "json", *options, str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in {0, 3}, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    return {(one["title"], int(one["location"]["row"])) for one in printed["violations"] or ()}
