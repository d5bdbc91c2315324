"""examples/gitlab-ci: the job's own script, run as GitLab's runner does, against a gateway as the page sets it up."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.examples.platform_gateway import EXAMPLES, bash, block, checkout, environment, gateway_of
from tests.e2e.gateways import OwnGateway
from tests.e2e.test_workload_identity import signed

from remit_sandbox.sandbox import Sandbox

JOB: dict[str, Any] = yaml.safe_load((EXAMPLES / "gitlab-ci" / ".gitlab-ci.yml").read_text())["report"]
RUNNERS_UMASK = 0
RUNNERS_BASH = ("-e", "-o", "pipefail")


@pytest.fixture(scope="module")
def gateway(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnGateway]:
    with gateway_of("gitlab-ci", sandbox, tmp_path_factory.mktemp("gitlab")) as running:
        yield running


def job(sandbox: Sandbox, gateway: OwnGateway, folder: Path) -> tuple[Path, dict[str, str]]:
    """Returns the project's folder and the job's environment, its token made as GitLab makes it."""
    project = checkout("gitlab-ci", folder, umask=RUNNERS_UMASK)
    variables = {name: value.replace("$CI_PROJECT_DIR", str(project)) for name, value in JOB["variables"].items()}
    tokens = {name: signed(sandbox, "gitlab") for name in JOB["id_tokens"]}
    platform = {"CI": "true", "GITLAB_CI": "true", "CI_PROJECT_DIR": str(project)}
    return project, environment(sandbox, folder, gateway, **platform, **variables, **tokens)


def kept(sandbox: Sandbox, prefix: str) -> set[str]:
    """Returns what is in the bucket below the prefix; other tests of the same sandbox may have written there too."""
    listed = sandbox.aws.client("s3").list_objects_v2(Bucket="reports", Prefix=prefix)["Contents"]
    return {str(one["Key"]).removeprefix(prefix) for one in listed}


def test_the_job_copies_the_reports_and_no_credentials_stay(
    sandbox: Sandbox, gateway: OwnGateway, tmp_path: Path
) -> None:
    project, environ = job(sandbox, gateway, tmp_path)

    done = bash("\n".join(JOB["script"]), project, environ, *RUNNERS_BASH)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Revenue 857" in (project / "q3/summary.md").read_text()
    copied = {path.name for path in (project / "q3").iterdir()}
    assert copied == kept(sandbox, "2026/q3/") >= {"revenue.csv", "summary.md"}
    assert done.stderr.startswith("remit: task ")
    assert list((tmp_path / "home").rglob("*.json")) == []
    assert all(token not in done.stdout + done.stderr for token in (environ[name] for name in JOB["id_tokens"]))


def test_the_jobs_token_is_asked_for_the_gateways_audience() -> None:
    assert [one["aud"] for one in JOB["id_tokens"].values()] == ["https://remit.acme.example"]


def test_a_job_that_asks_for_more_is_refused_before_its_command_starts(
    sandbox: Sandbox, gateway: OwnGateway, tmp_path: Path
) -> None:
    project, environ = job(sandbox, gateway, tmp_path)
    prepare, *_ = JOB["script"]

    done = bash(f"{prepare}\n{block('gitlab-ci', 'sh')}", project, environ, *RUNNERS_BASH)

    assert done.returncode == 80, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("CEILING_EXCEEDED: ")


def test_the_command_does_not_see_the_jobs_token(sandbox: Sandbox, gateway: OwnGateway, tmp_path: Path) -> None:
    project, environ = job(sandbox, gateway, tmp_path)
    prepare, run = JOB["script"]

    done = bash(f"{prepare}\n{run.partition(' -- ')[0]} -- env", project, environ, *RUNNERS_BASH)

    assert done.returncode == 0, done.stderr
    assert "AWS_CONTAINER_CREDENTIALS_FULL_URI=" in done.stdout
    assert [name for name in JOB["id_tokens"] if name in done.stdout] == []
