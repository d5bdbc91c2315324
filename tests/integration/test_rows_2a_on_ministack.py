"""Attack rows A6 and A7 on an account that enforces: what keys can do that the whole use case issued.

Each escalation is also shown to be something that an account's root can do, so that a refusal means one.
"""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from botocore.exceptions import ClientError
from tests.e2e.sts_relay import sts_relay
from tests.fakes import entitlement, given, permission, world

from remit_sandbox.aws_client import AwsKeys
from remit_sandbox.local_aws import LocalAws
from remit_sandbox.sample_account import PARTNER_BUCKET, SampleAccount, role_policies
from remit_server.adapters.aws.sts import AwsSts
from remit_server.adapters.system_clock import SystemClock
from remit_server.application.issuing.handing_out import Issued
from remit_server.config.settings import AwsSettings
from remit_server.domain.credentials import SessionOrder, StsSession
from remit_server.domain.entitlement import Role
from remit_server.domain.secret import Secret
from remit_server.iam import Document

pytestmark = pytest.mark.asyncio(loop_scope="session")
CLOCK = SystemClock()
ROLE = "remit-reports"
NOBODY = json.dumps({"Version": "2012-10-17", "Statement": []})
REFUSALS = {"AccessDenied", "AccessDeniedException"}
Call = Callable[[Any], object]


@dataclass(frozen=True)
class Attempt:
    """One way on from a session: the service and the call."""

    service: str
    call: Call

    def outcome(self, aws: LocalAws, keys: AwsKeys | None) -> str:
        """Makes the call and returns the error's code, or what else came of it."""
        try:
            self.call(aws.client(self.service, keys))
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "let through"


def escalations(account: SampleAccount) -> dict[str, Attempt]:
    """Returns the calls of row A6 that the account serves."""
    role, user = account.role_arns["remit-data"], "remit-gateway"
    return {
        "sts:AssumeRole": Attempt("sts", lambda c: c.assume_role(RoleArn=role, RoleSessionName="again")),
        "sts:GetFederationToken": Attempt("sts", lambda c: c.get_federation_token(Name="again")),
        "iam:CreateAccessKey": Attempt("iam", lambda c: c.create_access_key(UserName=user)),
        "iam:PutUserPolicy": Attempt(
            "iam", lambda c: c.put_user_policy(UserName=user, PolicyName="x", PolicyDocument=NOBODY)
        ),
        "iam:AttachRolePolicy": Attempt(
            "iam",
            lambda c: c.attach_role_policy(RoleName=ROLE, PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess"),
        ),
        "iam:PutRolePolicy": Attempt(
            "iam", lambda c: c.put_role_policy(RoleName=ROLE, PolicyName="x", PolicyDocument=NOBODY)
        ),
        "iam:UpdateAssumeRolePolicy": Attempt(
            "iam", lambda c: c.update_assume_role_policy(RoleName=ROLE, PolicyDocument=NOBODY)
        ),
        "iam:CreateUser": Attempt("iam", lambda c: c.create_user(UserName="left-behind")),
        "s3:PutBucketPolicy": Attempt("s3", lambda c: c.put_bucket_policy(Bucket="reports", Policy=NOBODY)),
        "s3:PutBucketAcl": Attempt("s3", lambda c: c.put_bucket_acl(Bucket="reports", ACL="private")),
        "kms:CreateGrant": Attempt(
            "kms",
            lambda c: c.create_grant(
                KeyId="11111111-2222-3333-4444-555555555555", GranteePrincipal=role, Operations=["Decrypt"]
            ),
        ),
        "secretsmanager:PutResourcePolicy": Attempt(
            "secretsmanager", lambda c: c.put_resource_policy(SecretId="app/config", ResourcePolicy=NOBODY)
        ),
        "secretsmanager:GetSecretValue": Attempt("secretsmanager", lambda c: c.get_secret_value(SecretId="app/config")),
        "dynamodb:Scan": Attempt("dynamodb", lambda c: c.scan(TableName="orders")),
    }


NAMES = tuple(escalations(SampleAccount("", "", "", AwsKeys("", ""), dict.fromkeys((ROLE, "remit-data"), ""), "", "")))


@pytest_asyncio.fixture(loop_scope="session")
async def issued(local_aws: LocalAws, sample_account: SampleAccount, tmp_path: Path) -> AsyncIterator[Issued]:
    """What an agent got for reading one quarter's reports: decided, proved, recorded and asked for as ever."""
    arn, ceiling = sample_account.role_arns[ROLE], Document.parse(role_policies()[ROLE])
    role = Role(arn, sample_account.region, ceiling, max_session=timedelta(hours=1))
    reading = entitlement("reader", permission("s3:GetObject", "arn:aws:s3:::reports/2026/*"), role_arn=arn)
    keys = sample_account.gateway_keys
    with sts_relay(local_aws.endpoint_url) as relay:
        settings = AwsSettings(
            region=local_aws.region,
            endpoint_url=relay.url,
            access_key_id=keys.access_key_id,
            secret_access_key=Secret(keys.secret_access_key),
        )
        sts = AwsSts(settings, [role], clock=CLOCK)
        async with world(tmp_path, reading, roles=(role,)) as gateway:
            gateway.clock.time = CLOCK.now()

            async def assume_role(order: SessionOrder, /, *, deadline: float) -> StsSession:
                del deadline  # the world's clock is not the adapter's
                return await sts(order, deadline=CLOCK.monotonic() + 30)

            issue = replace(gateway.issue, assume_role=assume_role)
            yield given(await issue(gateway.request(permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/*"))))
        await sts.close()


def keys_of(issued: Issued) -> AwsKeys:
    """Returns the bare keys."""
    found = issued.credentials
    return AwsKeys(found.access_key_id, found.secret_access_key.reveal(), found.session_token.reveal())


@pytest.mark.parametrize("name", NAMES)
async def test_a6_issued_keys_are_denied_every_way_on(
    local_aws: LocalAws, sample_account: SampleAccount, issued: Issued, name: str
) -> None:
    attempt = escalations(sample_account)[name]

    outcome = attempt.outcome(local_aws, keys_of(issued))

    assert outcome in REFUSALS


@pytest.mark.usefixtures("local_aws")
async def test_a6_every_way_on_is_open_to_the_root_of_an_account(state_folder: Path) -> None:
    async with await LocalAws.start(state_folder) as own:  # one of its own: these calls change it
        account = await own.seed()
        outcomes = {name: each.outcome(own, None) for name, each in escalations(account).items()}

    refused = {name for name, outcome in outcomes.items() if outcome in REFUSALS}
    assert refused == {"sts:AssumeRole"}  # the roles trust the gateway alone
    assert list(outcomes.values()).count("let through") >= 9, outcomes


async def test_a6_what_was_granted_works_with_the_same_keys(local_aws: LocalAws, issued: Issued) -> None:
    reading = Attempt("s3", lambda c: c.get_object(Bucket="reports", Key="2026/q3/summary.md"))

    assert reading.outcome(local_aws, keys_of(issued)) == "let through"


async def test_a7_bucket_policies_that_name_the_session_or_its_role_gain_it_nothing(
    local_aws: LocalAws, sample_account: SampleAccount, issued: Issued
) -> None:
    keys, s3 = keys_of(issued), local_aws.client("s3")
    session = sample_account.session_arn(ROLE, issued.grant.task_id)
    beyond = {
        "another prefix": Attempt("s3", lambda c: c.get_object(Bucket="reports", Key="hr/salaries.csv")),
        "another action": Attempt("s3", lambda c: c.put_object(Bucket="reports", Key="2026/q3/x", Body=b"")),
        "a listing": Attempt("s3", lambda c: c.list_objects_v2(Bucket="reports")),
        "another bucket": Attempt("s3", lambda c: c.get_object(Bucket=PARTNER_BUCKET, Key="inbox/price-list.csv")),
        "the bucket's policy": Attempt("s3", lambda c: c.get_bucket_policy(Bucket="reports")),
    }
    gained: dict[tuple[str, str], str] = {}

    for principal in (session, sample_account.role_arns[ROLE]):
        for bucket in ("reports", PARTNER_BUCKET):
            resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
            statement = {"Effect": "Allow", "Action": "s3:*", "Resource": resources, "Principal": {"AWS": principal}}
            policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            s3.put_bucket_policy(Bucket=bucket, Policy=policy)
        gained |= {(principal, name): each.outcome(local_aws, keys) for name, each in beyond.items()}
    for bucket in ("reports", PARTNER_BUCKET):
        s3.delete_bucket_policy(Bucket=bucket)

    assert set(gained.values()) <= REFUSALS
