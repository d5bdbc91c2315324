"""What each capability of the default catalogue is for: a way to ask for it, what it then does, and its neighbours."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from remit_server.iam import Request

ACCOUNT = "111122223333"
PLACE = f"eu-central-1:{ACCOUNT}"
TOPLESS = {"region": "eu-central-1"}
WHERE = {**TOPLESS, "account": ACCOUNT}
MODEL, OTHER_MODEL = "amazon.nova-lite-v1:0", "amazon.nova-pro-v1:0"
PROFILE = f"arn:aws:bedrock:{PLACE}:inference-profile/eu.{MODEL}"
TAG = "aws:ResourceTag/remit-group"
KEYS = "dynamodb:LeadingKeys"

Call = tuple[str, str] | tuple[str, str, Mapping[str, str | tuple[str, ...]]]


@dataclass(frozen=True, slots=True)
class Case:
    """Parameters of a capability, calls that they grant, and calls next to those that stay refused."""

    parameters: Mapping[str, str]
    granted: tuple[Call, ...]
    refused: tuple[Call, ...] = field(default=())


def request(call: Call) -> Request:
    """Returns a call as a request at noon."""
    action, resource, *context = call
    return Request(action, resource, {"aws:CurrentTime": "2026-11-23T12:00:00Z", **(context[0] if context else {})})


def _arn(service: str, name: str) -> str:
    return f"arn:aws:{service}:{PLACE}:{name}"


def _log_stream(group: str) -> str:
    return _arn("logs", f"log-group:{group}:log-stream:one")


CASES: Mapping[str, Case] = {
    "s3.read_object": Case(
        {"bucket": "reports", "key": "2026/q3/revenue.csv"},
        (("s3:GetObject", "arn:aws:s3:::reports/2026/q3/revenue.csv"),),
        (
            ("s3:GetObject", "arn:aws:s3:::reports/2026/q3/revenue.csv.bak"),
            ("s3:PutObject", "arn:aws:s3:::reports/2026/q3/revenue.csv"),
        ),
    ),
    "s3.read_prefix": Case(
        {"bucket": "reports", "prefix": "2026/q3/"},
        (("s3:GetObject", "arn:aws:s3:::reports/2026/q3/revenue.csv"),),
        (
            ("s3:GetObject", "arn:aws:s3:::reports/2026/q31/revenue.csv"),
            ("s3:GetObject", "arn:aws:s3:::reports-old/2026/q3/revenue.csv"),
            ("s3:ListBucket", "arn:aws:s3:::reports"),
        ),
    ),
    "s3.list_prefix": Case(
        {"bucket": "reports", "prefix": "2026/q3/"},
        (("s3:ListBucket", "arn:aws:s3:::reports", {"s3:prefix": "2026/q3/"}),),
        (
            ("s3:ListBucket", "arn:aws:s3:::reports", {"s3:prefix": "2026/q2/"}),
            ("s3:ListBucket", "arn:aws:s3:::reports"),
            ("s3:GetObject", "arn:aws:s3:::reports/2026/q3/revenue.csv"),
        ),
    ),
    "s3.write_prefix": Case(
        {"bucket": "reports", "prefix": "drafts/"},
        (("s3:PutObject", "arn:aws:s3:::reports/drafts/q4.md"),),
        (
            ("s3:PutObject", "arn:aws:s3:::reports/2026/q4.md"),
            ("s3:DeleteObject", "arn:aws:s3:::reports/drafts/q4.md"),
        ),
    ),
    "s3.delete_object": Case(
        {"bucket": "reports", "key": "drafts/q4.md"},
        (("s3:DeleteObject", "arn:aws:s3:::reports/drafts/q4.md"),),
        (
            ("s3:DeleteObject", "arn:aws:s3:::reports/drafts/q3.md"),
            ("s3:DeleteBucket", "arn:aws:s3:::reports"),
        ),
    ),
    "dynamodb.read_items": Case(
        {**WHERE, "table": "orders", "leading_key": "customer#1"},
        (("dynamodb:GetItem", _arn("dynamodb", "table/orders"), {KEYS: ("customer#1",)}),),
        (
            ("dynamodb:GetItem", _arn("dynamodb", "table/orders"), {KEYS: ("customer#2",)}),
            ("dynamodb:GetItem", _arn("dynamodb", "table/customers"), {KEYS: ("customer#1",)}),
            ("dynamodb:Scan", _arn("dynamodb", "table/orders")),
        ),
    ),
    "dynamodb.write_items": Case(
        {**WHERE, "table": "orders"},
        (("dynamodb:PutItem", _arn("dynamodb", "table/orders")),),
        (
            ("dynamodb:PutItem", _arn("dynamodb", "table/customers")),
            ("dynamodb:DeleteItem", _arn("dynamodb", "table/orders")),
        ),
    ),
    "secretsmanager.read_secret": Case(
        {**WHERE, "name": "app/config"},
        (("secretsmanager:GetSecretValue", _arn("secretsmanager", "secret:app/config-a1b2c3")),),
        (
            ("secretsmanager:GetSecretValue", _arn("secretsmanager", "secret:app/config-old-a1b2c3")),
            ("secretsmanager:PutSecretValue", _arn("secretsmanager", "secret:app/config-a1b2c3")),
        ),
    ),
    "sqs.send_messages": Case(
        {**WHERE, "queue": "jobs.fifo"},
        (("sqs:SendMessage", _arn("sqs", "jobs.fifo")), ("sqs:GetQueueUrl", _arn("sqs", "jobs.fifo"))),
        (
            ("sqs:SendMessage", _arn("sqs", "jobs")),
            ("sqs:SendMessage", f"arn:aws:sqs:eu-west-1:{ACCOUNT}:jobs.fifo"),
            ("sqs:ReceiveMessage", _arn("sqs", "jobs.fifo")),
        ),
    ),
    "sqs.receive_messages": Case(
        {**WHERE, "queue": "jobs"},
        (("sqs:ReceiveMessage", _arn("sqs", "jobs")), ("sqs:DeleteMessage", _arn("sqs", "jobs"))),
        (
            ("sqs:ReceiveMessage", _arn("sqs", "jobs-dead")),
            ("sqs:SendMessage", _arn("sqs", "jobs")),
            ("sqs:PurgeQueue", _arn("sqs", "jobs")),
        ),
    ),
    "sqs.read_attributes": Case(
        {**WHERE, "queue": "jobs"},
        (("sqs:GetQueueAttributes", _arn("sqs", "jobs")),),
        (
            ("sqs:GetQueueAttributes", _arn("sqs", "jobs-dead")),
            ("sqs:ReceiveMessage", _arn("sqs", "jobs")),
            ("sqs:SetQueueAttributes", _arn("sqs", "jobs")),
        ),
    ),
    "sns.publish_messages": Case(
        {**WHERE, "topic": "alerts"},
        (("sns:Publish", _arn("sns", "alerts")),),
        (
            ("sns:Publish", _arn("sns", "alerts-all")),
            ("sns:Publish", "+4915112345678"),
            ("sns:Subscribe", _arn("sns", "alerts")),
        ),
    ),
    "ssm.read_parameter": Case(
        {**WHERE, "name": "app/prod/url"},
        (("ssm:GetParameter", _arn("ssm", "parameter/app/prod/url")),),
        (
            ("ssm:GetParameter", _arn("ssm", "parameter/app/prod/url2")),
            ("ssm:GetParameterHistory", _arn("ssm", "parameter/app/prod/url")),
            ("ssm:PutParameter", _arn("ssm", "parameter/app/prod/url")),
        ),
    ),
    "ssm.read_path": Case(
        {**WHERE, "path": "app/prod/"},
        (
            ("ssm:GetParametersByPath", _arn("ssm", "parameter/app/prod/")),
            ("ssm:GetParametersByPath", _arn("ssm", "parameter/app/prod/db/")),
            ("ssm:GetParameter", _arn("ssm", "parameter/app/prod/db/url")),
        ),
        (
            ("ssm:GetParametersByPath", _arn("ssm", "parameter/app/")),
            ("ssm:GetParametersByPath", _arn("ssm", "parameter/app/prod")),
            ("ssm:GetParameter", _arn("ssm", "parameter/app/production/url")),
            ("ssm:DescribeParameters", "*"),
        ),
    ),
    "ssm.write_parameter": Case(
        {**WHERE, "name": "app/prod/url"},
        (("ssm:PutParameter", _arn("ssm", "parameter/app/prod/url")),),
        (
            ("ssm:PutParameter", _arn("ssm", "parameter/app/prod")),
            ("ssm:GetParameter", _arn("ssm", "parameter/app/prod/url")),
            ("ssm:DeleteParameter", _arn("ssm", "parameter/app/prod/url")),
        ),
    ),
    "logs.write_events": Case(
        {**WHERE, "group": "/app/web"},
        (
            ("logs:PutLogEvents", _log_stream("/app/web")),
            ("logs:CreateLogStream", _arn("logs", "log-group:/app/web:*")),
        ),
        (
            ("logs:PutLogEvents", _log_stream("/app/web2")),
            ("logs:PutLogEvents", _log_stream("/app/web/admin")),
            ("logs:GetLogEvents", _log_stream("/app/web")),
            ("logs:DeleteLogStream", _log_stream("/app/web")),
        ),
    ),
    "logs.read_events": Case(
        {**WHERE, "group": "/app/web"},
        (
            ("logs:GetLogEvents", _log_stream("/app/web")),
            ("logs:FilterLogEvents", _arn("logs", "log-group:/app/web")),
            ("logs:FilterLogEvents", _arn("logs", "log-group:/app/web:log-stream:")),
        ),
        (
            ("logs:FilterLogEvents", _arn("logs", "log-group:/app/web2")),
            ("logs:PutLogEvents", _log_stream("/app/web")),
            ("logs:DescribeLogGroups", _arn("logs", "log-group::log-stream:*")),
        ),
    ),
    "lambda.invoke_function": Case(
        {**WHERE, "function": "resize", "qualifier": "live"},
        (("lambda:InvokeFunction", _arn("lambda", "function:resize:live")),),
        (
            ("lambda:InvokeFunction", _arn("lambda", "function:resize")),
            ("lambda:InvokeFunction", _arn("lambda", "function:resize:7")),
            ("lambda:InvokeFunction", _arn("lambda", "function:resize2:live")),
            ("lambda:UpdateFunctionCode", _arn("lambda", "function:resize")),
        ),
    ),
    "ecr.pull_image": Case(
        {**WHERE, "repository": "team/app"},
        (("ecr:GetAuthorizationToken", "*"), ("ecr:BatchGetImage", _arn("ecr", "repository/team/app"))),
        (
            ("ecr:BatchGetImage", _arn("ecr", "repository/team/app2")),
            ("ecr:PutImage", _arn("ecr", "repository/team/app")),
        ),
    ),
    "ec2.start_stop_instances": Case(
        {**WHERE, "group": "build agents"},
        (
            ("ec2:StartInstances", _arn("ec2", "instance/i-1"), {TAG: "build agents"}),
            ("ec2:StopInstances", _arn("ec2", "instance/i-1"), {TAG: "build agents"}),
        ),
        (
            ("ec2:StartInstances", _arn("ec2", "instance/i-2"), {TAG: "production"}),
            ("ec2:StartInstances", _arn("ec2", "instance/i-3")),
            ("ec2:TerminateInstances", _arn("ec2", "instance/i-1"), {TAG: "build agents"}),
            ("ec2:CreateTags", _arn("ec2", "instance/i-3")),
        ),
    ),
    "ec2.describe_instances": Case(
        TOPLESS,
        (("ec2:DescribeInstances", "*", {"aws:RequestedRegion": "eu-central-1"}),),
        (
            ("ec2:DescribeInstances", "*", {"aws:RequestedRegion": "eu-west-1"}),
            ("ec2:DescribeInstanceAttribute", "*", {"aws:RequestedRegion": "eu-central-1"}),
        ),
    ),
    "athena.run_queries": Case(
        {**WHERE, "workgroup": "analysts"},
        (
            ("athena:StartQueryExecution", _arn("athena", "workgroup/analysts")),
            ("athena:GetQueryResults", _arn("athena", "workgroup/analysts")),
        ),
        (
            ("athena:StartQueryExecution", _arn("athena", "workgroup/analysts-eu")),
            ("athena:UpdateWorkGroup", _arn("athena", "workgroup/analysts")),
        ),
    ),
    "s3.athena_results": Case(
        {"bucket": "athena-results", "prefix": "analysts/"},
        (
            ("s3:PutObject", "arn:aws:s3:::athena-results/analysts/1.csv"),
            ("s3:GetBucketLocation", "arn:aws:s3:::athena-results"),
        ),
        (
            ("s3:GetObject", "arn:aws:s3:::athena-results/managers/1.csv"),
            ("s3:ListBucket", "arn:aws:s3:::athena-results"),
            ("s3:GetBucketLocation", "arn:aws:s3:::reports"),
        ),
    ),
    "glue.read_table": Case(
        {**WHERE, "database": "sales", "table": "orders"},
        (("glue:GetTable", _arn("glue", "table/sales/orders")), ("glue:GetDatabase", _arn("glue", "database/sales"))),
        (
            ("glue:GetTable", _arn("glue", "table/sales/customers")),
            ("glue:UpdateTable", _arn("glue", "table/sales/orders")),
        ),
    ),
    "bedrock.invoke_model": Case(
        {**TOPLESS, "model": MODEL},
        (
            ("bedrock:InvokeModel", f"arn:aws:bedrock:eu-central-1::foundation-model/{MODEL}"),
            ("bedrock:InvokeModelWithResponseStream", f"arn:aws:bedrock:eu-central-1::foundation-model/{MODEL}"),
        ),
        (
            ("bedrock:InvokeModel", f"arn:aws:bedrock:eu-central-1::foundation-model/{OTHER_MODEL}"),
            ("bedrock:InvokeModel", f"arn:aws:bedrock:us-east-1::foundation-model/{MODEL}"),
            ("bedrock:InvokeModel", PROFILE),
        ),
    ),
    "bedrock.invoke_profile": Case(
        {**WHERE, "profile": f"eu.{MODEL}", "model": MODEL},
        (
            ("bedrock:InvokeModel", PROFILE),
            (
                "bedrock:InvokeModel",
                f"arn:aws:bedrock:eu-west-3::foundation-model/{MODEL}",
                {"bedrock:InferenceProfileArn": PROFILE},
            ),
        ),
        (
            ("bedrock:InvokeModel", f"arn:aws:bedrock:eu-west-3::foundation-model/{MODEL}"),
            (
                "bedrock:InvokeModel",
                f"arn:aws:bedrock:eu-west-3::foundation-model/{MODEL}",
                {"bedrock:InferenceProfileArn": f"arn:aws:bedrock:{PLACE}:inference-profile/us.{MODEL}"},
            ),
            ("bedrock:InvokeModel", f"arn:aws:bedrock:{PLACE}:inference-profile/us.{MODEL}"),
        ),
    ),
}
