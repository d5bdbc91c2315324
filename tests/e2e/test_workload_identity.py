"""What each platform gives a workload is taken by the real gateway: as the agent's own proof, and as whom it works for.

The platforms are local: GitHub's endpoint, a job's variable, a kubelet's volume, an environment's command and a SPIFFE
agent, as their vendors document them. Their tokens are the documented ones, signed by the sandbox's issuer, by whose
keys the gateway's issuers go.
"""

import dataclasses
import json
import shlex
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.adapters.test_claim_profiles import GITLAB_ID_TOKEN
from tests.e2e.gateways import Q3, OwnGateway, own_gateway
from tests.policy_bundles import DEFAULT_POLICIES
from tests.profile_tokens import GITHUB_TOKEN, GITPOD_V3_TOKEN, KUBERNETES_TOKEN
from tests.waiting import until
from tests.workload.github_endpoint import REQUEST_TOKEN, github_endpoint
from tests.workload.test_read_tokens import Kubelet
from tests.workload.workload_api_server import WorkloadApi, workload_api, x509_of

import remit
from remit.local.connecting import begin, gateway_of
from remit.local.wishes import Caller, Wish
from remit_sandbox.configuration import AGENTS
from remit_sandbox.sandbox import Sandbox
from remit_server.adapters.policy.bundles.bundle import stamp

AUDIENCE = "https://remit.acme.example"
AWS_TOKEN: dict[str, Any] = {
    # docs.aws.amazon.com, IAM user guide, "Understanding token claims"
    "iss": "https://abc123-def456-ghi789-jkl012.tokens.sts.global.api.aws",
    "aud": AUDIENCE,
    "sub": "arn:aws:iam::123456789012:role/DataProcessingRole",
    "jti": "xyz123-def456-ghi789-jkl012",
    "https://sts.amazonaws.com/": {
        "aws_account": "123456789012",
        "source_region": "us-east-1",
        "org_id": "o-abc1234567",
    },
}
SPIRE_TOKEN: dict[str, Any] = {
    # SPIFFE JWT-SVID 3, with the `iss` that SPIRE adds (`jwt_issuer`)
    "iss": "https://oidc.acme.example",
    "aud": [AUDIENCE],
    "sub": "spiffe://acme.example/reporter",
}
PLATFORMS: dict[str, dict[str, Any]] = {
    "gitlab": {**GITLAB_ID_TOKEN, "aud": AUDIENCE},
    "github": GITHUB_TOKEN,
    "gitpod": GITPOD_V3_TOKEN,
    "kubernetes": {**KUBERNETES_TOKEN, "aud": ["remit"]},
    "aws": AWS_TOKEN,
    "spire": SPIRE_TOKEN,
}
ACTORS = {
    "gitlab": "gitlab:my-group/platform/my-project",
    "github": "github:74",
    "gitpod": "gitpod:e5f6a7b8-0000-4000-8000-000000000004",
    "kubernetes": "kubernetes:system:serviceaccount:my-namespace:my-serviceaccount",
    "aws": "aws:arn:aws:iam::123456789012:role/DataProcessingRole",
    "spire": "spire:spiffe://acme.example/reporter",
}
ISSUER = """
[[issuers]]
issuer = "{issuer}"
alias = "{alias}"
audience = "{audience}"
algorithms = ["RS256"]
key_set_url = "{keys}"
allowed_hosts = ["127.0.0.1"]
ca_file = "{authority}"
{more}
"""
MORE = {
    "gitlab": 'profile = "gitlab_ci"\ncarries_actor = "project_path"\nsource_claim = "user_login"\nsingle_use = true',
    "github": 'profile = "github_actions"\ntenants = ["65"]\ncarries_actor = "repository_id"\nsingle_use = true',
    "gitpod": 'profile = "gitpod"\ntenants = ["a1b2c3d4-0000-4000-8000-000000000001"]\n'
    'carries_actor = "environment_id"\nsource_claim = "creator_id"',
    "kubernetes": 'profile = "kubernetes"\ncarries_actor = "sub"',
    "aws": "subjects = false\nactors = true",
    "spire": "subjects = false\nactors = true",
}
AGENT = """
[[agents]]
id = "{alias}-agent"
issuer = "{issuer}"
subject = "{subject}"
client_ids = ["sandbox:reporter"]
"""
GROUPS = """
by_group:
  my-group: [reports-reader]
  "repository:74": [reports-reader]
  "organization:a1b2c3d4-0000-4000-8000-000000000001": [reports-reader]
  "system:serviceaccounts:my-namespace": [reports-reader]
"""
EVERY_PLATFORM = ", ".join(
    f'"{actor}"' for actor in ("sandbox:reporter", "spiffe://remit.sandbox/agent/*", *ACTORS.values())
)


def policies(folder: Path) -> Path:
    """Returns the default policy, with the platforms' actors and groups in it."""
    bundle = folder / "policies"
    shutil.copytree(DEFAULT_POLICIES, bundle)
    file = bundle / "remit/catalog/entitlements/data.yaml"
    text = file.read_text()
    actors = 'actors: ["spiffe://remit.sandbox/agent/*", "sandbox:reporter"]'
    assert actors in text
    text = text.replace(actors, f"actors: [{EVERY_PLATFORM}]", 1).replace("\nby_group:\n", GROUPS, 1)
    file.write_text(text)
    stamp(bundle)
    return bundle


def issuers(sandbox: Sandbox) -> str:
    """Returns the tables of the platforms' issuers, and of the agents that prove themselves by tokens of their own."""
    keys, authority = f"{sandbox.issuer.url}/jwks", sandbox.authority.bundle_path
    tables = [
        ISSUER.format(
            issuer=token["iss"],
            alias=alias,
            audience="remit" if alias == "kubernetes" else AUDIENCE,
            keys=keys,
            authority=authority,
            more=MORE[alias],
        )
        for alias, token in PLATFORMS.items()
    ]
    agents = [
        AGENT.format(alias=alias, issuer=PLATFORMS[alias]["iss"], subject=PLATFORMS[alias]["sub"])
        for alias in ("aws", "spire")
    ]
    return "".join(tables + agents)


@pytest.fixture(scope="module")
def gateway(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnGateway]:
    """A gateway that knows every platform."""
    folder = tmp_path_factory.mktemp("platforms")
    config = folder / "sandbox.toml"
    text = sandbox.config.read_text().replace("\n[[agents]]\n", f"\n{issuers(sandbox)}\n[[agents]]\n", 1)
    config.write_text(text)
    with own_gateway(dataclasses.replace(sandbox, config=config), folder, {"bundle": str(policies(folder))}) as running:
        yield running


def signed(sandbox: Sandbox, platform: str, *, lifetime: int = 600) -> str:
    """Returns the platform's documented token as of now."""
    now = int(time.time())
    times = {"iat": now, "exp": now + lifetime, "jti": str(uuid.uuid4())}
    claims = {**PLATFORMS[platform], **times}
    if "nbf" in claims:
        claims["nbf"] = now
    return sandbox.issuer.signed(claims)


def read_report(
    sandbox: Sandbox, gateway: OwnGateway, bearer: remit.workload.WorkloadToken, subject: Any
) -> remit.Grant:
    """Reads a report at AWS as one task, and returns the task's grant."""
    with (
        closing(remit.Gateway(gateway.bearer, bearer_token=bearer, ca_file=sandbox.authority.bundle_path)) as client,
        client.task("summarise Q3", subject_token=subject, allow=Q3) as task,
    ):
        s3 = task.boto3_session().client("s3", endpoint_url=sandbox.aws.endpoint_url)
        assert b"Revenue 857" in s3.get_object(Bucket="reports", Key="2026/q3/summary.md")["Body"].read()
        return task.grant


def test_a_gitlab_job_is_both(sandbox: Sandbox, gateway: OwnGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMIT_ID_TOKEN", signed(sandbox, "gitlab"))

    grant = read_report(sandbox, gateway, remit.workload.gitlab(), remit.workload.token_source("gitlab"))

    assert grant.actor == ACTORS["gitlab"]
    assert grant.subject.id == GITLAB_ID_TOKEN["sub"]


def test_a_gitlab_jobs_one_token_opens_one_task(
    sandbox: Sandbox, gateway: OwnGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REMIT_ID_TOKEN", signed(sandbox, "gitlab"))
    token = remit.workload.gitlab()
    read_report(sandbox, gateway, token, token)

    with pytest.raises(remit.Refused) as refused:
        read_report(sandbox, gateway, token, token)

    assert refused.value.reason == "TOKEN_REPLAYED"


def test_a_github_job_is_both_in_one_task_after_the_other(
    sandbox: Sandbox, gateway: OwnGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.workload.github_endpoint.jwt", lambda **_: signed(sandbox, "github"))
    with github_endpoint() as endpoint:
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", endpoint.url)
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", REQUEST_TOKEN)

        grants = [
            read_report(sandbox, gateway, remit.workload.github(AUDIENCE), remit.workload.github(AUDIENCE))
            for _ in range(2)
        ]

    assert [grant.actor for grant in grants] == [ACTORS["github"]] * 2
    assert grants[0].subject.id == "repo:octo-org/octo-repo:environment:prod"
    assert set(endpoint.audiences) == {AUDIENCE}


def test_a_gitpod_environment_is_both(
    sandbox: Sandbox, gateway: OwnGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / "ona"
    (tmp_path / "token").write_text(signed(sandbox, "gitpod"))
    command.write_text(f"#!/bin/sh\nexec cat {shlex.quote(str(tmp_path / 'token'))}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    token = remit.workload.gitpod(AUDIENCE)

    grant = read_report(sandbox, gateway, token, token)

    assert (grant.actor, grant.subject.issuer) == (ACTORS["gitpod"], "https://app.gitpod.io")


def test_a_pod_is_both_and_goes_on_with_the_token_that_the_kubelet_writes(
    sandbox: Sandbox, gateway: OwnGateway, tmp_path: Path
) -> None:
    kubelet = Kubelet(tmp_path)
    token = remit.workload.kubernetes(kubelet.path)

    kubelet.write(signed(sandbox, "kubernetes", lifetime=600))
    first = read_report(sandbox, gateway, token, token)
    kubelet.write(signed(sandbox, "kubernetes", lifetime=1200))
    second = read_report(sandbox, gateway, token, token)

    assert first.actor == second.actor == ACTORS["kubernetes"]
    assert first.subject.id == "system:serviceaccount:my-namespace:my-serviceaccount"


@pytest.mark.parametrize("platform", ["aws", "spire"])
def test_an_agent_with_a_token_of_its_own_works_for_a_person(
    sandbox: Sandbox, gateway: OwnGateway, tmp_path: Path, platform: str
) -> None:
    api = WorkloadApi(tokens={AUDIENCE: [signed(sandbox, platform)]})
    with workload_api(tmp_path, api):
        token = remit.workload.spiffe_jwt(AUDIENCE, socket=api.address)

        grant = read_report(sandbox, gateway, token, sandbox.issuer.token("alice", client_id="reporter"))

    assert (grant.actor, grant.subject.id) == (ACTORS[platform], "alice")


async def test_a_certificate_from_memory_is_the_agent_and_its_rotation_is_followed(
    sandbox: Sandbox, gateway: OwnGateway, tmp_path: Path
) -> None:
    copilot, crawler = (x509_of(sandbox.authority, AGENTS[name], sandbox.agents[name]) for name in AGENTS)
    subject = sandbox.issuer.token("alice", client_id="copilot")
    with (
        workload_api(tmp_path, WorkloadApi(held=(copilot,))) as api,
        remit.workload.spiffe_x509(socket=api.address, trusts_bundle=True) as svid,
        remit.Gateway(gateway.mtls, svid=svid) as client,
    ):
        with client.task("summarise Q3", subject_token=subject, allow=Q3) as task:
            first = task.grant.actor
        api.rotate(crawler)
        await until(lambda: svid.spiffe_id == AGENTS["crawler"])
        crawlers = sandbox.issuer.token("alice", client_id="crawler")
        with client.task("summarise Q3", subject_token=crawlers, allow=Q3) as task:
            second = task.grant.actor

    assert (first, second) == (AGENTS["copilot"], AGENTS["crawler"])


def test_the_settings_of_the_command_take_a_certificate_from_memory(
    sandbox: Sandbox, gateway: OwnGateway, tmp_path: Path
) -> None:
    held = x509_of(sandbox.authority, AGENTS["copilot"], sandbox.agents["copilot"])
    file, token = tmp_path / "client.toml", sandbox.issuer.token("alice", client_id="copilot")
    file.write_text(
        f'[gateway]\ntarget = "{gateway.mtls}"\nca_file = "{sandbox.authority.bundle_path}"\nsvid = "spiffe"\n'
    )
    file.chmod(0o600)
    with workload_api(tmp_path, WorkloadApi(held=(held,))) as api:
        environ = {"REMIT_CONFIG": str(file), "SPIFFE_ENDPOINT_SOCKET": api.address, "REMIT_SUBJECT_TOKEN": token}
        caller = Caller.of(environ)

        with gateway_of(caller) as client:
            task = begin(client, Wish("summarise Q3", (Q3,)), caller, None, lease=None)
            actor = task.grant.actor
            task.end()

    assert actor == AGENTS["copilot"]


class Role:
    """Somebody at the local AWS, whose keys this process has."""

    def __init__(self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        self._iam, self._environment = sandbox.aws.client("iam"), monkeypatch
        self._iam.create_user(UserName="data-processing")
        self.key = self._iam.create_access_key(UserName="data-processing")["AccessKey"]
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sandbox.aws.endpoint_url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", self.key["AccessKeyId"])
        self.has_secret(self.key["SecretAccessKey"])

    def has_secret(self, secret: str) -> None:
        self._environment.setenv("AWS_SECRET_ACCESS_KEY", secret)

    def may(self, action: str) -> None:
        statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self._iam.put_user_policy(UserName="data-processing", PolicyName="outbound", PolicyDocument=policy)

    def leaves(self) -> None:
        self._iam.delete_access_key(UserName="data-processing", AccessKeyId=self.key["AccessKeyId"])
        with suppress(self._iam.exceptions.NoSuchEntityException):
            self._iam.delete_user_policy(UserName="data-processing", PolicyName="outbound")
        self._iam.delete_user(UserName="data-processing")


@pytest.fixture
def role(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Role]:
    role = Role(sandbox, monkeypatch)
    yield role
    role.leaves()


def test_sts_gives_a_token_to_a_role_that_may_have_one(role: Role) -> None:
    role.may("sts:GetWebIdentityToken")

    token = remit.workload.aws(AUDIENCE, region="eu-central-1")()

    assert token.count(".") == 2


@pytest.mark.usefixtures("role")
def test_a_role_without_the_permission_is_told_which_one() -> None:
    with pytest.raises(remit.NoWorkloadIdentity, match="STS refused GetWebIdentityToken: AccessDenied") as refused:
        remit.workload.aws(AUDIENCE, region="eu-central-1")()

    assert "allow this role sts:GetWebIdentityToken" in refused.value.advice


def test_a_call_with_another_signature_is_refused(role: Role) -> None:
    role.may("sts:GetWebIdentityToken")
    role.has_secret("another")

    with pytest.raises(remit.NoWorkloadIdentity, match="STS refused GetWebIdentityToken: SignatureDoesNotMatch"):
        remit.workload.aws(AUDIENCE, region="eu-central-1")()
