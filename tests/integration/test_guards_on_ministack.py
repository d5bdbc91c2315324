"""Guards against a bucket policy that names the session, on an account that enforces policies."""

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from remit_sandbox.aws_client import AwsKeys
from remit_sandbox.local_aws import LocalAws
from remit_sandbox.sample_account import PARTNER_BUCKET, SampleAccount, role_policies
from remit_server.iam import (
    Allowed,
    Derived,
    Document,
    Naming,
    Policies,
    Request,
    ResourcePolicy,
    compact,
    derive,
    evaluate,
)

ROLE = "remit-reports"
TAGS = [{"Key": "remit:grant", "Value": "subject.task.grant"}, {"Key": "remit:by", "Value": "actor.revision"}]
KEYS = ("2026/q3/revenue.csv", "2026/q2/revenue.csv", "hr/salaries.csv")
PREFIXES = ("", "2026/q3/", "2026/q2/", "hr/")


def allow(action: object, resource: object, **more: object) -> dict[str, object]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def policy(*statements: dict[str, object]) -> Document:
    return Document.parse({"Version": "2012-10-17", "Statement": list(statements)})


def reading(*prefixes: str) -> list[dict[str, object]]:
    return [
        statement
        for prefix in prefixes
        for statement in (
            allow("s3:GetObject", f"arn:aws:s3:::reports/{prefix}*"),
            allow("s3:ListBucket", "arn:aws:s3:::reports", Condition={"StringLike": {"s3:prefix": f"{prefix}*"}}),
        )
    ]


ONE_PREFIX = policy(*reading("2026/q3/"))
READ_ONE_WRITE_OTHER = policy(
    allow("s3:GetObject", "arn:aws:s3:::reports/2026/q3/*"), allow("s3:PutObject", "arn:aws:s3:::reports/2026/q2/*")
)
OVERLAPPING = policy(
    allow("s3:*Object", "arn:aws:s3:::reports/2026/q3/*"), allow("s3:GetObject", "arn:aws:s3:::reports/2026/q2/*")
)
MANY_PREFIXES = policy(*reading("2026/q3/", *(f"2026/q3-department-{at:02}/" for at in range(11))))
STILL_MORE_PREFIXES = policy(*reading("2026/q3/", *(f"2026/q3-department-{at:02}/" for at in range(19))))
INTENTS = {
    "one prefix": ONE_PREFIX,
    "read one, write another": READ_ONE_WRITE_OTHER,
    "overlapping actions": OVERLAPPING,
    "many prefixes, widened in the Allows": MANY_PREFIXES,
    "still more prefixes, on everything in the Allow": STILL_MORE_PREFIXES,
}


def derived(intent: Document, *, end: datetime | None = None, source_cidrs: tuple[str, ...] = ()) -> Document:
    found = derive(intent, [intent], end=end or datetime.now(UTC) + timedelta(hours=1), source_cidrs=source_cidrs)
    assert isinstance(found, Derived)
    return found.document


class Session:
    """A session of the role under a session policy, named by the policies of two buckets."""

    def __init__(self, aws: LocalAws, account: SampleAccount, root_s3: Any, sts: Any, document: Document) -> None:
        name = f"task-{uuid.uuid4().hex}"
        answer = sts.assume_role(
            RoleArn=account.role_arns[ROLE],
            RoleSessionName=name,
            DurationSeconds=900,
            Tags=TAGS,
            Policy=document.text,
        )["Credentials"]
        keys = AwsKeys(answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"])
        self.s3 = aws.client("s3", keys)
        for bucket in ("reports", PARTNER_BUCKET):
            generous = allow("s3:*", [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"])
            named = {**generous, "Principal": {"AWS": account.session_arn(ROLE, name)}}
            text = json.dumps({"Version": "2012-10-17", "Statement": [named]})
            root_s3.put_bucket_policy(Bucket=bucket, Policy=text)

    def is_let_through(self, call: Callable[[Any], object]) -> bool:
        try:
            call(self.s3)
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDenied":
                raise
            return False
        return True


@pytest.fixture
def opened(local_aws: LocalAws, sample_account: SampleAccount) -> Iterator[Callable[[Document], Session]]:
    """Opens sessions, and takes the bucket policies that name them away at the end."""
    root_s3, sts = local_aws.client("s3"), local_aws.client("sts", sample_account.gateway_keys)
    yield partial(Session, local_aws, sample_account, root_s3, sts)
    for bucket in ("reports", PARTNER_BUCKET):
        root_s3.delete_bucket_policy(Bucket=bucket)
    for key in KEYS:
        root_s3.delete_object(Bucket="reports", Key=f"{key}.new")


def _get(s3: Any, key: str) -> object:
    return s3.get_object(Bucket="reports", Key=key)


def _put(s3: Any, key: str) -> object:
    return s3.put_object(Bucket="reports", Key=key, Body=b"")


def _delete(s3: Any, key: str) -> object:
    return s3.delete_object(Bucket="reports", Key=key)


def _list(s3: Any, prefix: str) -> object:
    return s3.list_objects_v2(Bucket="reports", **({"Prefix": prefix} if prefix else {}))


CALLS: dict[tuple[str, str], Callable[[Any], object]] = {
    **{("s3:GetObject", key): partial(_get, key=key) for key in KEYS},
    **{("s3:PutObject", f"{key}.new"): partial(_put, key=f"{key}.new") for key in KEYS},
    **{("s3:DeleteObject", f"{key}.new"): partial(_delete, key=f"{key}.new") for key in KEYS},
    **{("s3:ListBucket", prefix): partial(_list, prefix=prefix) for prefix in PREFIXES},
}
LEAKS: dict[str, Callable[[Any], object]] = {
    "another prefix": CALLS["s3:GetObject", "hr/salaries.csv"],
    "another action": CALLS["s3:DeleteObject", "2026/q3/revenue.csv.new"],
    "another listing": CALLS["s3:ListBucket", "hr/"],
    "a listing of everything": CALLS["s3:ListBucket", ""],
    "another bucket": lambda s3: s3.get_object(Bucket=PARTNER_BUCKET, Key="inbox/price-list.csv"),
    "the bucket's own policy": lambda s3: s3.get_bucket_policy(Bucket="reports"),
}


def requested(action: str, name: str) -> Request:
    if action == "s3:ListBucket":
        context = {"s3:prefix": name} if name else {}
        return Request(action, "arn:aws:s3:::reports", context)
    return Request(action, f"arn:aws:s3:::reports/{name}")


def test_a_bucket_policy_that_names_the_session_adds_to_allows_alone(opened: Callable[[Document], Session]) -> None:
    session = opened(compact(ONE_PREFIX).document)

    assert [name for name, leak in LEAKS.items() if session.is_let_through(leak)] == list(LEAKS)


@pytest.mark.parametrize("intent", [ONE_PREFIX, MANY_PREFIXES, STILL_MORE_PREFIXES], ids=["plain", "widened", "sealed"])
def test_it_adds_nothing_to_a_guarded_session_policy(opened: Callable[[Document], Session], intent: Document) -> None:
    session = opened(derived(intent))

    assert [name for name, leak in LEAKS.items() if session.is_let_through(leak)] == []


@pytest.mark.parametrize("name", INTENTS)
def test_exactly_what_was_granted_works_although_the_buckets_hand_out_everything(
    opened: Callable[[Document], Session], name: str
) -> None:
    intent = INTENTS[name]
    granted = {call for call in CALLS if isinstance(evaluate(Policies(identity=(intent,)), requested(*call)), Allowed)}

    session = opened(derived(intent))

    assert {name for name, call in CALLS.items() if session.is_let_through(call)} == granted
    assert granted


@pytest.mark.parametrize("name", INTENTS)
def test_our_evaluation_agrees_with_the_account(opened: Callable[[Document], Session], name: str) -> None:
    documents = [derived(INTENTS[name]), compact(INTENTS[name]).document]
    role = Document.parse(role_policies()[ROLE])
    generous = (ResourcePolicy(policy(allow("s3:*", "*")), Naming.SESSION),)
    now = {"aws:CurrentTime": datetime.now(UTC).isoformat()}

    for document in documents:
        session = opened(document)
        policies = Policies(identity=(role,), session=document, resource=generous)
        for name_of_call, call in CALLS.items():
            request = requested(*name_of_call)
            verdict = evaluate(policies, Request(request.action, request.resource, {**request.context, **now}))
            assert session.is_let_through(call) is isinstance(verdict, Allowed), name_of_call


def _opened_before_its_end(
    opened: Callable[[Document], Session], read: Callable[..., object]
) -> tuple[Session, datetime]:
    """Opens a session that ends soon; with more time where a slow machine took longer than that to open it."""
    for seconds in (3, 12, 48):
        end = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds)
        session = opened(derived(ONE_PREFIX, end=end))
        if session.is_let_through(read):
            return session, end
        assert datetime.now(UTC) >= end
    pytest.fail("no session could be opened within 48 seconds")


def test_the_end_refuses_the_same_credentials_from_then_on(opened: Callable[[Document], Session]) -> None:
    read = CALLS["s3:GetObject", "2026/q3/revenue.csv"]
    session, end = _opened_before_its_end(opened, read)

    while session.is_let_through(read):
        assert datetime.now(UTC) < end + timedelta(seconds=30)

    assert datetime.now(UTC) >= end
    assert not session.is_let_through(LEAKS["another bucket"])


@pytest.mark.parametrize(("cidr", "works"), [("127.0.0.0/8", True), ("203.0.113.0/24", False)])
def test_a_network_bound_refuses_calls_from_elsewhere(
    opened: Callable[[Document], Session], cidr: str, works: bool
) -> None:
    session = opened(derived(ONE_PREFIX, source_cidrs=(cidr,)))

    assert session.is_let_through(CALLS["s3:GetObject", "2026/q3/revenue.csv"]) is works
