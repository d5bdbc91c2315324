"""Golden files: what `policy diff` prints. REMIT_REGENERATE_GOLDEN=1 writes them anew."""

import os
import shutil
from pathlib import Path

import pytest
from tests.policy_bundles import DEFAULT_POLICIES
from typer.testing import CliRunner

from remit_server.cli.policy import app

FOLDER = Path(__file__).parent / "policy_diff"
EDITS = (
    ("entitlements", "    approval: {groups: [security], by: others, min_approvers: 1, valid_seconds: 600}\n", ""),
    ("entitlements", ', "s3:DeleteObject"', ""),
    ("entitlements", "max_credential_seconds: 3600", "max_credential_seconds: 1800"),
    ("entitlements", "analysts: [", "analysts: [orders-writer, "),
    ("capabilities", 'resources: ["arn:aws:s3:::{bucket}/{key}"]', 'resources: ["arn:aws:s3:::{bucket}/{key}*"]'),
    ("administration", "  staff:\n    - visible: own", "  staff:\n    - visible: all"),
    ("production", "  - s3:delete\n", ""),
)


@pytest.mark.parametrize(("form", "suffix"), [("text", "txt"), ("markdown", "md"), ("json", "json")])
def test_a_change_is_told_as_written_down(form: str, suffix: str, tmp_path: Path) -> None:
    # Both sides are made here, so that the default policy may change without these files.
    before, after = tmp_path / "before", tmp_path / "after"
    shutil.copytree(FOLDER / "policy", before)
    shutil.copytree(FOLDER / "policy", after)
    for name, old, new in EDITS:
        path = after / "remit" / "catalog" / name / "data.yaml"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    result = CliRunner().invoke(app, ["diff", str(before), str(after), "--format", form])

    golden = FOLDER / f"told.{suffix}"
    if os.environ.get("REMIT_REGENERATE_GOLDEN") == "1":
        golden.write_text(result.stdout, encoding="utf-8")
    assert result.exit_code == 0
    assert result.stdout == golden.read_text(encoding="utf-8")


def test_the_policy_of_the_golden_files_was_the_default_one_once() -> None:
    assert {path.name for path in (FOLDER / "policy").iterdir()} >= {".manifest", "remit"}
    assert DEFAULT_POLICIES.is_dir()
