"""What AWS refuses is told as the permission that was missing; nothing else is taken for a refusal."""

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

import remit
from remit.frameworks.core.aws_errors import denial_of, note_needs

ROLE = "arn:aws:sts::111122223333:assumed-role/remit-reports/abcdefghijklmnopqrstuvwxyz"
DENIED = f"User: {ROLE} is not authorized to perform: {{action}} on resource: {{resource}} {{why}}"


def error(code: str, message: str = "", operation: str = "GetItem") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ('"arn:aws:s3:::reports/a b.md"', "arn:aws:s3:::reports/a b.md"),
        (
            "arn:aws:dynamodb:eu-central-1:111122223333:table/orders",
            "arn:aws:dynamodb:eu-central-1:111122223333:table/orders",
        ),
    ],
)
def test_the_message_of_aws_says_which_permission_was_missing(resource: str, expected: str) -> None:
    why = "because no session policy allows the dynamodb:GetItem action"
    denial = denial_of(
        error("AccessDeniedException", DENIED.format(action="dynamodb:GetItem", resource=resource, why=why))
    )

    assert denial is not None
    assert denial.permission == remit.Permission("dynamodb:GetItem", expected)
    assert not denial.is_explicit
    assert ROLE not in denial.message


@pytest.mark.parametrize(
    ("why", "is_explicit"),
    [
        ("with an explicit deny in a session policy", False),
        ("with an explicit deny in an identity-based policy", False),
        ("with an explicit deny in a resource-based policy", True),
        ("with an explicit deny in a service control policy", True),
    ],
)
def test_a_deny_beyond_the_tasks_own_credentials_is_told_as_one_that_asking_does_not_help(
    why: str, *, is_explicit: bool
) -> None:
    denial = denial_of(
        error("AccessDenied", DENIED.format(action="s3:GetObject", resource="arn:aws:s3:::b/k", why=why))
    )

    assert denial is not None
    assert denial.is_explicit is is_explicit
    assert ("will not help" in denial.message) is is_explicit


@pytest.mark.parametrize(
    ("operation", "parameters", "expected"),
    [
        ("get_object", {"Bucket": "b", "Key": "k, l.md"}, ("s3:GetObject", "arn:aws:s3:::b/k, l.md")),
        ("head_object", {"Bucket": "b", "Key": "k"}, ("s3:GetObject", "arn:aws:s3:::b/k")),
        ("list_objects_v2", {"Bucket": "b"}, ("s3:ListBucket", "arn:aws:s3:::b")),
        ("create_multipart_upload", {"Bucket": "b", "Key": "k"}, ("s3:PutObject", "arn:aws:s3:::b/k")),
        (
            "delete_objects",
            {"Bucket": "b", "Delete": {"Objects": [{"Key": "k"}]}},
            ("s3:DeleteObject", "arn:aws:s3:::b/*"),
        ),
        ("list_buckets", {}, ("s3:ListAllMyBuckets", "*")),
    ],
)
def test_where_s3_says_nothing_the_call_itself_says_which_permission_it_needed(
    operation: str, parameters: dict[str, Any], expected: tuple[str, str]
) -> None:
    session = boto3.Session("a", "b", region_name="eu-central-1")
    note_needs(session)
    s3 = session.client("s3")
    with Stubber(s3) as stub:
        stub.add_client_error(operation, "403", "Forbidden", http_status_code=403)
        with pytest.raises(ClientError) as raised:
            getattr(s3, operation)(**parameters)

    denial = denial_of(raised.value)

    assert denial is not None
    assert (denial.action, denial.resource) == expected
    assert denial.permission == remit.Permission(*expected)


def test_a_call_of_another_service_is_named_where_its_resource_is_not() -> None:
    session = boto3.Session("a", "b", region_name="eu-central-1")
    note_needs(session)
    sqs = session.client("sqs")
    with Stubber(sqs) as stub:
        stub.add_client_error("list_queues", "AccessDenied", "no", http_status_code=403)
        with pytest.raises(ClientError) as raised:
            sqs.list_queues()

    denial = denial_of(raised.value)

    assert denial is not None
    assert (denial.action, denial.permission) == ("sqs:ListQueues", None)


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidClientTokenId"])
def test_credentials_that_aws_takes_no_more_are_told_as_such(code: str) -> None:
    denial = denial_of(error(code))

    assert denial is not None
    assert "does not accept the task's credentials any more" in denial.message


@pytest.mark.parametrize(
    "other",
    [error("NoSuchKey"), error("ThrottlingException"), PermissionError("no"), LookupError(), remit.Refused("no")],
)
def test_nothing_else_is_a_refusal_of_aws(other: Exception) -> None:
    assert denial_of(other) is None
