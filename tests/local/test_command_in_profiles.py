"""The command that AWS profiles name runs this very remit, whatever lies in the folder that a tool happens to be in."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from remit.local.setting_up import aws_profile
from remit.mcp import profiles

PLANTED = "print('planted'); raise SystemExit(0)\n"


@pytest.fixture
def agents_folder(tmp_path: Path) -> Path:
    """A folder that an agent works in, with modules of the names that are imported first."""
    folder = tmp_path / "repository"
    (folder / "remit").mkdir(parents=True)
    (folder / "remit" / "__init__.py").write_text(PLANTED)
    (folder / "json.py").write_text(PLANTED)
    return folder


@pytest.mark.parametrize("command", [profiles.remit_command, aws_profile.remit_command], ids=["remit-mcp", "init"])
def test_no_module_of_an_agents_folder_is_run_where_the_script_is_not_beside_python(
    command: Callable[[], list[str]], agents_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = agents_folder.parent / "python"  # as where the script went to ~/.local/bin
    alone.symlink_to(Path(sys.executable).resolve())
    monkeypatch.setattr(sys, "executable", str(alone))
    monkeypatch.setattr(sys, "argv", ["-m"])
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}

    words = [*command(), "credential-process", "--handle", "none", "--socket", str(agents_folder / "none.sock")]
    done = subprocess.run(words, cwd=agents_folder, env=environ, capture_output=True, text=True, check=False)  # noqa: S603 - ours

    assert "planted" not in done.stdout
    assert "ENDPOINT_REFUSED" in done.stderr  # it was remit itself that looked at the place
