"""Calls that a session makes to try a capability, by what they are made on."""

import uuid
from collections.abc import Callable
from typing import Any

from tests.integration.capability_world import Session

RESULTS = {"OutputLocation": "s3://reports/results/"}


def queue(session: Session, name: str) -> str:
    return str(session.sqs.meta.endpoint_url) + f"/111122223333/{name}"


def send(name: str) -> Callable[[Session], object]:
    return lambda session: session.sqs.send_message(QueueUrl=queue(session, name), MessageBody="hello")


def receive(name: str) -> Callable[[Session], object]:
    return lambda session: session.sqs.receive_message(QueueUrl=queue(session, name))


def attributes(name: str) -> Callable[[Session], object]:
    return lambda session: session.sqs.get_queue_attributes(QueueUrl=queue(session, name), AttributeNames=["All"])


def publish(name: str) -> Callable[[Session], object]:
    arn = f"arn:aws:sns:eu-central-1:111122223333:{name}"
    return lambda session: session.sns.publish(TopicArn=arn, Message="hello")


def read(name: str) -> Callable[[Session], object]:
    return lambda session: session.ssm.get_parameter(Name=name)


def read_path(path: str) -> Callable[[Session], object]:
    return lambda session: session.ssm.get_parameters_by_path(Path=path, Recursive=True)


def write(name: str) -> Callable[[Session], object]:
    return lambda session: session.ssm.put_parameter(Name=name, Value="x", Type="String", Overwrite=True)


def create_stream(group: str) -> Callable[[Session], object]:
    return lambda session: session.logs.create_log_stream(logGroupName=group, logStreamName=uuid.uuid4().hex)


def put_events(group: str) -> Callable[[Session], object]:
    events = [{"timestamp": 1_795_000_000_000, "message": "hello"}]
    return lambda session: session.logs.put_log_events(logGroupName=group, logStreamName="one", logEvents=events)


def get_events(group: str) -> Callable[[Session], object]:
    return lambda session: session.logs.get_log_events(logGroupName=group, logStreamName="one")


def filter_events(group: str) -> Callable[[Session], object]:
    return lambda session: session.logs.filter_log_events(logGroupName=group)


def invoke(function: str) -> Callable[[Session], object]:
    return lambda session: getattr(session, "lambda").invoke(FunctionName=function, InvocationType="DryRun")


def query(workgroup: str) -> Callable[[Session], object]:
    return lambda session: session.athena.start_query_execution(
        QueryString="select 1", WorkGroup=workgroup, ResultConfiguration=RESULTS
    )


def ask(model: str) -> Callable[[Session], object]:
    return lambda session: session.bedrock_runtime.invoke_model(modelId=model, body=b"{}")


def converse(model: str) -> Callable[[Session], object]:
    messages: Any = [{"role": "user", "content": [{"text": "hello"}]}]
    return lambda session: session.bedrock_runtime.converse(modelId=model, messages=messages)


def put_object(key: str) -> Callable[[Session], object]:
    return lambda session: session.s3.put_object(Bucket="reports", Key=key, Body=b"")


def images(repository: str) -> Callable[[Session], object]:
    return lambda session: session.ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": "latest"}])


def get_object(key: str) -> Callable[[Session], object]:
    return lambda session: session.s3.get_object(Bucket="reports", Key=key)


def delete_object(key: str) -> Callable[[Session], object]:
    return lambda session: session.s3.delete_object(Bucket="reports", Key=key)


def list_below(prefix: str) -> Callable[[Session], object]:
    return lambda session: session.s3.list_objects_v2(Bucket="reports", Prefix=prefix)


def item(table: str) -> Callable[[Session], object]:
    return lambda session: session.dynamodb.get_item(TableName=table, Key={"pk": {"S": "customer#1"}})


def put_item(table: str) -> Callable[[Session], object]:
    return lambda session: session.dynamodb.put_item(TableName=table, Item={"pk": {"S": "customer#9"}})


def secret(name: str) -> Callable[[Session], object]:
    return lambda session: session.secretsmanager.get_secret_value(SecretId=name)
