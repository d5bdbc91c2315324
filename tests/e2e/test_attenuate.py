"""A part of a task for one call, on the live sandbox: the account refuses what it may not do, and all of it in time.

Proves the row `attenuate` of `tests/clients/behaviours.json` for the Python client.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from tests.e2e.client_world import rows
from tests.e2e.gateways import client

import remit
from remit_sandbox.sandbox import Sandbox

ONCE = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, proxies={})
REPORTS = [
    remit.Capability("s3.read_prefix", bucket="reports", prefix="2026/q3/"),
    remit.Capability("s3.list_prefix", bucket="reports", prefix="2026/q3/"),
]
SUMMARY = remit.Permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/summary.md")
PATIENCE = 60.0


@pytest.fixture
def gateway(sandbox: Sandbox) -> Iterator[remit.Gateway]:
    with client(sandbox, sandbox.mtls) as gateway:
        yield gateway


def s3_of(sandbox: Sandbox, holder: remit.Task | remit.Attenuated) -> Any:
    return holder.boto3_session().client("s3", endpoint_url=sandbox.aws.endpoint_url, config=ONCE)


def refused(call: Callable[..., object], **arguments: object) -> bool:
    try:
        call(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDenied":
            raise
        return True
    return False


def test_a_part_may_do_its_one_thing_and_the_account_refuses_it_the_rest_of_the_task(
    sandbox: Sandbox, gateway: remit.Gateway, alice_token: str
) -> None:
    assert "attenuate" in rows()

    with gateway.task("summarise Q3", subject_token=alice_token, allow=REPORTS) as task:
        whole = s3_of(sandbox, task)
        with task.attenuate(SUMMARY) as part:
            s3, parent = s3_of(sandbox, part), part.grant.parent
            text = s3.get_object(Bucket="reports", Key="2026/q3/summary.md")["Body"].read()

            assert refused(s3.get_object, Bucket="reports", Key="2026/q3/revenue.csv")
            assert refused(s3.list_objects_v2, Bucket="reports", Prefix="2026/q3/")
            assert refused(s3.put_object, Bucket="reports", Key="2026/q3/summary.md", Body=b"")
        assert not refused(whole.get_object, Bucket="reports", Key="2026/q3/revenue.csv")
        assert not refused(whole.list_objects_v2, Bucket="reports", Prefix="2026/q3/")

    assert text.startswith(b"# Q3")
    assert parent == task.grant.name


def test_what_the_task_does_not_hold_is_refused_with_what_it_does(gateway: remit.Gateway, alice_token: str) -> None:
    with gateway.task("summarise Q3", subject_token=alice_token, allow=REPORTS[0]) as task:
        with pytest.raises(remit.Refused) as raised:
            task.attenuate(remit.Permission("s3:GetObject", "arn:aws:s3:::reports/2026/*"))
        part = task.attenuate(raised.value.offer)
        narrowed = task.attenuate(remit.Permission("s3:GetObject", "arn:aws:s3:::reports/*"), narrow=True)

    assert raised.value.reason == "CEILING_EXCEEDED"
    assert raised.value.failures[0].rule == "parent_grant"
    assert "reports/2026/q3/*" in part.grant.session_policy
    assert "reports/2026/q3/*" in narrowed.grant.session_policy


def test_a_capability_of_the_task_is_a_part_of_it(sandbox: Sandbox, gateway: remit.Gateway, alice_token: str) -> None:
    with gateway.task("summarise Q3", subject_token=alice_token, allow=REPORTS) as task:
        part = task.attenuate(REPORTS[1])
        s3 = s3_of(sandbox, part)

        assert not refused(s3.list_objects_v2, Bucket="reports", Prefix="2026/q3/")
        assert refused(s3.list_objects_v2, Bucket="reports", Prefix="2026/q2/")
        assert refused(s3.get_object, Bucket="reports", Key="2026/q3/summary.md")


def test_a_part_ends_by_its_time_guard_at_the_account_itself_and_the_task_goes_on(
    sandbox: Sandbox, gateway: remit.Gateway, alice_token: str
) -> None:
    with gateway.task("summarise Q3", subject_token=alice_token, allow=REPORTS) as task:
        part = task.attenuate(SUMMARY, duration=15)
        s3, end = kept_elsewhere(sandbox, part), part.grant.expire_time.timestamp()
        before = refused(s3.get_object, Bucket="reports", Key="2026/q3/summary.md")
        began = time.time()
        while not refused(s3.get_object, Bucket="reports", Key="2026/q3/summary.md"):
            assert time.time() < began + PATIENCE, "it never ended"
            time.sleep(0.25)
        ended = time.time()

        with pytest.raises(remit.TaskOver, match="attenuate the task again"):
            part.credentials()
        assert task.credentials().expire_time > part.grant.expire_time

    assert not before
    assert ended >= int(end)


def test_the_parts_of_a_task_that_was_ended_are_refused_by_the_account(
    sandbox: Sandbox, gateway: remit.Gateway, alice_token: str
) -> None:
    with gateway.task("summarise Q3", subject_token=alice_token, allow=REPORTS) as task:
        part = task.attenuate(SUMMARY, duration=300)
        s3 = kept_elsewhere(sandbox, part)
        assert not refused(s3.get_object, Bucket="reports", Key="2026/q3/summary.md")
        end = task.end()

    assert {task.grant.name, part.grant.name} <= set(end.grants)
    began = time.time()
    while not refused(s3.get_object, Bucket="reports", Key="2026/q3/summary.md"):
        assert time.time() < began + PATIENCE, "the account was not told"
        time.sleep(0.25)
    with pytest.raises(remit.TaskOver):
        part.credentials()


async def test_event_loops_hand_parts_out_as_well(sandbox: Sandbox, gateway: remit.Gateway, alice_token: str) -> None:
    async with (
        gateway.task("summarise Q3", subject_token=alice_token, allow=REPORTS) as task,
        await task.attenuate(SUMMARY) as part,
    ):
        held = part.credentials()

    assert held.access_key_id.startswith("ASIA")
    assert (held.region, part.grant.parent) == (sandbox.aws.region, task.grant.name)


def test_an_agent_hears_who_it_is_and_what_its_requests_came_to(gateway: remit.Gateway, alice_token: str) -> None:
    me = gateway.whoami(alice_token)
    with pytest.raises(remit.Refused) as raised:
        gateway.task("read the payroll", subject_token=alice_token, allow=[_payroll()]).__enter__()
    told = gateway.explain(raised.value.request_id or "")

    assert me.subject is not None
    assert me.subject.id
    assert me.groups
    assert me.actor.startswith("spiffe://")
    assert isinstance(told, remit.WouldRefuse)
    assert (told.reason, told.message) == (raised.value.reason, raised.value.message)


def _payroll() -> remit.Permission:
    return remit.Permission("s3:GetObject", "arn:aws:s3:::payroll/*")


def kept_elsewhere(sandbox: Sandbox, part: remit.Attenuated) -> Any:
    """A client of whoever copied the keys, and goes on using them whatever the client library does."""
    import boto3  # noqa: PLC0415 - slow to import

    held = part.credentials()
    session = boto3.Session(held.access_key_id, held.secret_access_key, held.session_token, region_name=held.region)
    return session.client("s3", endpoint_url=sandbox.aws.endpoint_url, config=ONCE)
