"""What the local AWS enforces, so that a story told on it means something on AWS too."""

import asyncio
import json
import os
import select
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from remit_sandbox.aws_client import AwsKeys
from remit_sandbox.errors import SandboxError
from remit_sandbox.local_aws import LocalAws, find_interpreter
from remit_sandbox.sample_account import PARTNER_BUCKET, TABLE, SampleAccount, role_policies

TAGS = [{"Key": "remit:grant", "Value": "subject.task.grant"}, {"Key": "remit:by", "Value": "actor.revision"}]
Q3 = "arn:aws:s3:::reports/2026/q3/*"
READ_Q3 = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": Q3}
NOT_FOR_A_SERVICE = {"BoolIfExists": {"aws:ViaAWSService": "false"}}
GUARDS = (
    {"Effect": "Deny", "NotAction": "s3:GetObject", "Resource": "*", "Condition": NOT_FOR_A_SERVICE},
    {"Effect": "Deny", "Action": "s3:GetObject", "NotResource": Q3, "Condition": NOT_FOR_A_SERVICE},
)


@pytest.fixture
def sessions(local_aws: LocalAws, sample_account: SampleAccount) -> Callable[..., AwsKeys]:
    """Opens a session of a role as the gateway would, under a session policy of these statements."""
    sts = local_aws.client("sts", sample_account.gateway_keys)

    def open_session(*statements: object, name: str = "task", role: str = "remit-reports") -> AwsKeys:
        answer = sts.assume_role(
            RoleArn=sample_account.role_arns[role],
            RoleSessionName=name,
            DurationSeconds=900,
            SourceIdentity="local.alice",
            Tags=TAGS,
            Policy=json.dumps({"Version": "2012-10-17", "Statement": list(statements)}),
        )["Credentials"]
        return AwsKeys(answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"])

    return open_session


def _code(call: Callable[[], object]) -> str:
    """Returns the error code that AWS answers with."""
    with pytest.raises(ClientError) as raised:
        call()
    return str(raised.value.response["Error"]["Code"])


def _read(aws: LocalAws, keys: AwsKeys, key: str, bucket: str = "reports") -> str:
    return str(aws.client("s3", keys).get_object(Bucket=bucket, Key=key)["Body"].read().decode())


def test_a_session_reads_what_its_policy_allows(local_aws: LocalAws, sessions: Callable[..., AwsKeys]) -> None:
    keys = sessions(READ_Q3)

    content = _read(local_aws, keys, "2026/q3/revenue.csv")

    assert content.startswith("region,revenue")


@pytest.mark.parametrize(
    ("service", "call"),
    [
        ("s3", lambda s3: s3.get_object(Bucket="reports", Key="hr/salaries.csv")),
        ("s3", lambda s3: s3.delete_object(Bucket="reports", Key="2026/q3/revenue.csv")),
        ("s3", lambda s3: s3.list_objects_v2(Bucket="reports")),
        ("iam", lambda iam: iam.create_access_key(UserName="remit-gateway")),
        (
            "sts",
            lambda sts: sts.assume_role(
                RoleArn="arn:aws:iam::111122223333:role/remit-data", RoleSessionName="again", Tags=TAGS
            ),
        ),
    ],
)
def test_a_session_is_refused_what_its_policy_does_not_allow(
    local_aws: LocalAws, sessions: Callable[..., AwsKeys], service: str, call: Callable[[Any], object]
) -> None:
    client = local_aws.client(service, sessions(READ_Q3))

    assert _code(lambda: call(client)) == "AccessDenied"


def test_a_time_guard_in_the_past_refuses_what_the_policy_allows(
    local_aws: LocalAws, sessions: Callable[..., AwsKeys]
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)

    def until(end: datetime) -> dict[str, object]:
        text = end.strftime("%Y-%m-%dT%H:%M:%SZ")
        condition = {"DateGreaterThanEquals": {"aws:CurrentTime": text}}
        return {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition}

    live = sessions(READ_Q3, until(now + timedelta(minutes=5)))
    over = sessions(READ_Q3, until(now))

    assert _read(local_aws, live, "2026/q3/summary.md").startswith("# Q3")
    assert _code(lambda: _read(local_aws, over, "2026/q3/summary.md")) == "AccessDenied"


async def test_a_partner_who_names_the_session_adds_rights_that_only_the_guards_refuse(
    local_aws: LocalAws, sample_account: SampleAccount, sessions: Callable[..., AwsKeys]
) -> None:
    await local_aws.let_partner_name(sample_account.session_arn("remit-reports", "named-task"))

    unguarded = sessions(READ_Q3, name="named-task")
    guarded = sessions(READ_Q3, *GUARDS, name="named-task")

    assert _read(local_aws, unguarded, "inbox/price-list.csv", PARTNER_BUCKET).startswith("item")
    assert _code(lambda: _read(local_aws, guarded, "inbox/price-list.csv", PARTNER_BUCKET)) == "AccessDenied"
    assert _read(local_aws, guarded, "2026/q3/revenue.csv")


def test_the_data_role_reads_the_table_and_the_secret(
    local_aws: LocalAws, sample_account: SampleAccount, sessions: Callable[..., AwsKeys]
) -> None:
    keys = sessions(
        {"Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": sample_account.table_arn},
        {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": sample_account.secret_arn},
        role="remit-data",
    )

    order = local_aws.client("dynamodb", keys).get_item(TableName=TABLE, Key={"pk": {"S": "customer#1"}})
    secret = local_aws.client("secretsmanager", keys).get_secret_value(SecretId="app/config")

    assert order["Item"]["total"] == {"S": "30"}
    assert json.loads(secret["SecretString"])["database"] == "orders"


def test_the_gateway_itself_can_only_open_sessions(local_aws: LocalAws, sample_account: SampleAccount) -> None:
    keys = sample_account.gateway_keys

    assert _code(lambda: _read(local_aws, keys, "2026/q3/revenue.csv")) == "AccessDenied"
    assert _code(lambda: local_aws.client("iam", keys).list_users()) == "AccessDenied"


def test_a_role_is_not_assumed_without_the_two_tags(local_aws: LocalAws, sample_account: SampleAccount) -> None:
    sts = local_aws.client("sts", sample_account.gateway_keys)
    role_arn = sample_account.role_arns["remit-reports"]

    bare = _code(lambda: sts.assume_role(RoleArn=role_arn, RoleSessionName="task"))
    half = _code(lambda: sts.assume_role(RoleArn=role_arn, RoleSessionName="task", Tags=TAGS[:1]))

    assert (bare, half) == ("AccessDenied", "AccessDenied")


def test_nobody_but_the_gateway_opens_a_session(local_aws: LocalAws, sample_account: SampleAccount) -> None:
    iam = local_aws.client("iam")
    iam.create_user(UserName="stranger")
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
    iam.put_user_policy(UserName="stranger", PolicyName="everything", PolicyDocument=document)
    made = iam.create_access_key(UserName="stranger")["AccessKey"]
    sts = local_aws.client("sts", AwsKeys(made["AccessKeyId"], made["SecretAccessKey"]))
    role_arn = sample_account.role_arns["remit-reports"]

    assert _code(lambda: sts.assume_role(RoleArn=role_arn, RoleSessionName="task", Tags=TAGS)) == "AccessDenied"


def test_keys_with_a_wrong_secret_are_refused(local_aws: LocalAws, sample_account: SampleAccount) -> None:
    forged = AwsKeys(sample_account.gateway_keys.access_key_id, "not the secret")

    assert _code(lambda: local_aws.client("sts", forged).get_caller_identity()) == "SignatureDoesNotMatch"


async def test_seeding_again_changes_nothing_and_mends_what_was_broken(
    local_aws: LocalAws, sample_account: SampleAccount
) -> None:
    local_aws.client("s3").delete_object(Bucket="reports", Key="2026/q2/summary.md")

    again = await local_aws.seed()

    assert again == sample_account
    assert _read(local_aws, local_aws.root, "2026/q2/summary.md").startswith("# Q2")


def test_the_roles_own_policies_are_the_ones_on_file(local_aws: LocalAws, sample_account: SampleAccount) -> None:
    iam = local_aws.client("iam")

    found = {role: iam.get_role_policy(RoleName=role, PolicyName="ceiling") for role in sample_account.role_arns}

    assert {role: policy["PolicyDocument"] for role, policy in found.items()} == {
        role: json.loads(text) for role, text in role_policies().items()
    }


def test_nothing_that_runs_code_is_served_unless_a_test_asks_for_it(local_aws: LocalAws) -> None:
    functions = local_aws.client("lambda")

    with pytest.raises(ClientError) as raised:
        functions.list_functions()

    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_secrets_do_not_show_in_a_repr(local_aws: LocalAws, sample_account: SampleAccount) -> None:
    shown = f"{sample_account!r} {local_aws!r} {local_aws.root!r}"

    assert sample_account.gateway_keys.secret_access_key not in shown
    assert local_aws.root.secret_access_key not in shown


@pytest.mark.usefixtures("local_aws")
async def test_stopping_ends_the_process_and_may_be_repeated(state_folder: Path) -> None:
    aws = await LocalAws.start(state_folder)

    await aws.stop()
    await aws.stop()

    with pytest.raises(ProcessLookupError):
        os.kill(aws.process_id, 0)


@pytest.mark.usefixtures("local_aws")
def test_the_process_ends_when_its_starter_is_killed(state_folder: Path) -> None:
    starter_code = f"""
import asyncio, os, pathlib, signal
from remit_sandbox.local_aws import LocalAws
async def main():
    aws = await LocalAws.start(pathlib.Path({str(state_folder)!r}))
    print(aws.process_id, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    starter = subprocess.run([sys.executable, "-c", starter_code], capture_output=True, check=False, timeout=60)  # noqa: S603
    process_id = int(starter.stdout)

    ended = _ended(process_id)

    assert ended


def _ended(process_id: int) -> bool:
    """Waits up to 20 s for a process that is nobody's child here."""
    try:
        descriptor = os.pidfd_open(process_id)
    except ProcessLookupError:
        return True
    with os.fdopen(descriptor) as watched:
        ready, _, _ = select.select([watched], [], [], 20)
    return bool(ready)


@pytest.mark.usefixtures("local_aws")
async def test_a_taken_port_is_told_with_the_place_of_the_log(local_aws: LocalAws, state_folder: Path) -> None:
    with pytest.raises(SandboxError, match=f"port {local_aws.port}: read .*ministack.log"):
        await LocalAws.start(state_folder, port=local_aws.port)


def test_a_missing_ministack_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="make setup"):
        find_interpreter(tmp_path / "ministack")


async def test_several_accounts_run_side_by_side(local_aws: LocalAws, state_folder: Path) -> None:
    async with await LocalAws.start(state_folder) as other:
        buckets = await asyncio.to_thread(other.client("s3").list_buckets)

    assert buckets["Buckets"] == []
    assert other.port != local_aws.port
