"""What the sandbox's AWS account holds: the gateway's user, roles and policies, three buckets, a table, a secret."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import resources
from types import MappingProxyType
from typing import Any

from botocore.exceptions import ClientError

from remit_sandbox.aws_client import AwsKeys
from remit_sandbox.revocation_policies import REVOKER, seed_revocation

ACCOUNT_ID = "111122223333"
REGION = "eu-central-1"
GATEWAY_USER = "remit-gateway"
ROLES = ("remit-reports", "remit-data")
PARTNER_BUCKET = "partner-drop"
TABLE = "orders"
SECRET = "app/config"  # noqa: S105 (the name of a secret, not a secret)
OBJECTS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "reports": {
            "2026/q2/revenue.csv": "region,revenue\nnorth,410\nsouth,395\n",
            "2026/q2/summary.md": "# Q2\nRevenue 805, up 3 % on Q1.\n",
            "2026/q3/revenue.csv": "region,revenue\nnorth,455\nsouth,402\n",
            "2026/q3/summary.md": "# Q3\nRevenue 857, up 6 % on Q2.\n",
            "hr/salaries.csv": "name,salary\nalice,1\nbob,2\n",
        },
        "production": {"orders/2026-11-23.parquet": "not for agents"},
        PARTNER_BUCKET: {"inbox/price-list.csv": "item,price\nbolt,3\n"},
    }
)
_ORDERS = ({"pk": "customer#1", "total": "30"}, {"pk": "customer#2", "total": "75"})
_SESSION_ACTIONS = ("sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity")


@dataclass(frozen=True, slots=True)
class SampleAccount:
    """What the gateway's configuration and the stories told on it need to know of the account."""

    account_id: str
    region: str
    gateway_arn: str
    gateway_keys: AwsKeys
    role_arns: Mapping[str, str]
    table_arn: str
    secret_arn: str

    def session_arn(self, role: str, session_name: str) -> str:
        """Returns the ARN by which a resource policy names a session of the role."""
        return f"arn:aws:sts::{self.account_id}:assumed-role/{role}/{session_name}"


def role_policies() -> dict[str, str]:
    """Returns each role's own policy, the JSON that is also the role's ceiling in the gateway's configuration."""
    folder = resources.files("remit_sandbox") / "roles"
    return {role: (folder / f"{role}.json").read_text(encoding="utf-8") for role in ROLES}


def trust_policy(gateway_arn: str) -> str:
    """Returns the trust policy of a role that the gateway alone assumes, and never without its two tags."""
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": gateway_arn},
        "Action": list(_SESSION_ACTIONS),
        "Condition": {"StringLike": {"aws:RequestTag/remit:grant": "?*.?*.?*", "aws:RequestTag/remit:by": "?*.?*"}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def gateway_policy(account_id: str) -> str:
    """Returns the gateway's own policy: it may open sessions of Remit's roles and do nothing else."""
    statement = {
        "Effect": "Allow",
        "Action": list(_SESSION_ACTIONS),
        "Resource": [f"arn:aws:iam::{account_id}:role/{role}" for role in (*ROLES, REVOKER)],
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def partner_policy(principal_arn: str) -> str:
    """Returns a bucket policy by which a careless partner hands the principal its bucket."""
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": principal_arn},
        "Action": ["s3:GetObject", "s3:PutObject"],
        "Resource": f"arn:aws:s3:::{PARTNER_BUCKET}/*",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def seed(
    client: Callable[[str], Any],
    *,
    known_keys: AwsKeys | None = None,
    policies: Mapping[str, str] | None = None,
) -> SampleAccount:
    """Creates whatever the account lacks and sets every policy; may be repeated.

    `client` makes a client with the account's root keys for a service. The gateway's keys are made anew unless
    `known_keys` are still active. `policies` replaces the roles' own policies (role name to JSON).
    """
    gateway_arn = f"arn:aws:iam::{ACCOUNT_ID}:user/{GATEWAY_USER}"
    iam = client("iam")
    gateway_keys = _seed_gateway(iam, known_keys)
    for role, policy in {**role_policies(), **(policies or {})}.items():
        _seed_role(iam, role, policy, gateway_arn)
    seed_revocation(iam, ACCOUNT_ID, gateway_arn, ROLES)
    _seed_buckets(client("s3"))
    _seed_table(client("dynamodb"))
    return SampleAccount(
        account_id=ACCOUNT_ID,
        region=REGION,
        gateway_arn=gateway_arn,
        gateway_keys=gateway_keys,
        role_arns=MappingProxyType({role: f"arn:aws:iam::{ACCOUNT_ID}:role/{role}" for role in ROLES}),
        table_arn=f"arn:aws:dynamodb:{REGION}:{ACCOUNT_ID}:table/{TABLE}",
        secret_arn=_seed_secret(client("secretsmanager")),
    )


def _seed_gateway(iam: Any, known_keys: AwsKeys | None) -> AwsKeys:
    _unless("EntityAlreadyExists", lambda: iam.create_user(UserName=GATEWAY_USER))
    iam.put_user_policy(
        UserName=GATEWAY_USER, PolicyName="open-remit-sessions", PolicyDocument=gateway_policy(ACCOUNT_ID)
    )
    active = [key["AccessKeyId"] for key in iam.list_access_keys(UserName=GATEWAY_USER)["AccessKeyMetadata"]]
    if known_keys is not None and active == [known_keys.access_key_id]:
        return known_keys
    for access_key_id in active:
        iam.delete_access_key(UserName=GATEWAY_USER, AccessKeyId=access_key_id)
    made = iam.create_access_key(UserName=GATEWAY_USER)["AccessKey"]
    return AwsKeys(made["AccessKeyId"], made["SecretAccessKey"])


def _seed_role(iam: Any, role: str, policy: str, gateway_arn: str) -> None:
    trust = trust_policy(gateway_arn)
    _unless("EntityAlreadyExists", lambda: iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust))
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=trust)
    iam.put_role_policy(RoleName=role, PolicyName="ceiling", PolicyDocument=policy)


def _seed_buckets(s3: Any) -> None:
    for bucket, objects in OBJECTS.items():
        place = {"LocationConstraint": REGION}
        _unless("BucketAlreadyOwnedByYou", partial(s3.create_bucket, Bucket=bucket, CreateBucketConfiguration=place))
        for key, content in objects.items():
            s3.put_object(Bucket=bucket, Key=key, Body=content.encode())


def _seed_table(dynamodb: Any) -> None:
    _unless(
        "ResourceInUseException",
        lambda: dynamodb.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        ),
    )
    for order in _ORDERS:
        dynamodb.put_item(TableName=TABLE, Item={name: {"S": value} for name, value in order.items()})


def _seed_secret(secrets_manager: Any) -> str:
    content = json.dumps({"database": "orders", "port": 5432})
    _unless("ResourceExistsException", lambda: secrets_manager.create_secret(Name=SECRET, SecretString=content))
    return str(secrets_manager.describe_secret(SecretId=SECRET)["ARN"])


def _unless(known: str, create: Callable[[], object]) -> None:
    """Creates something, or finds by the error code `known` that it is there."""
    try:
        create()
    except ClientError as error:
        if error.response["Error"]["Code"] != known:
            raise
