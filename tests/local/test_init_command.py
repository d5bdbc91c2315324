"""`remit init`: what it writes, what it leaves alone, and what it refuses to touch."""

import configparser
import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from remit.local.settings import load_settings

OTHERS = b"# mine\r\n[default]\r\nregion=eu-west-1\r\n\r\n[profile work]\r\nsso_session = x\r\n"
SETTINGS = ".config/remit/client.toml"
TASK = ("--purpose", 'summarise "Q3"', "--allow", "read s3://reports/2026/q3/*", "--duration", "15m")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


def environ_of(home: Path, **more: str) -> dict[str, str]:
    usual = {"HOME": str(home), "PATH": os.environ["PATH"], "SHELL": "/bin/sh", **more}
    return {**usual, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}


def init(home: Path, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "remit.cli", "init", *arguments],
        env=environ_of(home, **environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def everything(home: Path) -> dict[str, bytes]:
    return {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}


def test_a_machine_is_set_up_from_nothing(home: Path) -> None:
    done = init(
        home, "reports", *TASK, "--region", "eu-central-1", "--gateway", "gateway.example.com:8443",
        "--certificate-file", "agent.pem", "--key-file", "agent.key",
        "--issuer", "https://idp.example.com", "--client-id", "copilot",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    settings = load_settings({"REMIT_CONFIG": str(home / SETTINGS)})
    profile = settings.profile("reports")
    assert (profile.purpose, profile.allow) == ('summarise "Q3"', ("read s3://reports/2026/q3/*",))
    assert settings.gateway.target == "gateway.example.com:8443"
    assert settings.login is not None
    assert settings.login.client_id == "copilot"
    aws = configparser.ConfigParser()
    aws.read(home / ".aws" / "config")
    assert dict(aws["profile reports"]) == {
        "credential_process": f"{sys.executable} -P -m remit.cli credential-process --profile reports",
        "region": "eu-central-1",
    }
    for file in (home / ".aws" / "config", settings.file):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_is_there_stays_byte_for_byte_and_a_copy_is_kept(home: Path) -> None:
    config = home / "elsewhere"
    config.write_bytes(OTHERS)
    config.chmod(0o644)

    done = init(home, "reports", *TASK, AWS_CONFIG_FILE=str(config))

    assert done.returncode == 0, done.stderr
    assert config.read_bytes().startswith(OTHERS)
    assert (home / "elsewhere.before-remit").read_bytes() == OTHERS
    assert stat.S_IMODE(config.stat().st_mode) == 0o644


def test_a_second_time_changes_nothing_and_another_task_replaces_the_first(home: Path) -> None:
    init(home, "reports", *TASK)
    init(home, "drafts", "--purpose", "write", "--allow", "write s3://reports/drafts/*")
    before = everything(home)

    again = init(home, "reports", *TASK)
    now = everything(home)
    changed = init(home, "reports", "--purpose", "other", "--allow", "read s3://reports/2026/*")

    settings = load_settings({"REMIT_CONFIG": str(home / SETTINGS)})
    assert "is as it should be" in again.stdout
    assert now == before
    assert changed.returncode == 0, changed.stderr
    assert settings.profile("reports").purpose == "other"
    assert settings.profile("drafts").purpose == "write"


def test_a_dry_run_shows_it_and_writes_nothing(home: Path) -> None:
    done = init(home, "reports", *TASK, "--dry-run")

    assert done.returncode == 0, done.stderr
    assert "would get" in done.stdout
    assert "credential_process = " in done.stdout
    assert everything(home) == {}


def test_a_link_to_the_configuration_stays_a_link(home: Path) -> None:
    (home / "dotfiles").mkdir()
    (home / "dotfiles" / "config").write_bytes(OTHERS)
    (home / ".aws").mkdir()
    (home / ".aws" / "config").symlink_to(home / "dotfiles" / "config")

    init(home, "reports", *TASK)

    assert (home / ".aws" / "config").is_symlink()
    assert b"[profile reports]" in (home / "dotfiles" / "config").read_bytes()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_written_once_for_the_shell_of_the_user(home: Path, shell: str) -> None:
    init(home, "reports", *TASK, SHELL=f"/usr/bin/{shell}")
    once = everything(home)
    init(home, "reports", *TASK, SHELL=f"/usr/bin/{shell}")

    place = {
        "bash": ".local/share/remit/completion.bash",
        "zsh": ".zfunc/_remit",
        "fish": ".config/fish/completions/remit.fish",
    }
    assert b"_REMIT_COMPLETE" in once[place[shell]]
    assert everything(home) == once


@pytest.mark.parametrize(
    ("there", "content", "arguments", "told"),
    [
        (".aws/config", "[profile reports]\nregion = x\n", TASK, "has a profile reports that remit did not write"),
        (
            ".aws/config",
            "# remit: begin reports\n[profile reports]\n",
            TASK,
            "marks of remit that do not belong together",
        ),
        (SETTINGS, '[profiles.reports]\npurpose = "p"\nallow = ["a"]\n', TASK, "has a table [profiles.reports]"),
        (SETTINGS, '[gateway]\ntarget = "a:1"\n', (*TASK, "--gateway", "b:2"), "has a table [gateway]"),
        (SETTINGS, "[nonsense", TASK, "is not TOML"),
        ("x", "", ("--purpose", "p"), "needs purpose and allow"),
        ("x", "", ("--purpose", "p", "--allow", "reed s3://a/b"), "the nearest is read s3://"),
        ("x", "", (*TASK, "--ca-file", "x"), "given without it"),
        ("x", "", (), "has no profile 'reports'"),
        ("x", "", (*TASK, "--region", "a\nb"), "that is no region's name"),
        ("x", "", (*TASK, "--completion", "tcsh"), "completion is for bash, zsh and fish"),
        ("x", "", (*TASK, "--aws-profile", "a]b"), "a profile's name is"),
    ],
)
def test_what_cannot_be_written_safely_is_not_written_at_all(
    home: Path, there: str, content: str, arguments: tuple[str, ...], told: str
) -> None:
    file = home / there
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    file.chmod(0o600)

    done = init(home, "reports", *arguments)

    assert done.returncode == 85
    assert told in done.stderr
    assert everything(home) == {there: content.encode()}


def test_a_profile_that_is_written_down_already_gets_its_aws_profile(home: Path) -> None:
    file = home / SETTINGS
    file.parent.mkdir(parents=True)
    file.write_text('[profiles.reports]\npurpose = "p"\nallow = ["read s3://reports/*"]\n')
    file.chmod(0o600)

    done = init(home, "reports", "--aws-profile", "default")

    assert done.returncode == 0, done.stderr
    assert "[default]\ncredential_process = " in (home / ".aws" / "config").read_text()
    assert list(everything(home)) != []


def test_the_line_of_the_commands_page_works_as_it_stands(home: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^remit init (.*?)\n```", page, re.DOTALL | re.MULTILINE)

    done = init(home, *shlex.split(line.replace("\\\n", " ")))

    assert done.returncode == 0, done.stderr
    assert '[profiles."reports"]' in done.stdout
    assert "[login]" in done.stdout


def test_how_to_reach_the_issuer_is_written_too(home: Path) -> None:
    done = init(
        home, "reports", *TASK, "--gateway", "gateway.example.com:8443", "--bearer", "file:agent.jwt",
        "--issuer", "https://idp.example.com", "--client-id", "copilot",
        "--login-ca-file", "idp.pem", "--login-audience", "https://remit.example.com", "--login-token", "access_token",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    login = load_settings({"REMIT_CONFIG": str(home / SETTINGS)}).login
    assert login is not None
    assert (login.audience, login.token) == ("https://remit.example.com", "access_token")
    assert login.ca_file is not None
    assert login.ca_file.name == "idp.pem"
    assert login.ca_file.is_absolute()


def test_a_kind_of_token_that_there_is_not_is_refused_before_anything_is_written(home: Path) -> None:
    done = init(home, "reports", *TASK, "--issuer", "https://idp.example.com", "--client-id", "c", "--login-token", "x")

    assert done.returncode == 85
    assert "id_token" in done.stderr
    assert everything(home) == {}
