"""Golden files: the set-up that `remit-server aws plan` writes. REMIT_REGENERATE_GOLDEN=1 writes them anew."""

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import hcl2
import pytest
from tests.configuration_folder import TEXT, ConfigurationFolder
from typer.testing import CliRunner

from remit_server.adapters.aws.revoking.revoker import RevocationNames
from remit_server.adapters.aws.setup.cloudformation import templates
from remit_server.adapters.aws.setup.plan import plan_of
from remit_server.adapters.aws.setup.terraform import modules
from remit_server.cli.aws import app
from remit_server.domain.entitlement import AssumedBy, Role
from remit_server.domain.secret import Secret
from remit_server.iam import Document

FOLDER = Path(__file__).parent / "aws_plan"
# A variable of IAM's own and what Terraform would take for a template of its own must both arrive as they are.
OWN = """{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"],
 "Resource": "arn:aws:s3:::reports/${aws:PrincipalTag/team}/%{if}*"}]}"""
ROLES = (
    Role(
        "arn:aws:iam::111122223333:role/agents/remit-reports",
        "eu-central-1",
        Document.parse(OWN, authored=True),
        timedelta(hours=1),
        Secret("never-shown"),
    ),
    Role(
        "arn:aws:iam::111122223333:role/remit-data",
        "eu-central-1",
        Document.parse(
            '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:GetItem","Resource":"*"}}'
        ),
        timedelta(minutes=15),
    ),
    Role(
        "arn:aws-cn:iam::444455556666:role/1-remit",
        "cn-north-1",
        Document.parse(
            '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws-cn:s3:::a/*"}}'
        ),
        timedelta(hours=12),
    ),
)
BY_TOKEN = Role(
    "arn:aws:iam::777788889999:role/remit-tokens",
    "eu-central-1",
    Document.parse('{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sqs:SendMessage","Resource":"*"}}'),
    timedelta(hours=1),
    assumed_by=AssumedBy.WEB_IDENTITY,
)
ISSUER = "https://remit.acme.example/of/agents"
PLAN = plan_of([*ROLES, BY_TOKEN], RevocationNames(), ISSUER)
FILES = {**modules(PLAN), **templates(PLAN)}


@pytest.mark.parametrize("path", FILES)
def test_the_set_up_is_as_written_down(path: str) -> None:
    golden = FOLDER / path

    if os.environ.get("REMIT_REGENERATE_GOLDEN") == "1":
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(FILES[path], encoding="utf-8")
    assert FILES[path] == golden.read_text(encoding="utf-8")


def test_there_is_no_other_golden_file() -> None:
    assert {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file()} == set(FILES)


def test_the_same_configuration_gives_the_same_text_in_whatever_order_its_accounts_stand() -> None:
    again = plan_of([BY_TOKEN, ROLES[2], *ROLES[:2]], RevocationNames(), ISSUER)

    assert {**modules(again), **templates(again)} == FILES


def test_no_secret_is_written() -> None:
    assert not [path for path, text in FILES.items() if "never-shown" in text]


# --- Terraform ---

TERRAFORM = [path for path in FILES if path.endswith(".tf")]


@pytest.mark.parametrize("path", TERRAFORM)
def test_terraform_reads_it(path: str) -> None:
    parsed = hcl2.loads(FILES[path])

    assert parsed["resource"]
    assert parsed["terraform"]


@pytest.mark.parametrize("path", [path for path in TERRAFORM if not path.startswith("gateway/")])
def test_terraform_never_puts_the_first_text_of_a_revocation_policy_back(path: str) -> None:
    [policy] = [
        body
        for resource in hcl2.loads(FILES[path])["resource"]
        for kind, named in resource.items()
        for name, body in named.items()
        if (kind.strip('"'), name.strip('"')) == ("aws_iam_policy", "remit_revocations")
    ]

    assert "ignore_changes" in json.dumps(policy["lifecycle"])


def test_what_terraform_would_replace_is_escaped() -> None:
    assert "reports/$${aws:PrincipalTag/team}/%%{if}*" in FILES["111122223333/remit.tf"]


# --- CloudFormation ---

CLOUDFORMATION = [path for path in FILES if path.endswith(".json")]
PROPERTIES = {
    "AWS::IAM::Role": {
        "RoleName",
        "Path",
        "MaxSessionDuration",
        "AssumeRolePolicyDocument",
        "ManagedPolicyArns",
        "Policies",
    },
    "AWS::IAM::OIDCProvider": {"Url", "ClientIdList"},
    "AWS::IAM::ManagedPolicy": {"ManagedPolicyName", "PolicyDocument"},
}


def references(value: Any) -> Iterator[str]:
    """Yields the names that a template refers to."""
    match value:
        case {"Ref": str(name)}:
            yield name
        case dict():
            for inner in value.values():
                yield from references(inner)
        case list():
            for inner in value:
                yield from references(inner)
        case _:
            return


@pytest.mark.parametrize("path", CLOUDFORMATION)
def test_cloudformation_knows_every_type_property_and_reference(path: str) -> None:
    template = json.loads(FILES[path])

    resources, parameters = template["Resources"], template.get("Parameters", {})
    for name, resource in resources.items():
        assert name.isalnum()
        assert set(resource["Properties"]) <= PROPERTIES[resource["Type"]]
    assert set(references(template)) <= {*resources, *parameters}
    assert all(name.isalnum() for name in parameters)
    assert len(template["Description"]) <= 1024


@pytest.mark.parametrize("path", CLOUDFORMATION)
def test_every_policy_is_within_awss_limits(path: str) -> None:
    for resource in json.loads(FILES[path])["Resources"].values():
        properties = resource["Properties"]
        if "PolicyDocument" in properties:
            assert len(json.dumps(properties["PolicyDocument"], separators=(",", ":"))) <= 6_144
        elif "RoleName" in properties:
            assert len(json.dumps(properties["AssumeRolePolicyDocument"], separators=(",", ":"))) <= 2_048
            assert 3_600 <= properties["MaxSessionDuration"] <= 43_200
            assert len(properties.get("ManagedPolicyArns", [])) <= 10


def test_a_role_that_is_opened_by_tokens_pins_them_to_itself() -> None:
    resources = json.loads(FILES["777788889999/remit.template.json"])["Resources"]

    [trust] = resources["RoleRemitTokens"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Federated": {"Ref": "RemitIssuer"}}
    assert trust["Condition"]["StringEquals"] == {
        "remit.acme.example/of/agents:aud": "sts.amazonaws.com",
        "remit.acme.example/of/agents:sub": "remit:role/777788889999/remit-tokens",
    }


def test_the_gateways_own_rights_name_no_role_that_is_opened_by_tokens() -> None:
    assert "777788889999" not in FILES["gateway/remit-gateway.tf"]


# --- the command ---


def test_the_command_writes_a_folder_for_each_account(tmp_path: Path) -> None:
    config = ConfigurationFolder.create(tmp_path).write(f"{TEXT}\n[revocation]\n")

    result = CliRunner().invoke(app, ["plan", "--config", str(config), "--out", str(tmp_path / "plan")])

    assert result.exit_code == 0
    written = sorted(str(path.relative_to(tmp_path / "plan")) for path in (tmp_path / "plan").rglob("*.tf"))
    assert written == ["111122223333/remit.tf", "gateway/remit-gateway.tf"]
    assert result.stderr == ""


def test_the_command_prints_where_no_folder_is_given(tmp_path: Path) -> None:
    config = ConfigurationFolder.create(tmp_path).write()

    result = CliRunner().invoke(app, ["plan", "--config", str(config), "--format", "cloudformation"])

    assert result.exit_code == 0
    assert "# ==> 111122223333/remit.template.json <==" in result.stdout
    assert "[revocation] is absent" in result.stderr


def test_the_command_ends_with_1_where_the_configuration_is_wrong(tmp_path: Path) -> None:
    config = ConfigurationFolder.create(tmp_path).write(TEXT.replace("eu-central-1", "nowhere"))

    result = CliRunner().invoke(app, ["plan", "--config", str(config)])

    assert result.exit_code == 1
    assert "aws.region" in result.stderr
