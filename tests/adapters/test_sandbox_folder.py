"""A sandbox has its folder for itself."""

from pathlib import Path

import pytest

from remit_sandbox.errors import SandboxError
from remit_sandbox.private_files import held, private_folder


def test_a_second_sandbox_in_the_same_folder_is_refused_and_told_what_to_do(tmp_path: Path) -> None:
    folder = private_folder(tmp_path / "sandbox")

    with held(folder), pytest.raises(SandboxError, match="--folder"), held(folder):
        pass


def test_the_folder_is_free_again_when_the_first_one_has_ended(tmp_path: Path) -> None:
    folder = private_folder(tmp_path / "sandbox")
    with held(folder):
        pass

    with held(folder):
        assert (folder / ".lock").exists()
