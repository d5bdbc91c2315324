"""A local AWS with the services that capabilities are for, two of everything in it, and sessions like the gateway's."""

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from botocore.exceptions import ClientError
from tests.policy_bundles import DEFAULT_POLICIES

from remit_sandbox.aws_client import AwsKeys
from remit_sandbox.local_aws import SERVICES, LocalAws
from remit_sandbox.sample_account import SampleAccount
from remit_server.adapters.policy.bundles.bundle import read_bundle
from remit_server.domain.capability import CapabilityTemplate, expand
from remit_server.domain.permission import as_document
from remit_server.domain.task import Capability
from remit_server.iam import Derived, Document, contains_all, derive

MORE_SERVICES = (
    *SERVICES,
    "athena",
    "bedrock",
    "bedrock-runtime",
    "ec2",
    "ecr",
    "glue",
    "lambda",
    "logs",
    "sns",
    "sqs",
    "ssm",
)
ROLE, SESSION = "remit-data", "capability"
SESSION_ARN = f"arn:aws:sts::111122223333:assumed-role/{ROLE}/{SESSION}"
TAGS = [{"Key": "remit:grant", "Value": "subject.task.grant"}, {"Key": "remit:by", "Value": "actor.revision"}]
GROUP_TAG = "remit-group"
# ministack looks a resource's tags up only where the role's own policy names the condition key.
CEILING = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": [
                    *("athena:*", "bedrock:*", "dynamodb:*", "ec2:Describe*", "ec2:*Instances", "ecr:*", "glue:*"),
                    *("lambda:*", "logs:*", "s3:*", "secretsmanager:*", "sns:*", "sqs:*", "ssm:*"),
                ],
                "Resource": "*",
            },
            {
                "Effect": "Allow",
                "Action": ["ec2:StartInstances", "ec2:StopInstances", "sqs:SendMessage"],
                "Resource": "*",
                "Condition": {"StringLike": {f"aws:ResourceTag/{GROUP_TAG}": "*"}},
            },
        ],
    }
)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"})


@cache
def catalogue() -> Mapping[str, CapabilityTemplate]:
    """Returns the default catalogue."""
    return read_bundle(DEFAULT_POLICIES).capabilities


class Session:
    """Clients of a session under the policy that a capability became."""

    def __init__(self, aws: LocalAws, keys: AwsKeys) -> None:
        self._aws = aws
        self._keys = keys

    def __getattr__(self, service: str) -> Any:
        client = self._aws.client(service.replace("_", "-"), self._keys)
        setattr(self, service, client)
        return client

    def lets_through(self, call: Callable[["Session"], object]) -> bool:
        """Says whether the account answers the call; any error but a denial is raised."""
        try:
            call(self)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _DENIED:
                raise
            return False
        return True


class World:
    """The seeded account, and sessions of its role as the gateway opens them."""

    def __init__(self, aws: LocalAws, account: SampleAccount) -> None:
        self._aws = aws
        self._account = account
        for fill in (
            _queues,
            _topics,
            _parameters,
            _logs,
            _functions,
            _catalog,
            _workgroups,
            _repositories,
            _instances,
        ):
            fill(aws.client)

    def open(self, name: str, parameters: Mapping[str, str]) -> Session:
        """Opens a session for a capability: its session policy derived, proven, and given to STS with the role."""
        return self.open_for(
            as_document(expand(Capability(name, parameters), catalogue(), path="intent.capabilities[0]"))
        )

    def open_for(self, intent: Document) -> Session:
        """Opens a session for an intent."""
        ceiling = Document.parse(CEILING)
        derived = derive(intent, [ceiling], end=datetime.now(UTC) + timedelta(hours=1))
        assert isinstance(derived, Derived)
        assert isinstance(contains_all(derived.document, [intent, ceiling]), tuple)
        return self.open_under(derived.document)

    def open_under(self, session_policy: Document) -> Session:
        """Opens a session under a session policy as it is."""
        sts = self._aws.client("sts", self._account.gateway_keys)
        answer = sts.assume_role(
            RoleArn=self._account.role_arns[ROLE],
            RoleSessionName=SESSION,
            DurationSeconds=900,
            Tags=TAGS,
            Policy=session_policy.text,
        )["Credentials"]
        return Session(self._aws, AwsKeys(answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"]))


def _queues(client: Callable[[str], Any]) -> None:
    for name, group in {"jobs": "agents", "jobs-dead": "production", "jobs-new": None}.items():
        tags = {GROUP_TAG: group} if group else {}
        policy = {"Policy": _hands_out("sqs", name)}
        client("sqs").create_queue(QueueName=name, tags=tags, Attributes=policy)


def _topics(client: Callable[[str], Any]) -> None:
    for name in ("alerts", "alerts-all"):
        client("sns").create_topic(Name=name, Attributes={"Policy": _hands_out("sns", name)})


def _hands_out(service: str, name: str) -> str:
    """Returns the policy of a resource that gives everything on it to our sessions, whatever they were issued."""
    resource = f"arn:aws:{service}:eu-central-1:111122223333:{name}"
    statement = {"Effect": "Allow", "Principal": {"AWS": SESSION_ARN}, "Action": f"{service}:*", "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _parameters(client: Callable[[str], Any]) -> None:
    for name in ("/app/prod/url", "/app/prod/db/url", "/app/production/url"):
        client("ssm").put_parameter(Name=name, Value="https://example.org", Type="String")


def _logs(client: Callable[[str], Any]) -> None:
    for name in ("/app/web", "/app/web2"):
        client("logs").create_log_group(logGroupName=name)
        client("logs").create_log_stream(logGroupName=name, logStreamName="one")


def _functions(client: Callable[[str], Any]) -> None:
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("index.py", "def handler(event, context): return 1")
    for name in ("resize", "resize2"):
        client("lambda").create_function(
            FunctionName=name,
            Runtime="python3.12",
            Role="arn:aws:iam::111122223333:role/remit-data",
            Handler="index.handler",
            Code={"ZipFile": code.getvalue()},
        )
        client("lambda").create_alias(FunctionName=name, Name="live", FunctionVersion="$LATEST")


def _catalog(client: Callable[[str], Any]) -> None:
    for database in ("sales", "staff"):
        client("glue").create_database(DatabaseInput={"Name": database})
        client("glue").create_table(DatabaseName=database, TableInput={"Name": "orders"})


def _workgroups(client: Callable[[str], Any]) -> None:
    for name in ("analysts", "managers"):
        client("athena").create_work_group(Name=name)


def _repositories(client: Callable[[str], Any]) -> None:
    for name in ("team/app", "team/app2"):
        client("ecr").create_repository(repositoryName=name)


def _instances(client: Callable[[str], Any]) -> None:
    tags = [{"ResourceType": "instance", "Tags": [{"Key": GROUP_TAG, "Value": "agents"}]}]
    client("ec2").run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1, TagSpecifications=tags)
