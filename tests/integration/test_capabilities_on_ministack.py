"""Capabilities on an account that enforces policies: what is granted works, its neighbour is refused.

The way is the gateway's: expand, derive with guards, prove, AssumeRole. Where ministack judges by something else than
AWS does, DIFFERS says so, and docs/capabilities.md.
"""

import uuid
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import pytest_asyncio
from tests.integration import capability_calls as calls
from tests.integration.capability_world import CEILING, GROUP_TAG, MORE_SERVICES, ROLE, Session, World, catalogue

from remit_sandbox.local_aws import LocalAws
from remit_server.iam import Document, compact

Calls = Mapping[str, Callable[[Session], object]]

WHERE = {"region": "eu-central-1", "account": "111122223333"}
MODEL, OTHER_MODEL = "amazon.nova-lite-v1:0", "amazon.nova-pro-v1:0"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def broad_aws(local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalAws]:
    """A second local AWS with more services; skipped where the first one is."""
    folder = tmp_path_factory.mktemp("broad-aws")
    async with await LocalAws.start(folder, services=MORE_SERVICES) as aws:
        assert aws.port != local_aws.port
        yield aws


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(broad_aws: LocalAws) -> World:
    return World(broad_aws, await broad_aws.seed({ROLE: CEILING}))


# Per capability: its parameters, the calls it grants, the calls next to them.
CASES: Mapping[str, tuple[Mapping[str, str], Calls, Calls]] = {
    "s3.read_object": (
        {"bucket": "reports", "key": "2026/q3/summary.md"},
        {"read": calls.get_object("2026/q3/summary.md")},
        {"another key": calls.get_object("2026/q3/revenue.csv"), "write": calls.put_object("2026/q3/summary.md")},
    ),
    "s3.read_prefix": (
        {"bucket": "reports", "prefix": "2026/q3/"},
        {"read": calls.get_object("2026/q3/revenue.csv")},
        {"another prefix": calls.get_object("2026/q2/revenue.csv"), "list": calls.list_below("2026/q3/")},
    ),
    "s3.list_prefix": (
        {"bucket": "reports", "prefix": "2026/q3/"},
        {"list": calls.list_below("2026/q3/")},
        {
            "another prefix": calls.list_below("2026/q2/"),
            "everything": calls.list_below(""),
            "read": calls.get_object("2026/q3/revenue.csv"),
        },
    ),
    "s3.write_prefix": (
        {"bucket": "reports", "prefix": "drafts/"},
        {"write": calls.put_object("drafts/q4.md")},
        {"another prefix": calls.put_object("2026/q4.md"), "read": calls.get_object("drafts/q4.md")},
    ),
    "s3.delete_object": (
        {"bucket": "reports", "key": "drafts/gone.md"},
        {"delete": calls.delete_object("drafts/gone.md")},
        {"another key": calls.delete_object("drafts/q4.md"), "read": calls.get_object("drafts/gone.md")},
    ),
    "dynamodb.read_items": (
        {**WHERE, "table": "orders"},
        {"read": calls.item("orders")},
        {
            "another table": calls.item("customers"),
            "scan": lambda session: session.dynamodb.scan(TableName="orders"),
            "write": calls.put_item("orders"),
        },
    ),
    "dynamodb.write_items": (
        {**WHERE, "table": "orders"},
        {"write": calls.put_item("orders")},
        {"another table": calls.put_item("customers"), "read": calls.item("orders")},
    ),
    "secretsmanager.read_secret": (
        {**WHERE, "name": "app/config"},
        {"read": calls.secret("app/config")},
        {
            "another secret": calls.secret("app/config-old"),
            "write": lambda session: session.secretsmanager.put_secret_value(SecretId="app/config", SecretString="x"),
        },
    ),
    "sqs.send_messages": (
        {**WHERE, "queue": "jobs"},
        {"send": calls.send("jobs"), "find the queue": lambda session: session.sqs.get_queue_url(QueueName="jobs")},
        {
            "another queue": calls.send("jobs-dead"),
            "receive": calls.receive("jobs"),
            "purge": lambda session: session.sqs.purge_queue(QueueUrl=calls.queue(session, "jobs")),
        },
    ),
    "sqs.receive_messages": (
        {**WHERE, "queue": "jobs"},
        {"receive": calls.receive("jobs")},
        {
            "another queue": calls.receive("jobs-dead"),
            "send": calls.send("jobs"),
            "attributes": calls.attributes("jobs"),
        },
    ),
    "sqs.read_attributes": (
        {**WHERE, "queue": "jobs"},
        {"attributes": calls.attributes("jobs")},
        {
            "another queue": calls.attributes("jobs-dead"),
            "receive": calls.receive("jobs"),
            "list the queues": lambda session: session.sqs.list_queues(),
        },
    ),
    "sns.publish_messages": (
        {**WHERE, "topic": "alerts"},
        {"publish": calls.publish("alerts")},
        {
            "another topic": calls.publish("alerts-all"),
            "a phone number": lambda session: session.sns.publish(PhoneNumber="+4915112345678", Message="hello"),
            "its settings": lambda session: session.sns.get_topic_attributes(
                TopicArn="arn:aws:sns:eu-central-1:111122223333:alerts"
            ),
        },
    ),
    "ssm.read_parameter": (
        {**WHERE, "name": "app/prod/url"},
        {"read": calls.read("/app/prod/url")},
        {
            "another parameter": calls.read("/app/prod/db/url"),
            "write": calls.write("/app/prod/url"),
            "list": lambda session: session.ssm.describe_parameters(),
        },
    ),
    "ssm.read_path": (
        {**WHERE, "path": "app/prod/"},
        {"read below": calls.read("/app/prod/db/url")},
        {
            "a longer name": calls.read("/app/production/url"),
            "a wider path": calls.read_path("/app/"),
            "write": calls.write("/app/prod/x"),
        },
    ),
    "ssm.write_parameter": (
        {**WHERE, "name": "app/prod/url"},
        {"write": calls.write("/app/prod/url")},
        {
            "another parameter": calls.write("/app/prod/db/url"),
            "read": calls.read("/app/prod/url"),
            "delete": lambda session: session.ssm.delete_parameter(Name="/app/prod/url"),
        },
    ),
    "logs.write_events": (
        {**WHERE, "group": "/app/web"},
        {"create a stream": calls.create_stream("/app/web"), "write": calls.put_events("/app/web")},
        {
            "another group": calls.put_events("/app/web2"),
            "read": calls.get_events("/app/web"),
            "delete": lambda session: session.logs.delete_log_group(logGroupName="/app/web"),
        },
    ),
    "logs.read_events": (
        {**WHERE, "group": "/app/web"},
        {"read": calls.get_events("/app/web"), "filter": calls.filter_events("/app/web")},
        {
            "another group": calls.filter_events("/app/web2"),
            "write": calls.put_events("/app/web"),
            "list the groups": lambda session: session.logs.describe_log_groups(),
        },
    ),
    "lambda.invoke_function": (
        {**WHERE, "function": "resize"},
        {"invoke": calls.invoke("resize")},
        {
            "another function": calls.invoke("resize2"),
            "an alias of it": calls.invoke("resize:live"),
            "read its code": lambda session: getattr(session, "lambda").get_function(FunctionName="resize"),
        },
    ),
    "athena.run_queries": (
        {**WHERE, "workgroup": "analysts"},
        {"start a query": calls.query("analysts")},
        {
            "another workgroup": calls.query("managers"),
            "change it": lambda session: session.athena.delete_work_group(WorkGroup="analysts"),
        },
    ),
    "s3.athena_results": (
        {"bucket": "reports", "prefix": "results/"},
        {
            "write a result": calls.put_object("results/1.csv"),
            "find the bucket": lambda session: session.s3.get_bucket_location(Bucket="reports"),
        },
        {
            "another prefix": calls.put_object("2026/1.csv"),
            "list": lambda session: session.s3.list_objects_v2(Bucket="reports"),
        },
    ),
    "glue.read_table": (
        {**WHERE, "database": "sales", "table": "orders"},
        {"read": lambda session: session.glue.get_table(DatabaseName="sales", Name="orders")},
        {
            "another database": lambda session: session.glue.get_table(DatabaseName="staff", Name="orders"),
            "change it": lambda session: session.glue.delete_table(DatabaseName="sales", Name="orders"),
        },
    ),
    "bedrock.invoke_model": (
        {"region": "eu-central-1", "model": MODEL},
        {"invoke": calls.ask(MODEL)},
        {"another model": calls.ask(OTHER_MODEL), "converse with another": calls.converse(OTHER_MODEL)},
    ),
    "ecr.pull_image": (
        {**WHERE, "repository": "team/app"},
        {
            "fetch a manifest": calls.images("team/app"),
            "a token": lambda session: session.ecr.get_authorization_token(),
        },
        {
            "another repository": calls.images("team/app2"),
            "delete": lambda session: session.ecr.delete_repository(repositoryName="team/app"),
        },
    ),
    "ec2.describe_instances": (
        {"region": "eu-central-1"},
        {"describe": lambda session: session.ec2.describe_instances()},
        {"other things": lambda session: session.ec2.describe_volumes()},
    ),
}
ALIAS = {**WHERE, "function": "resize", "qualifier": "live"}
# What AWS grants and ministack refuses, because it judges the call by another resource than AWS does.
DIFFERS: Mapping[str, tuple[str, Mapping[str, str], Callable[[Session], object]]] = {
    "a path is no resource": ("ssm.read_path", {**WHERE, "path": "app/prod/"}, calls.read_path("/app/prod/")),
    "several names are no resource": (
        "ssm.read_parameter",
        {**WHERE, "name": "app/prod/url"},
        lambda session: session.ssm.get_parameters(Names=["/app/prod/url"]),
    ),
    "a qualifier beside the name is not seen": (
        "lambda.invoke_function",
        ALIAS,
        lambda session: getattr(session, "lambda").invoke(
            FunctionName="resize", Qualifier="live", InvocationType="DryRun"
        ),
    ),
    "Converse is an action of its own": (
        "bedrock.invoke_model",
        {"region": "eu-central-1", "model": MODEL},
        calls.converse(MODEL),
    ),
    "a query's id tells no workgroup": (
        "athena.run_queries",
        {**WHERE, "workgroup": "analysts"},
        lambda session: session.athena.get_query_execution(QueryExecutionId=str(uuid.uuid4())),
    ),
    "an instance has no tags to judge by": (
        "ec2.start_stop_instances",
        {**WHERE, "group": "agents"},
        lambda session: session.ec2.start_instances(InstanceIds=["i-0123456789abcdef0"]),
    ),
    "an inference profile is taken for a model": (
        "bedrock.invoke_profile",
        {**WHERE, "profile": f"eu.{MODEL}", "model": MODEL},
        calls.ask(f"eu.{MODEL}"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_a_capability_grants_works_and_its_neighbour_is_refused(world: World, name: str) -> None:
    parameters, granted, refused = CASES[name]

    session = world.open(name, parameters)

    assert {what: session.lets_through(call) for what, call in granted.items()} == dict.fromkeys(granted, True)
    assert {what: session.lets_through(call) for what, call in refused.items()} == dict.fromkeys(refused, False)


def test_an_alias_is_invoked_without_the_function_itself(world: World) -> None:
    session = world.open("lambda.invoke_function", ALIAS)

    assert session.lets_through(calls.invoke("resize:live"))
    assert not session.lets_through(calls.invoke("resize"))
    assert not session.lets_through(calls.invoke("resize2:live"))


def test_every_capability_is_tried_here_or_differs() -> None:
    assert set(CASES) | {name for name, _, _ in DIFFERS.values()} == set(catalogue())


def test_a_tag_s_condition_and_its_guard_hold_where_ministack_knows_the_tags(world: World) -> None:
    tagged = {"StringEquals": {f"aws:ResourceTag/{GROUP_TAG}": "agents"}}
    statement = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "arn:aws:sqs:eu-central-1:111122223333:*"}
    intent = Document.parse({"Version": "2012-10-17", "Statement": [{**statement, "Condition": tagged}]})

    guarded, unguarded = world.open_for(intent), world.open_under(compact(intent).document)

    # Every queue's own policy hands out everything to both sessions.
    names = ("jobs", "jobs-dead", "jobs-new")
    assert [guarded.lets_through(calls.send(name)) for name in names] == [True, False, False]
    assert [unguarded.lets_through(calls.send(name)) for name in names] == [True, True, True]


@pytest.mark.parametrize("what", DIFFERS)
def test_where_ministack_judges_by_another_resource_than_aws_it_is_stricter(world: World, what: str) -> None:
    name, parameters, call = DIFFERS[what]

    session = world.open(name, parameters)

    assert not session.lets_through(call)
