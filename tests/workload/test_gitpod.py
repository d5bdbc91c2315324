"""A Gitpod or Ona environment's own command prints the token: real programs on a PATH, each as bad as it can be."""

import shlex
import sys
from pathlib import Path

import pytest
from tests.waiting import until
from tests.workload.tokens import AUDIENCE, jwt

from remit import workload
from remit.workload import NoWorkloadIdentity, gitpod_command


class Environment:
    """A PATH with the platform's commands, and the arguments that they were given."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "arguments"

    def install(self, name: str, script: str) -> None:
        """Puts a command there; its script finds the arguments in "$@"."""
        command = self.folder / name
        command.write_text(f'#!/bin/sh\nprintf "%s\\n" {name} "$@" >> {shlex.quote(str(self.log))}\n{script}\n')
        command.chmod(0o755)

    def arguments(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return Environment(tmp_path)


def failure() -> NoWorkloadIdentity:
    with pytest.raises(NoWorkloadIdentity) as raised:
        workload.gitpod(AUDIENCE)()
    assert "canary" not in str(raised.value)
    return raised.value


@pytest.mark.parametrize("name", ["ona", "gitpod", "gp"])
def test_the_environments_command_is_asked_for_the_audience(environment: Environment, name: str) -> None:
    token = jwt()
    environment.install(name, f"echo {token}")

    assert workload.gitpod(AUDIENCE)() == token
    assert environment.arguments() == [name, "idp", "token", "--audience", AUDIENCE]


def test_the_newest_of_the_commands_is_taken(environment: Environment) -> None:
    token = jwt()
    environment.install("gp", "exit 1")
    environment.install("ona", f"echo {token}")

    assert workload.gitpod(AUDIENCE)() == token


def test_its_token_is_kept(environment: Environment) -> None:
    environment.install("ona", f"echo {jwt()}")
    token = workload.gitpod(AUDIENCE)

    assert token() == token()
    assert environment.arguments().count("ona") == 1


def test_no_shell_reads_the_audience(environment: Environment) -> None:
    environment.install("ona", f"echo {jwt()}")
    audience = f"a; touch {environment.folder / 'touched'} $(id) `id` 'b'"

    workload.gitpod(audience)()

    assert environment.arguments()[-1] == audience
    assert not (environment.folder / "touched").exists()


def test_outside_of_an_environment_it_says_so(environment: Environment) -> None:
    error = failure()

    assert error.message == "none of ona, gitpod, gp is on the PATH"
    assert "inside an Ona or Gitpod environment" in error.advice
    assert environment.arguments() == []


@pytest.mark.parametrize("entry", ["", ".", "tools"])
def test_a_command_in_the_folder_that_the_agent_works_in_is_not_run(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    folder = environment.folder / "work"
    (folder / "tools").mkdir(parents=True)
    planted = Environment(folder / entry)
    planted.install("ona", f"echo {jwt()}")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{entry}:/usr/bin:/bin")

    assert failure().message == "none of ona, gitpod, gp is on the PATH"
    assert planted.arguments() == []


def test_a_command_that_fails_is_told_with_what_it_said_but_no_token(environment: Environment) -> None:
    environment.install("ona", f"echo 'not signed in: {jwt(jti='canary')}' >&2; exit 3")

    assert failure().message == "`ona idp token` ended with 3: not signed in: ***"


def test_one_that_prints_something_else_is_refused(environment: Environment) -> None:
    environment.install("ona", "echo canary: signed in as alice")

    assert failure().message == "gitpod gave something that is no signed JWT"


def test_one_that_prints_without_end_is_stopped(environment: Environment) -> None:
    environment.install("ona", "exec cat /dev/zero")

    assert failure().message == "`ona idp token` printed more than a token"


def test_one_that_says_too_much_on_its_way_is_heard_to_a_limit(environment: Environment) -> None:
    environment.install("ona", f"{sys.executable} -c 'import sys; sys.stderr.write(\"no \" * 9000)'; exit 1")

    assert len(failure().message) < 400


async def test_one_that_hangs_is_ended_with_what_it_started(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gitpod_command, "SECONDS", 0.3)
    children = environment.folder / "children"
    environment.install("ona", f"sleep 600 & echo $! > {children}; wait")

    error = failure()

    assert "gave no answer within" in error.message
    await until(lambda: _ended(int(children.read_text())))


def _ended(number: int) -> bool:
    """Says whether a process is gone, or only its end is left to be taken note of."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}
    except FileNotFoundError:
        return True
