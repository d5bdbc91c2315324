"""docs/mcp.md says what the server does: its settings, its tools, what a refusal holds, and what can go wrong."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from remit.cli.commands import app
from remit.local.explaining import REASONS
from remit.local.settings import parse_settings
from remit.mcp.answers import Problem
from remit.mcp.tools import Tools

PAGE = (Path(__file__).parents[2] / "docs" / "mcp.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", blocks("toml"))
def test_every_block_is_read_as_settings(block: str) -> None:
    settings = parse_settings(block, Path("client.toml")).mcp

    assert (settings.confirm is None) is ("[mcp.confirm]" not in block)
    assert (settings.exchange is None) is ("[mcp.exchange]" not in block)


def test_the_tools_of_the_table_are_those_that_there_are() -> None:
    section = PAGE.partition("## The tools")[2].partition("\n## ")[0]

    told = re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)

    assert set(told) == {name for name in vars(Tools) if not name.startswith("_")} - {
        "desk",
        "profiles",
        "who",
        "confirmation",
        "offer",
    }


def test_a_refusal_has_the_members_that_are_shown() -> None:
    refusal: dict[str, Any]
    (refusal,) = (json.loads(block) for block in blocks("json") if "status" in block)

    assert refusal.keys() <= Problem.model_fields.keys()
    Problem.model_validate(refusal)


def test_what_goes_wrong_is_explained_by_the_command_as_well() -> None:
    section = PAGE.partition("## What goes wrong")[2]

    told = re.findall(r"^\| `([A-Z_]+)`", section, flags=re.MULTILINE)

    assert len(told) > 4
    assert [reason for reason in told if reason not in REASONS] == []


def test_the_commands_that_set_it_up_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shell,) = (block for block in blocks("sh") if "remit init" in block)
    for name in ("REMIT_CONFIG", "AWS_CONFIG_FILE", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in ("agent.pem", "agent.key"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    words = shlex.split(shell.partition("remit init")[2].partition("\nremit login")[0].replace("\\\n", ""))

    done = CliRunner().invoke(app, ["init", *words, "--dry-run", "--completion", "none"])

    assert done.exit_code == 0, done.output
