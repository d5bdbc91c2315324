"""AWS vouches for a role to others: asked by botocore, signed, of a regional endpoint, and told when it will not."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.workload.strict_sts import StrictSts, strict_sts
from tests.workload.tokens import AUDIENCE

from remit import workload
from remit.workload import NoWorkloadIdentity

WITHOUT = """
import sys
sys.modules["botocore"] = None
import remit
try:
    remit.workload.aws("remit")()
except remit.NoWorkloadIdentity as error:
    print(error)
"""


@pytest.fixture
def sts(monkeypatch: pytest.MonkeyPatch) -> Iterator[StrictSts]:
    """The STS that this process's own settings of AWS lead to."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret-canary",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    with strict_sts() as sts:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
        yield sts


def failure(region: str | None = "eu-central-1") -> NoWorkloadIdentity:
    with pytest.raises(NoWorkloadIdentity) as raised:
        workload.aws(AUDIENCE, region=region)()
    assert "canary" not in str(raised.value)
    return raised.value


def test_sts_is_asked_for_a_short_token_for_the_one_audience(sts: StrictSts) -> None:
    token = workload.aws(AUDIENCE, region="eu-central-1")

    assert token() == token() == sts.issued[0]
    assert sts.requests == [{"Audience": [AUDIENCE], "SigningAlgorithm": "RS256", "DurationSeconds": 300}]


def test_the_request_is_signed_for_the_region(sts: StrictSts) -> None:
    workload.aws(AUDIENCE, region="eu-central-1")()

    assert sts.scopes[0].startswith("AKIAIOSFODNN7EXAMPLE/")
    assert sts.scopes[0].endswith("/eu-central-1/sts/aws4_request")


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("OutboundWebIdentityFederationDisabledException", "aws iam enable-outbound-web-identity-federation"),
        ("AccessDenied", "allow this role sts:GetWebIdentityToken"),
        ("SessionDurationEscalationException", "the role's own session is nearly over"),
        ("SomethingElse", "docs/workload-identity/aws.md"),
    ],
)
def test_a_refusal_of_sts_is_told_with_what_to_do(sts: StrictSts, code: str, advice: str) -> None:
    sts.refuses_with = code

    error = failure()

    assert error.message == f"STS refused GetWebIdentityToken: {code}: not ***"
    assert advice in error.advice


def test_without_a_region_the_global_endpoint_is_not_asked(sts: StrictSts) -> None:
    error = failure(region=None)

    assert error.message == "no region of AWS is known, and the global endpoint cannot answer"
    assert "set AWS_REGION" in error.advice
    assert sts.requests == []


def test_the_region_may_be_that_of_the_process(sts: StrictSts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")

    workload.aws(AUDIENCE)()

    assert sts.scopes[0].endswith("/eu-west-1/sts/aws4_request")


def test_a_regional_endpoint_is_asked_whatever_the_settings_of_old_say(
    sts: StrictSts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_STS")
    monkeypatch.setenv("AWS_STS_REGIONAL_ENDPOINTS", "legacy")
    monkeypatch.setenv("HTTPS_PROXY", sts.url)  # which lets nothing through, and tells where it was to go

    failure(region="us-east-1")

    assert set(sts.tunnels) == {"sts.us-east-1.amazonaws.com:443"}


def test_without_a_role_it_says_so(sts: StrictSts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")

    error = failure()

    assert error.message.startswith("STS could not be asked: NoCredentialsError")
    assert "has no role of AWS" in error.advice
    assert sts.requests == []


def test_without_botocore_it_says_what_to_install() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)  # noqa: S603

    assert done.stdout == (
        "WORKLOAD_TOKEN_UNAVAILABLE: AWS is asked by botocore, which is not installed\n"
        "  what to do: pip install 'remit[boto3]'\n"
    )
