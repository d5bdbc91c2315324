"""Policies published and activated on the database itself, for when no gateway answers."""

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest
from tests.databases import Place, asked
from tests.e2e.watched import plain_environment
from tests.ledger_values import kinds
from tests.policy_revisions import sample_with

from remit_server.adapters.database.migrations import upgrade
from remit_server.adapters.policy.bundles.bundle import read_bundle

pytestmark = pytest.mark.timeout(300)  # each command starts an interpreter
WHO = f"offline:{pwd.getpwuid(os.getuid()).pw_name}"


class Commands:
    """`remit-server policy` on one database."""

    def __init__(self, place: Place) -> None:
        self.url = str(place) if "://" in str(place) else f"sqlite:///{place}"

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - the program under test
            [sys.executable, "-m", "remit_server", "policy", *map(str, arguments), "--offline", "--database", self.url],
            env={**plain_environment(), "LOGNAME": "somebody-else", "USER": "somebody-else"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def done(self, *arguments: str | Path) -> str:
        """Returns what a command that succeeds prints."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def commands(place: Place) -> Commands:
    upgrade(place)
    return Commands(place)


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return sample_with(tmp_path / "first", "the first")


@pytest.fixture
def second(tmp_path: Path) -> Path:
    return sample_with(tmp_path / "second", "the second")


def test_a_policy_is_published_activated_and_gone_back_from_on_record(
    commands: Commands, place: Place, first: Path, second: Path
) -> None:
    revisions = [read_bundle(folder).revision for folder in (first, second)]
    for folder, revision in zip((first, second), revisions, strict=True):
        commands.done("publish", "--bundle", folder)
        commands.done("activate", revision[:12], "--why", "no gateway answers")

    told = commands.done("rollback", "--why", "it refuses everybody", "--revoke-issued", "--yes")

    assert revisions[0][:12] in told
    assert kinds(place)[-4:] == ["revision_published", "revision_activated", "grants_revoked", "revision_activated"]
    assert asked(place, 'SELECT revision, kind, "by" FROM policy_activations ORDER BY number') == [
        (revisions[0], "ACTIVATED", WHO),
        (revisions[1], "ACTIVATED", WHO),
        (revisions[0], "ROLLED_BACK", WHO),
    ]
    assert asked(place, "SELECT source, publisher FROM policy_revisions") == [("OFFLINE", WHO)] * 2


def test_a_rollback_pressed_twice_does_not_bring_the_bad_revision_back_and_a_blocked_one_is_told(
    commands: Commands, place: Place, first: Path, second: Path
) -> None:
    revisions = [read_bundle(folder).revision for folder in (first, second)]
    for folder, revision in zip((first, second), revisions, strict=True):
        commands.done("publish", "--bundle", folder)
        commands.done("activate", revision, "--why", "x")

    once = commands.run("rollback", "--why", "it refuses everybody", "--revoke-issued", "--yes")
    again = commands.run("rollback", "--why", "pressed twice")
    ((block,),) = asked(place, "SELECT revocation_id FROM revocations")
    listed = commands.done("list")
    shown = commands.done("show", revisions[1])
    refused = commands.run("activate", revisions[1], "--why", "x")

    lift = f"remit-server grants unblock blocks/{block} --why '...'"
    assert f"From revision {revisions[1][:12]} back to {revisions[0][:12]}." in once.stderr
    assert (once.returncode, again.returncode, refused.returncode) == (0, 1, 1)
    assert "there is no revision to go back to" in again.stderr
    assert [line for line in listed.splitlines() if line.startswith("blocked") and revisions[1][:12] in line]
    assert (lift in shown, lift in refused.stderr) == (True, True)


def test_what_is_published_is_listed_and_shown(commands: Commands, first: Path) -> None:
    revision = read_bundle(first).revision
    commands.done("publish", "--bundle", first)
    commands.done("activate", revision, "--why", "the first")

    listed = json.loads(commands.done("list", "--json"))
    shown = commands.done("show")

    assert (listed["revision"], listed["active"]) == (revision, True)
    assert revision in shown
    assert "the first" in shown


def test_a_bundle_that_lets_strangers_in_is_not_published(commands: Commands, place: Place, tmp_path: Path) -> None:
    rule = 'package remit.issue\n\ndecision := {"allow": true}\n'
    folder = sample_with(tmp_path / "open", "open", {"remit/issue/issue.rego": rule})

    done = commands.run("publish", "--bundle", folder)

    assert (done.returncode, kinds(place)) == (1, [])
    assert "stranger" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("activate", "f" * 64, "--why", "x"), 1, "NOT_FOUND"),
        (("rollback", "--why", "x"), 1, "NOT_FOUND: no revision is active yet"),
        (("show",), 1, "NOT_FOUND"),
    ],
    ids=["unknown", "nothing_before", "none_active"],
)
def test_what_cannot_be_done_is_told_in_a_sentence(
    tmp_path: Path, arguments: tuple[str, ...], code: int, told: str
) -> None:
    upgrade(tmp_path / "ledger.db")

    done = Commands(tmp_path / "ledger.db").run(*arguments)

    assert (done.returncode, told in done.stderr, "Traceback" in done.stderr) == (code, True, False)


def test_a_database_that_was_never_a_gateways_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    done = Commands(tmp_path / "none.db").run("list")

    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "none.db").exists()
