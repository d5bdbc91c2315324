"""What a command inherits, and what is said of the task it runs on."""

import pytest

from remit.local.running.environment import command_environment
from remit.local.running.words import allowed

ENDPOINT = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/credentials"}
OWN = {
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
    **ENDPOINT,
}


def test_only_where_and_how_aws_is_asked_is_kept() -> None:
    environ = {
        "PATH": "/bin",
        "AWS_ACCESS_KEY_ID": "AKIA",
        "AWS_SESSION_TOKEN": "x",
        "AWS_SOMETHING_NEW": "x",
        "AWS_CONFIG_FILE": "/people/alice/.aws/config",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:4566",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:4567",
        "AWS_CA_BUNDLE": "/ca.pem",
        "BOTO_CONFIG": "/boto",
        "REMIT_SUBJECT_TOKEN": "x",
    }

    found = command_environment(environ, ENDPOINT, region=None)

    assert found == OWN | {
        "PATH": "/bin",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:4566",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:4567",
        "AWS_CA_BUNDLE": "/ca.pem",
    }


@pytest.mark.parametrize(
    ("environ", "region"),
    [
        ({}, "eu-central-1"),
        ({"AWS_REGION": "us-east-1"}, "us-east-1"),
        ({"AWS_DEFAULT_REGION": "us-east-1"}, "us-east-1"),
        ({"AWS_REGION": ""}, "eu-central-1"),
    ],
    ids=["none", "AWS_REGION", "AWS_DEFAULT_REGION", "empty"],
)
def test_a_region_of_the_environment_wins_and_every_sdk_finds_one(environ: dict[str, str], region: str) -> None:
    found = command_environment(environ, {}, region="eu-central-1")

    assert (found["AWS_REGION"], found["AWS_DEFAULT_REGION"]) == (region, region)


def test_what_holds_the_callers_token_is_not_inherited() -> None:
    found = command_environment({"JOB_TOKEN": "x", "HOME": "/home"}, {}, region=None, secret=["JOB_TOKEN"])

    assert "JOB_TOKEN" not in found
    assert found["HOME"] == "/home"


def test_what_was_got_is_said_in_words() -> None:
    policy = (
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:GetObjectTagging"],'
        '"Resource":"arn:aws:s3:::reports/*"},{"Effect":"Deny","Action":"*","Resource":"*"}]}'
    )

    assert allowed(policy) == "s3:GetObject, s3:GetObjectTagging on arn:aws:s3:::reports/*"


def test_what_was_got_stays_in_one_line() -> None:
    resources = ",".join(f'"arn:aws:s3:::bucket-{number}/*"' for number in range(40))
    policy = f'{{"Statement":[{{"Effect":"Allow","Action":"s3:GetObject","Resource":[{resources}]}}]}}'

    assert len(allowed(policy)) < 260
    assert allowed(policy).endswith("...")
