"""examples/gitpod: the environment's own commands, against a gateway as the page sets it up.

A stand-in for `ona` gives the token that Ona documents: there is no Ona here.
"""

import json
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.examples.platform_gateway import EXAMPLES, bash, block, checkout, environment, gateway_of
from tests.e2e.gateways import OwnGateway
from tests.e2e.test_workload_identity import signed
from tests.waiting import until

from remit_sandbox.sandbox import Sandbox

HERE = EXAMPLES / "gitpod"
AUTOMATIONS: dict[str, Any] = yaml.safe_load((HERE / ".ona/automations.yaml").read_text())
CONTAINER: dict[str, Any] = json.loads((HERE / ".devcontainer/devcontainer.json").read_text())
SERVICE = AUTOMATIONS["services"]["remit"]["commands"]
STAND_IN = """#!/bin/bash
[ "$*" = "idp token --audience https://remit.acme.example" ] || exit 2
cat {token}
"""


@pytest.fixture(scope="module")
def gateway(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnGateway]:
    with gateway_of("gitpod", sandbox, tmp_path_factory.mktemp("gitpod")) as running:
        yield running


@pytest.fixture
def opened(sandbox: Sandbox, gateway: OwnGateway, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """An environment after its dev container has been set up: its checkout, and what a terminal has."""
    project = checkout("gitpod", tmp_path)
    commands = tmp_path / "commands"
    commands.mkdir()
    (tmp_path / "token").write_text(signed(sandbox, "gitpod"))
    (commands / "ona").write_text(STAND_IN.format(token=shlex.quote(str(tmp_path / "token"))))
    (commands / "ona").chmod(0o755)
    environ = environment(sandbox, tmp_path, gateway, **CONTAINER["containerEnv"])
    environ["PATH"] = f"{commands}:{environ['PATH']}"
    done = bash(CONTAINER["postCreateCommand"], project, environ)
    assert done.returncode == 0, done.stderr
    return project, environ


@contextmanager
def service(project: Path, environ: dict[str, str]) -> "Iterator[subprocess.Popen[str]]":
    """Runs the service of the automations as Ona does, and ends it at the end of the block."""
    with subprocess.Popen(  # noqa: S603 - the example's own command
        ["/bin/bash", "-c", SERVICE["start"]],
        cwd=project,
        env=environ,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


async def test_the_environments_programs_share_a_task_through_its_service(opened: tuple[Path, dict[str, str]]) -> None:
    project, environ = opened
    with service(project, environ) as process:
        await until(lambda: bash(SERVICE["ready"], project, environ).returncode == 0)

        done = bash(AUTOMATIONS["tasks"]["reports"]["command"], project, environ)
        told = bash(SERVICE["ready"], project, environ)
        process.terminate()
        code = process.wait(60)

    assert done.returncode == 0, done.stderr
    assert "Revenue 857" in (project / "q3/summary.md").read_text()
    assert told.stdout.count("work on the reports of the third quarter") == 1
    assert code == 0


async def test_a_denial_of_aws_is_explained(opened: tuple[Path, dict[str, str]]) -> None:
    project, environ = opened
    with service(project, environ):
        await until(lambda: bash(SERVICE["ready"], project, environ).returncode == 0)
        bash("aws --profile reports s3 ls s3://reports/2026/q3/", project, environ)

        done = bash(block("gitpod", "sh"), project, environ)

    assert "s3://reports/2026/q3/*" in done.stdout or "arn:aws:s3:::reports/2026/q3/*" in done.stdout, done.stdout


def test_the_settings_that_are_written_hold_nothing_secret(opened: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    _, environ = opened
    written = [path for path in Path(environ["HOME"]).rglob("*") if path.is_file()]

    assert {path.name for path in written} >= {"client.toml", "config"}
    assert [path for path in written if (tmp_path / "token").read_text() in path.read_text()] == []


def test_only_what_the_page_names_triggers_itself() -> None:
    assert AUTOMATIONS["services"]["remit"]["triggeredBy"] == ["postDevcontainerStart"]
    assert AUTOMATIONS["tasks"]["reports"]["triggeredBy"] == ["manual"]
