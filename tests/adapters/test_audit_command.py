import json
import re
from pathlib import Path

import pytest
from tests.databases import Place
from tests.fakes import FakeClock
from tests.ledger_values import NAME, WHO, asked, grant_id, refused_record, task_id, told_story
from typer.testing import CliRunner

from remit_server.adapters.database.ledger import open_ledger
from remit_server.cli.audit import app


@pytest.fixture
async def story(place: Place) -> Place:
    return await told_story(place)


def url_of(place: Place) -> str:
    return f"sqlite:///{place}" if isinstance(place, Path) else place


def test_the_command_lists_the_newest_records(story: Place) -> None:
    result = CliRunner().invoke(app, ["list", "--database", str(story), "--limit", "2"])

    assert result.exit_code == 0
    title, *rows = [re.split(r" {2,}", line.strip()) for line in result.stdout.splitlines()]
    assert title == ["#", "time (UTC)", "kind", "about"]
    assert [(sequence, kind) for sequence, _, kind, _ in rows] == [("8", "task_ended"), ("9", "request_refused")]


def test_a_line_says_who_why_and_which_grant_or_task(story: Place) -> None:
    result = CliRunner().invoke(app, ["list", "--database", str(story)])

    lines = result.stdout.splitlines()
    assert max(len(line) for line in lines) < 200
    assert f"{WHO.subject_id} by {WHO.actor_id}; POLICY_DENIED: policy says no; request request-1" in lines[9]
    assert lines[8].endswith(f"task {task_id(2)}")
    assert lines[3].endswith(f"grant {grant_id(1)}")


async def test_a_long_message_does_not_push_out_what_it_belongs_to(place: Place) -> None:
    async with open_ledger(place, FakeClock()) as ledger:
        await ledger.refuse(None, None, refused_record("no " * 1000))

    result = CliRunner().invoke(app, ["list", "--database", str(place)])

    (_, line) = result.stdout.splitlines()
    assert line.endswith("...; request request-1")
    assert len(line) < 300


def test_an_unknown_kind_is_told_with_the_kinds_there_are(story: Place) -> None:
    result = CliRunner().invoke(app, ["list", "--database", str(story), "--kind", "foo"])

    assert result.exit_code == 2
    assert "no kind of record called foo" in result.stderr
    for kind in ("callers_rejected", "security_event_received", "gateway_started"):
        assert kind in result.stderr


def test_a_task_without_records_is_told(story: Place) -> None:
    result = CliRunner().invoke(app, ["list", "--database", str(story), "--task", "t-unknown"])

    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "There are no records of task t-unknown.\n"


def test_the_command_lists_json(story: Place) -> None:
    arguments = ["list", "--database", url_of(story), "--json", "--task", task_id(1), "--kind", "task_ended"]

    result = CliRunner().invoke(app, arguments)

    assert result.exit_code == 0
    (line,) = result.stdout.splitlines()
    assert json.loads(line)["record"]["grants"] == [NAME]


def test_the_command_verifies(story: Place) -> None:
    result = CliRunner().invoke(app, ["verify", "--database", str(story)])

    assert result.exit_code == 0
    assert "intact: 9 records" in result.stdout
    assert "2 of 2 inputs are kept, each as it was decided on." in result.stdout


def test_verifying_says_how_many_inputs_were_erased(story: Place) -> None:
    asked(story, "DELETE FROM audit_texts WHERE digest = (SELECT min(digest) FROM audit_texts)")

    plain = CliRunner().invoke(app, ["verify", "--database", str(story)])
    as_json = CliRunner().invoke(app, ["verify", "--database", str(story), "--json"])

    assert (plain.exit_code, as_json.exit_code) == (0, 0)
    assert "1 of 2 inputs are kept, 1 erased, which the chain allows." in plain.stdout
    assert json.loads(as_json.stdout)["inputs"] == {"named": 2, "kept": 1}


def test_verifying_says_that_the_working_tables_are_not_covered(story: Place) -> None:
    asked(story, "UPDATE grants SET expire_time = '2036-11-23T12:15:00.000000+00:00'")

    result = CliRunner().invoke(app, ["verify", "--database", str(story)])

    assert result.exit_code == 0
    assert "not the working tables (tasks, grants)" in result.stdout


@pytest.mark.parametrize("command", ["list", "verify"])
def test_what_is_no_ledger_is_told_with_how_to_copy_one(tmp_path: Path, command: str) -> None:
    (tmp_path / "copy.db").touch()

    result = CliRunner().invoke(app, [command, "--database", str(tmp_path / "copy.db")])

    assert result.exit_code == 2
    assert "no such table" in result.stderr
    assert 'sqlite3 DB ".backup COPY"' in result.stderr


def test_the_command_names_the_bad_record_and_fails(story: Place) -> None:
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


def test_a_record_that_was_tampered_with_cannot_steer_the_readers_terminal(story: Place) -> None:
    asked(story, "UPDATE audit_events SET body = replace(body, 'alice', ?) WHERE sequence = 1", "a\x9b2J")

    result = CliRunner().invoke(app, ["list", "--database", str(story)])

    assert result.exit_code == 0
    assert "\x9b" not in result.stdout
    assert result.stdout.isascii()
