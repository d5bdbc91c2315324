"""A platform is named by a text, or found by what it leaves in a process; in doubt, it is not guessed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.workload.github_endpoint import REQUEST_TOKEN, github_endpoint
from tests.workload.tokens import AUDIENCE, jwt

from remit import workload
from remit.workload import NoWorkloadIdentity, naming, reading

SIGNS = (
    "ACTIONS_ID_TOKEN_REQUEST_URL", "GITHUB_ACTIONS", "GITLAB_CI", "REMIT_ID_TOKEN", "GITPOD_ENVIRONMENT_ID",
    "GITPOD_WORKSPACE_ID", "AWS_LAMBDA_FUNCTION_NAME", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "ECS_CONTAINER_METADATA_URI_V4", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "SPIFFE_ENDPOINT_SOCKET",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Takes every sign of a platform away from this process."""
    for name in SIGNS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(reading, "KUBERNETES_FILE", str(tmp_path / "token"))


@pytest.mark.parametrize(
    ("text", "source"),
    [
        (f"github:{AUDIENCE}", workload.github(AUDIENCE)),
        (f"gitpod:{AUDIENCE}", workload.gitpod(AUDIENCE)),
        (f"aws:{AUDIENCE}", workload.aws(AUDIENCE)),
        (f"spiffe:{AUDIENCE}", workload.spiffe_jwt(AUDIENCE)),
        ("gitlab", workload.gitlab()),
        ("gitlab:MY_TOKEN", workload.gitlab("MY_TOKEN")),
        ("kubernetes", workload.kubernetes()),
        ("kubernetes:/run/token", workload.kubernetes("/run/token")),
        ("file:/run/token", workload.file("/run/token")),
        ("env:MY_TOKEN", workload.env("MY_TOKEN")),
    ],
)
def test_a_text_names_a_source(text: str, source: workload.WorkloadToken) -> None:
    assert workload.token_source(text) == source


@pytest.mark.parametrize("platform", ["github", "gitpod", "aws", "spiffe"])
def test_the_audience_may_be_given_beside_the_text(platform: str) -> None:
    assert workload.token_source(platform, audience="remit") == workload.token_source(f"{platform}:remit")


@pytest.mark.parametrize("platform", ["github", "gitpod", "aws", "spiffe", "detect"])
def test_without_an_audience_it_says_how_to_give_one(platform: str) -> None:
    with pytest.raises(ValueError, match=f"{platform} needs an audience.*{platform}:AUDIENCE"):
        workload.token_source(platform)


@pytest.mark.parametrize("text", ["", "eyJhbGciOi.canary.x", "GitHub", "github actions", "vault:/x", ":", "svid"])
def test_another_text_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="names no source of tokens; there are: github, gitlab") as raised:
        workload.token_source(text, audience="remit")

    assert "canary" not in str(raised.value)


@pytest.mark.parametrize(("text", "told"), [("file", "file:/path"), ("env", "env:NAME"), ("env:", "env:NAME")])
def test_a_text_that_says_not_where_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        workload.token_source(text)


@pytest.mark.parametrize(
    ("variable", "source"),
    [
        ("ACTIONS_ID_TOKEN_REQUEST_URL", workload.github(AUDIENCE)),
        ("GITHUB_ACTIONS", workload.github(AUDIENCE)),
        ("GITLAB_CI", workload.gitlab()),
        ("GITPOD_ENVIRONMENT_ID", workload.gitpod(AUDIENCE)),
        ("GITPOD_WORKSPACE_ID", workload.gitpod(AUDIENCE)),
        ("AWS_LAMBDA_FUNCTION_NAME", workload.aws(AUDIENCE)),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", workload.aws(AUDIENCE)),
        ("SPIFFE_ENDPOINT_SOCKET", workload.spiffe_jwt(AUDIENCE, socket="/something")),
    ],
)
def test_a_platform_is_found_by_its_variables(
    monkeypatch: pytest.MonkeyPatch, variable: str, source: workload.WorkloadToken
) -> None:
    monkeypatch.setenv(variable, "/something")

    assert workload.detect(AUDIENCE) == workload.token_source("detect", audience=AUDIENCE) == source


def test_a_pod_is_found_by_its_mounted_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x")

    assert workload.detect(AUDIENCE).platform == "kubernetes"


@pytest.mark.parametrize(
    ("address", "is_aws"),
    [
        ("http://169.254.170.23/v1/credentials", True),
        ("http://127.0.0.1:4711/credentials", False),
        ("http://localhost:4711/credentials", False),
        ("http://[::1]:4711/", False),
        ("http://[", False),
    ],
)
def test_remits_own_endpoint_is_not_taken_for_aws(
    monkeypatch: pytest.MonkeyPatch, address: str, *, is_aws: bool
) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", address)

    found = naming._aws(os.environ)

    assert (found is not None) == is_aws


def test_none_found_says_where_it_looked() -> None:
    with pytest.raises(NoWorkloadIdentity) as raised:
        workload.detect(AUDIENCE)

    assert raised.value.reason == "WORKLOAD_NOT_FOUND"
    assert {name for name in SIGNS if name in raised.value.message} >= {
        "ACTIONS_ID_TOKEN_REQUEST_URL", "GITLAB_CI", "GITPOD_ENVIRONMENT_ID", "SPIFFE_ENDPOINT_SOCKET"
    }  # fmt: skip
    assert raised.value.advice.startswith("name the source: github, gitlab")


@pytest.mark.parametrize("text", ["gitlab", "env:REMIT_ID_TOKEN", "detect:remit"])
def test_a_token_may_be_asked_for_on_behalf_of_another_process(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("REMIT_ID_TOKEN", jwt(jti="of this process"))
    theirs = jwt(jti="of another")

    source = workload.token_source(text, environ={"REMIT_ID_TOKEN": theirs})

    assert source() == theirs
    assert theirs not in repr(source)


def test_github_is_asked_with_the_other_processs_right() -> None:
    with github_endpoint() as endpoint:
        theirs = {"ACTIONS_ID_TOKEN_REQUEST_URL": endpoint.url, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": REQUEST_TOKEN}

        assert workload.token_source("github:remit", environ=theirs)() == endpoint.issued[0]


def test_sources_of_two_processes_are_two() -> None:
    first, second = {"REMIT_ID_TOKEN": "a"}, {"REMIT_ID_TOKEN": "b"}

    for text in ("gitlab", "env:REMIT_ID_TOKEN"):
        one, same, other = (workload.token_source(text, environ=dict(of)) for of in (first, first, second))
        assert one == same != other
        assert one != workload.token_source(text)


def test_more_than_one_found_is_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITLAB_CI", "true")
    monkeypatch.setenv("ECS_CONTAINER_METADATA_URI_V4", "http://169.254.170.2/v4")

    with pytest.raises(NoWorkloadIdentity) as raised:
        workload.detect(AUDIENCE)

    assert raised.value.reason == "WORKLOAD_AMBIGUOUS"
    assert raised.value.message == (
        "more than one platform gives tokens here: gitlab (GITLAB_CI); aws (ECS_CONTAINER_METADATA_URI_V4)"
    )
    assert raised.value.advice.endswith("gitlab, aws")


@pytest.mark.parametrize("text", ["", "spire", "eyJ.canary.x", "file:/svid.pem"])
def test_another_source_of_certificates_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="names no source of certificates") as raised:
        naming.certificate_source(text)

    assert "canary" not in str(raised.value)


def test_naming_sources_loads_no_more_than_it_needs() -> None:
    program = (
        "import sys, remit; "
        "sources = [remit.workload.github('x'), remit.workload.aws('x'), remit.workload.spiffe_x509(), "
        "remit.workload.token_source('spiffe:x')]; "
        "print(*{'grpc', 'google.protobuf', 'boto3', 'botocore', 'asyncio'} & sys.modules.keys())"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603

    assert done.stdout.split() == []


def test_functions_are_not_hidden_by_the_modules_behind_them() -> None:
    for name in workload.__all__:
        assert callable(getattr(workload, name)), name
