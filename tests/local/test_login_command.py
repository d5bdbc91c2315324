"""`remit login` and `remit logout` as somebody types them, at the sandbox's issuer."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.visitor import Visitor

from remit.local.login import login_source
from remit.local.login.device import Prompt
from remit.local.settings import load_settings
from remit_sandbox.certificates import Authority
from remit_sandbox.issuer import LocalIssuer

REMIT = [sys.executable, "-m", "remit.cli"]


@pytest.fixture
def environ(honest: LocalIssuer, authority: Authority, tmp_path: Path, state_folder: Path) -> dict[str, str]:
    """The environment of somebody whose settings name the sandbox's issuer; no window can be opened in it."""
    file = tmp_path / "client.toml"
    file.write_text(
        f"[login]\nissuer = {json.dumps(honest.url)}\nclient_id = 'copilot'\ntoken = 'access_token'\n"
        f"ca_file = {json.dumps(str(authority.bundle_path))}\n"
    )
    file.chmod(0o600)
    usual = {name: value for name, value in os.environ.items() if name not in {"DISPLAY", "WAYLAND_DISPLAY"}}
    return {**usual, "REMIT_CONFIG": str(file), "XDG_STATE_HOME": str(state_folder.parents[1])}


@contextmanager
def remit(environ: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(  # noqa: S603 - our own command
        [*REMIT, *arguments], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def shown_by(process: subprocess.Popen[str], pattern: str) -> str:
    """Reads what is shown on standard error until it says this; returns what was asked for of it."""
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(pattern, line):
            return found.group(1)
    raise AssertionError(f"nothing said {pattern}")


def test_somebody_signs_in_by_the_command_and_out_again(
    honest: LocalIssuer, authority: Authority, environ: dict[str, str]
) -> None:
    with remit(environ, "login", "--no-keyring") as process:  # without a window the device flow is the way
        code = shown_by(process, r"^  ([A-Z]{4}-[A-Z]{4})$")
        page = shown_by(process, r"(https://\S+user_code=\S+)")
        Visitor(honest, authority).enters(Prompt(page.partition("?")[0], page, code))
        told, more = process.communicate(timeout=60)

    token = login_source(load_settings(environ))()

    assert process.returncode == 0, more
    assert f"Signed in as alice at {honest.url}." in told
    assert "(mode 0600); the token works for 29 minutes, and it is refreshed silently." in told
    assert token.count(".") == 2
    assert token not in told + more

    with remit(environ, "logout") as process:
        told, _ = process.communicate(timeout=60)

    assert process.returncode == 0
    assert "the sign-in is forgotten here" in told


def test_somebody_signs_in_with_a_browser_on_a_fixed_port(
    honest: LocalIssuer, authority: Authority, environ: dict[str, str]
) -> None:
    with remit(environ, "login", "--browser", "--no-keyring") as process:
        page = shown_by(process, r"^  (https://\S+)$")
        Visitor(honest, authority, user="bob").visits(page)
        told, more = process.communicate(timeout=60)

    assert process.returncode == 0, more
    assert "Signed in as bob" in told


def test_a_refused_sign_in_is_told_with_its_reason_and_exit_code(
    honest: LocalIssuer, authority: Authority, environ: dict[str, str]
) -> None:
    with remit(environ, "login", "--device") as process:
        code = shown_by(process, r"^  ([A-Z]{4}-[A-Z]{4})$")
        page = shown_by(process, r"(https://\S+user_code=\S+)")
        Visitor(honest, authority, answer="deny").enters(Prompt(page.partition("?")[0], page, code))
        _, more = process.communicate(timeout=60)

    assert process.returncode == 82
    assert "LOGIN_REFUSED: the sign-in was refused at the issuer" in more
    assert "what to do: sign in: remit login" in more


@pytest.mark.parametrize(
    ("arguments", "exit_code", "told"),
    [(["login", "--device", "--browser"], 2, "--device or --browser"), (["login"], 82, "has no [login]")],
)
def test_a_login_that_cannot_begin_says_why(
    environ: dict[str, str], arguments: list[str], exit_code: int, told: str
) -> None:
    Path(environ["REMIT_CONFIG"]).write_text("")

    with remit(environ, *arguments) as process:
        _, more = process.communicate(timeout=60)

    assert process.returncode == exit_code
    assert told in more
