"""The worked policy sets decide as their pages say, on claims as each platform's tokens have them, by simulation."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.configuration_folder import TEXT, ConfigurationFolder
from tests.profile_tokens import GITPOD_V3_TOKEN, ORGANIZATION
from tests.real_opa import run_opa
from typer.testing import CliRunner

from remit_server.cli.main import app

ROOT = Path(__file__).parents[2]
SETS = ROOT / "examples/policies"
GITLAB = "https://gitlab.example.com"
# docs.gitlab.com, "OpenID Connect (OIDC) Authentication Using ID Tokens": an example payload, of this set's project.
JOB = {
    "iss": GITLAB,
    "sub": "project_path:acme/shop/site:ref_type:branch:ref:main",
    "jti": "235b3a54-b797-45c7-ae9a-f72d7bc6ef5b",
    "namespace_id": "72",
    "namespace_path": "acme/shop",
    "project_id": "20",
    "project_path": "acme/shop/site",
    "user_id": "1",
    "user_login": "sample-user",
    "user_email": "sample-user@example.com",
    "user_access_level": "developer",
    "pipeline_id": "574",
    "pipeline_source": "push",
    "job_id": "302",
    "ref": "main",
    "ref_type": "branch",
    "ref_path": "refs/heads/main",
    "ref_protected": "true",
    "environment": "production",
    "environment_protected": "true",
    "deployment_tier": "production",
    "runner_environment": "self-hosted",
    "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
}
WORKSPACE = {name: value for name, value in GITPOD_V3_TOKEN.items() if name not in {"aud", "exp", "iat"}}
MONDAY = "2026-11-23T09:00:00Z"
OLGA = {
    "iss": "https://people.acme.example",
    "sub": "olga",
    "groups": ["operators"],
    "acr": "phr",
    "auth_time": 1_795_424_400 - 300,
}
ISSUERS = f"""
[[issuers]]
issuer = "{GITLAB}"
alias = "gitlab"
audience = "https://remit.acme.example"
algorithms = ["RS256"]
profile = "gitlab_ci"
carries_actor = "project_path"
source_claim = "user_login"
single_use = true
[[issuers]]
issuer = "https://app.gitpod.io"
alias = "ona"
audience = "https://remit.acme.example"
algorithms = ["RS256"]
profile = "gitpod"
tenants = ["{ORGANIZATION}"]
carries_actor = "environment_id"
source_claim = "creator_id"
"""
AGENTS = """
[[agents]]
id = "planner"
spiffe_id = "spiffe://acme.example/fleet/planner"
[[agents]]
id = "fixer"
spiffe_id = "spiffe://acme.example/fleet/worker/fixer"
"""
CEILING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gateway that trusts both platforms, knows the fleet, and has the roles of every set."""
    made = ConfigurationFolder.create(tmp_path_factory.mktemp("worked"))
    (made.folder / "ceilings/all.json").write_text(json.dumps(CEILING))
    roles = "".join(
        f'[[roles]]\narn = "arn:aws:iam::111122223333:role/remit-{name}"\nceiling_file = "ceilings/all.json"\n'
        for name in ("site", "artifacts", "tickets", "production")
    )
    return made.write(TEXT.replace("[policy]", f"{ISSUERS}{AGENTS}{roles}[policy]"))


@pytest.fixture
def simulated(configuration: Path, tmp_path: Path) -> Any:
    """Simulates a decision of a worked set, and returns what is told."""

    def ask(bundle: str, claims: Mapping[str, Any], agent: str, action: str, resource: str, **labels: str) -> Any:
        intent = {
            "purpose": "as its page says",
            "permissions": [{"actions": [action], "resources": [f"arn:aws:s3:::{resource}"]}],
            "labels": labels,
        }
        files = {"claims": claims, "intent": intent}
        arguments = ["policy", "simulate", "--config", str(configuration), "--bundle", str(SETS / bundle)]
        arguments += ["--agent", agent, "--time", MONDAY, "--format", "json"]
        for name, value in files.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(value))
            arguments += [f"--{name}", str(tmp_path / f"{name}.json")]
        outcome = CliRunner().invoke(app, arguments)
        assert outcome.exit_code in {0, 1}, outcome.output
        return json.loads(outcome.stdout)

    return ask


@pytest.mark.parametrize("name", sorted(folder.name for folder in SETS.iterdir()))
def test_a_set_is_sound_and_fully_tested_by_our_own_commands(name: str) -> None:
    check = CliRunner().invoke(app, ["policy", "check", "--strict", "--bundle", str(SETS / name)])
    test = CliRunner().invoke(app, ["policy", "test", "--threshold", "100", "--bundle", str(SETS / name)])

    assert (check.exit_code, test.exit_code) == (0, 0), check.output + test.output
    assert "100.00 %) reasons" in test.output


@pytest.mark.parametrize("name", sorted(folder.name for folder in SETS.iterdir()))
def test_the_real_opa_finds_a_set_sound(name: str, tmp_path: Path) -> None:
    shutil.copytree(SETS / name, tmp_path / name)

    run_opa("check", "--strict", "--bundle", str(tmp_path / name))
    unformatted = run_opa("fmt", "--list", str(tmp_path / name))
    passed = run_opa("test", "--bundle", str(tmp_path / name))

    assert unformatted == ""
    assert "PASS" in passed
    assert "FAIL" not in passed


@pytest.mark.parametrize("name", sorted(folder.name for folder in SETS.iterdir()))
def test_the_schemas_of_a_set_are_the_gateways_own(name: str) -> None:
    own = {file.name: file.read_text() for file in (ROOT / "policies/schemas").iterdir()}

    assert {file.name: file.read_text() for file in (SETS / name / "schemas").iterdir()} == own


def test_a_protected_production_job_deploys(simulated: Any) -> None:
    told = simulated(
        "gitlab-gitpod", JOB, "gitlab:acme/shop/site", "s3:PutObject", "acme-site/index.html", environment="production"
    )

    assert (told["allowed"], told["entitlements"]) == (True, ["site-deploy"])
    assert told["cloudtrail"]["session/userIdentity.sessionContext.sourceIdentity"] == "gitlab.sample-user"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ref_protected": "false"}, "ref_not_protected"),
        ({"environment": "staging"}, "environment_differs"),
        ({"pipeline_source": "merge_request_event"}, "source_not_accepted"),
        ({"project_id": "4711"}, "project_replaced"),
    ],
)
def test_any_other_job_of_the_same_project_only_previews(simulated: Any, changes: dict[str, str], code: str) -> None:
    job = JOB | changes
    deploy = simulated(
        "gitlab-gitpod", job, "gitlab:acme/shop/site", "s3:PutObject", "acme-site/index.html", environment="production"
    )
    preview = simulated("gitlab-gitpod", job, "gitlab:acme/shop/site", "s3:PutObject", "acme-site-preview/1/index.html")

    assert [one["code"] for one in deploy["decision"]["reasons"]] == [code]
    assert (preview["allowed"], preview["entitlements"]) == (True, ["site-preview"])


def test_a_persons_workspace_reads_artifacts_and_writes_nothing(simulated: Any) -> None:
    agent = f"ona:{WORKSPACE['environment_id']}"
    reads = simulated("gitlab-gitpod", WORKSPACE, agent, "s3:GetObject", "acme-artifacts/build/1.tar")
    writes = simulated("gitlab-gitpod", WORKSPACE, agent, "s3:PutObject", "acme-artifacts/build/1.tar")
    service = simulated(
        "gitlab-gitpod",
        WORKSPACE | {"creator_principal": "service_account"},
        agent,
        "s3:GetObject",
        "acme-artifacts/build/1.tar",
    )

    assert reads["entitlements"] == ["workspace-reader"]
    assert writes["allowed"] is False
    assert [one["code"] for one in service["decision"]["reasons"]] == ["not_a_person"]


def test_an_operator_with_a_fresh_passkey_has_production_changed_by_the_fixer_alone(simulated: Any) -> None:
    fixer = simulated("agent-fleet", OLGA, "fixer", "s3:PutObject", "acme-production/config/a")
    planner = simulated("agent-fleet", OLGA, "planner", "s3:PutObject", "acme-production/config/a")

    assert (fixer["entitlements"], fixer["expire_time"]) == (["production-writer"], "2026-11-23T09:15:00+00:00")
    assert planner["reason"] == "CEILING_EXCEEDED"


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"acr": "mfa"}, "stronger_login_needed"), ({"auth_time": 1_795_424_400 - 700}, "login_too_old")],
    ids=["weak", "old"],
)
def test_whoever_must_sign_in_again_is_told_to(simulated: Any, changes: dict[str, Any], code: str) -> None:
    told = simulated("agent-fleet", OLGA | changes, "fixer", "s3:PutObject", "acme-production/config/a")

    assert (told["reason"], told["remedy"]) == ("POLICY_DENIED", "REAUTHENTICATE")
    assert [one["code"] for one in told["decision"]["reasons"]] == [code]


@pytest.mark.parametrize("name", sorted(folder.name for folder in SETS.iterdir()))
def test_whoever_activates_a_set_can_activate_another_one(name: str) -> None:
    """A set without an administration would lock out everybody who is not in the configuration."""
    query = "[data.remit.admin.decision.allow, data.remit.admin.decision.visible]"
    caller = {"issuer": "https://people.acme.example", "id": "olga", "kind": "person", "groups": ["security"]}
    question = {"caller": caller, "rpc": "PolicyService.ActivateRevision", "target": None}

    answered = run_opa(
        "eval", "--bundle", str(SETS / name), "--stdin-input", "--format", "raw", query, stdin=json.dumps(question)
    )

    assert json.loads(answered) == [True, "all"]


@pytest.mark.parametrize("name", sorted(folder.name for folder in SETS.iterdir()))
def test_the_commands_of_a_sets_page_work_as_written(name: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    page = tmp_path / "examples/policies" / name / "README.md"
    (commands,) = re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)

    done = subprocess.run(  # noqa: S603 - the very lines that a person is told to paste
        ["/bin/bash", "-ec", commands],
        cwd=page.parent,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nALLOWED" in done.stdout
