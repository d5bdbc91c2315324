"""What the sandbox's account holds for revocation: the four policies on each role, and the role that changes them.

It is what `remit-server aws plan` writes, without the conditions on sts:SourceIdentity, a key that the local AWS lacks.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

from botocore.exceptions import ClientError

from remit_server.adapters.aws.revoking.revoker import RevocationNames
from remit_server.adapters.aws.setup.policies import canary_rights, document, revoker_rights
from remit_server.application.revocation.texts import policy_text

NAMES = RevocationNames()
REVOKER = NAMES.role_name
CANARY_POLICY = "remit-canary"


def seed_revocation(iam: Any, account: str, gateway_arn: str, roles: Sequence[str]) -> None:
    """Creates what is missing and attaches it; the texts of policies that are there stay as they are."""
    arns = NAMES.policy_arns("aws", account)
    for arn in arns:
        _unless_there(iam.create_policy, PolicyName=arn.rpartition("/")[2], PolicyDocument=policy_text([]))
    for role in roles:
        for arn in arns:
            iam.attach_role_policy(RoleName=role, PolicyArn=arn)
    canary = json.dumps(canary_rights())
    _unless_there(iam.create_policy, PolicyName=CANARY_POLICY, PolicyDocument=canary)
    iam.attach_role_policy(RoleName=roles[0], PolicyArn=f"arn:aws:iam::{account}:policy/{CANARY_POLICY}")
    trusted = {
        "Effect": "Allow",
        "Principal": {"AWS": gateway_arn},
        "Action": ["sts:AssumeRole", "sts:SetSourceIdentity"],
    }
    trust = json.dumps(document(trusted))
    _unless_there(iam.create_role, RoleName=REVOKER, AssumeRolePolicyDocument=trust)
    iam.update_assume_role_policy(RoleName=REVOKER, PolicyDocument=trust)
    iam.put_role_policy(RoleName=REVOKER, PolicyName="revoke", PolicyDocument=json.dumps(revoker_rights(arns)))


def _unless_there(create: Callable[..., object], **values: str) -> None:
    try:
        create(**values)
    except ClientError as error:
        if error.response["Error"]["Code"] != "EntityAlreadyExists":
            raise
