"""The floor: no spelling gets around it, and only its second group can be re-opened."""

import pytest

from remit_server.iam import Counterexample, Document, Witness, contains, floor, forbidden_action, outlives_task
from remit_server.iam.issuing.forbidden import LASTING, NEVER


def allowing(actions: object, element: str = "Action") -> Document:
    return Document.parse(
        {"Version": "2012-10-17", "Statement": {"Effect": "Allow", element: actions, "Resource": "*"}}
    )


@pytest.mark.parametrize(
    "action",
    [
        "iam:CreateAccessKey",
        "IAM:pass*",
        "iam:*Role",
        "*",
        "sts:AssumeRole",
        "sts:Get*",
        "STS:getfederationtoken",
        "sts:GetScopedCredentials",
        "organizations:LeaveOrganization",
        "account:PutContactInformation",
        "kms:CreateGrant",
        "kms:*",
        "kms:PutKeyPolicy",
        "lambda:AddPermission",
        "s3:PutBucketPolicy",
        "s3:Put*",
        "secretsmanager:PutResourcePolicy",
        "secretsmanager:*",
        "ecr:GetAuthorizationToken",
        "rds-db:connect",
        "redshift:GetClusterCredentialsWithIAM",
        "ssm:StartSession",
        "ssm:SendCommand",
        "ecs:Execute*",
        "sso:GetRoleCredentials",
        "newservice:PutResourcePolicy",
    ],
)
def test_what_is_on_the_floor_is_named(action: str) -> None:
    assert forbidden_action(allowing(action).statements[0]) is not None


@pytest.mark.parametrize("action", [*NEVER, *LASTING, "*", "iAm:Pass*", "sts:Get*", "s3:P*"])
def test_what_is_on_the_floor_is_outside_it_as_a_ceiling(action: str) -> None:
    assert isinstance(contains(allowing(action), floor()), Counterexample)


@pytest.mark.parametrize("action", ["sts:GetCallerIdentity", "s3:GetObject", "dynamodb:*Item", "s3:DeleteObject*"])
def test_what_is_harmless_is_inside(action: str) -> None:
    assert isinstance(contains(allowing(action), floor()), Witness)
    assert forbidden_action(allowing(action).statements[0]) is None


def test_the_exemption_holds_for_its_exact_action_only() -> None:
    near = allowing("STS:GetCallerIdentit?")

    assert isinstance(contains(near, floor()), Counterexample)
    assert forbidden_action(near.statements[0]) == "sts:*"


def test_everything_but_a_list_is_on_the_floor() -> None:
    statement = allowing(["iam:*", "sts:*"], "NotAction").statements[0]

    assert forbidden_action(statement) == "organizations:*"
    assert isinstance(contains(Document((statement,)), floor()), Counterexample)


def test_a_deny_touches_no_floor() -> None:
    document = Document.parse(
        {"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "iam:*", "Resource": "*"}}
    )

    assert forbidden_action(document.statements[0]) is None


def test_configuration_adds_to_the_floor() -> None:
    document = allowing("ec2:RunInstances")

    assert isinstance(contains(document, floor()), Witness)
    assert isinstance(contains(document, floor(extra=["ec2:Run*"])), Counterexample)
    assert forbidden_action(document.statements[0], extra=["ec2:Run*"]) == "ec2:Run*"


def test_a_lasting_action_is_issued_only_where_it_is_reopened_by_name() -> None:
    document = allowing("ssm:StartSession")

    assert isinstance(contains(document, floor(reopened=["ssm:StartSession"])), Witness)
    assert forbidden_action(document.statements[0], reopened=["ssm:StartSession"]) is None
    assert outlives_task(document, ["ssm:StartSession"])
    assert not outlives_task(allowing("s3:GetObject"), ["ssm:StartSession"])


@pytest.mark.parametrize("name", ["iam:PassRole", "iam:*", "ssm:*", "sts:AssumeRole", "nonsense"])
def test_what_is_never_issued_cannot_be_reopened(name: str) -> None:
    with pytest.raises(ValueError, match="Only these can be re-opened"):
        floor(reopened=[name])
