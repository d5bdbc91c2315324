"""docs/cli.md and docs/unmodified-tools.md say what the code does: exit codes, commands, settings, variables."""

import re
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from remit.cli.commands import app
from remit.local.running.environment import KEPT, KEPT_PREFIXES
from remit.local.settings import load_settings
from remit.local.telling import Exit
from remit.local.wishes import VARIABLES

DOCS = Path(__file__).parents[2] / "docs"
CLI = (DOCS / "cli.md").read_text()
TOOLS = (DOCS / "unmodified-tools.md").read_text()


def test_every_exit_code_is_in_the_table_and_no_other() -> None:
    table = CLI.partition("## Exit codes")[2].partition("## Settings")[0]
    told = {int(code) for cells in re.findall(r"(?m)^\| ([0-9, ]+) \|", table) for code in cells.split(",")}

    assert told == {int(code) for code in Exit}


@pytest.mark.parametrize("command", sorted(get_command(app).commands))  # type: ignore[attr-defined]
def test_every_command_is_on_the_page_and_explains_itself(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"])

    assert f"`remit {command}" in CLI
    assert shown.exit_code == 0
    assert "Usage:" in shown.output


def test_the_settings_on_the_page_are_read_as_they_stand(tmp_path: Path) -> None:
    file = tmp_path / "client.toml"
    file.write_text(CLI.partition("```toml\n")[2].partition("```")[0])
    file.chmod(0o600)

    settings = load_settings({"REMIT_CONFIG": str(file)})

    assert settings.gateway.target == "gateway.example.com:8443"
    assert settings.profile("reports").labels == (("team", "finance"),)


def test_every_variable_of_remits_is_on_the_page() -> None:
    assert [name for name in VARIABLES if name.startswith("REMIT_") and f"`{name}`" not in CLI] == []


def test_every_setting_of_aws_that_a_command_keeps_is_on_the_page() -> None:
    assert [name for name in (*KEPT, *KEPT_PREFIXES) if f"`{name}`" not in TOOLS] == []
