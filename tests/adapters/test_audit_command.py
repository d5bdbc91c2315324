import json
from pathlib import Path

import pytest
from tests.ledger_values import NAME, asked, task_id, told_story
from typer.testing import CliRunner

from remit_server.cli.audit import app


@pytest.fixture
async def story(tmp_path: Path) -> Path:
    return await told_story(tmp_path / "ledger.db")


def test_the_command_lists_the_newest_records(story: Path) -> None:
    result = CliRunner().invoke(app, ["list", "--database", str(story), "--limit", "2"])

    assert result.exit_code == 0
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert [(sequence, kind) for sequence, _, kind, _ in lines] == [("8", "task_ended"), ("9", "request_refused")]


def test_the_command_lists_json(story: Path) -> None:
    arguments = ["list", "--database", f"sqlite:///{story}", "--json", "--task", task_id(1), "--kind", "task_ended"]

    result = CliRunner().invoke(app, arguments)

    assert result.exit_code == 0
    (line,) = result.stdout.splitlines()
    assert json.loads(line)["record"]["grants"] == [NAME]


def test_the_command_verifies(story: Path) -> None:
    result = CliRunner().invoke(app, ["verify", "--database", str(story)])

    assert result.exit_code == 0
    assert "intact: 9 records" in result.stdout


def test_the_command_names_the_bad_record_and_fails(story: Path) -> None:
    asked(story, "UPDATE audit_events SET body = replace(body, 'alice', 'mallory') WHERE sequence = 7")

    plain = CliRunner().invoke(app, ["verify", "--database", str(story)])
    as_json = CliRunner().invoke(app, ["verify", "--database", str(story), "--json"])

    assert (plain.exit_code, as_json.exit_code) == (1, 1)
    assert "broken at record 7: its content is not what was recorded" in plain.stdout
    assert json.loads(as_json.stdout)["record"] == 7


@pytest.mark.parametrize("command", ["list", "verify"])
def test_the_command_says_that_there_is_no_database(tmp_path: Path, command: str) -> None:
    result = CliRunner().invoke(app, [command, "--database", str(tmp_path / "missing.db")])

    assert result.exit_code == 2
    assert "there is no database" in result.stderr


def test_a_record_that_was_tampered_with_cannot_steer_the_readers_terminal(story: Path) -> None:
    asked(story, "UPDATE audit_events SET body = replace(body, 'alice', 'a' || char(155) || '2J') WHERE sequence = 1")

    result = CliRunner().invoke(app, ["list", "--database", str(story)])

    assert result.exit_code == 0
    assert "\x9b" not in result.stdout
    assert result.stdout.isascii()
