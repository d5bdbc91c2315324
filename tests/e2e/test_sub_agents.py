"""Agents that hand work on, on the live sandbox: what the one below gets at AWS, and that it ends with the one above.

The row `delegate` of tests/clients/behaviours.json, for the Python client.
"""

import asyncio
import time
from collections.abc import Callable, Iterator

import botocore.exceptions
import pytest
from tests.e2e.gateways import client

import remit
from remit_sandbox.configuration import AGENTS
from remit_sandbox.sandbox import Sandbox

CRAWLER = AGENTS["crawler"]
Q3 = remit.Permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/*")
SUMMARY = remit.Permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/summary.md")
Q2 = remit.Permission("s3:GetObject", "arn:aws:s3:::reports/2026/q2/*")
SOON = 60.0  # seconds within which an agent hears that its task is over


@pytest.fixture
def copilot(sandbox: Sandbox) -> Iterator[remit.Gateway]:
    """The agent that alice speaks to."""
    with client(sandbox, sandbox.mtls) as gateway:
        yield gateway


@pytest.fixture
def crawler(sandbox: Sandbox) -> Iterator[remit.Gateway]:
    """The agent that the copilot hands work to."""
    with client(sandbox, sandbox.mtls, sandbox.agents["crawler"]) as gateway:
        yield gateway


@pytest.fixture
def crawler_token(sandbox: Sandbox) -> str:
    """What the identity provider gives alice when she signs in to the crawler."""
    return sandbox.issuer.token("alice", client_id="crawler")


def read(sandbox: Sandbox, task: remit.Task | remit.AsyncTask, key: str) -> str:
    """Reads a report with a task's credentials."""
    s3 = task.boto3_session().client("s3", endpoint_url=sandbox.aws.endpoint_url)
    return str(s3.get_object(Bucket="reports", Key=key)["Body"].read(), "utf-8")


def eventually(is_so: Callable[[], bool]) -> bool:
    """Says whether something becomes so soon."""
    end = time.monotonic() + SOON
    while not is_so():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def is_over(task: remit.Task) -> bool:
    try:
        task.credentials()
    except remit.TaskOver:
        return True
    return False


def test_delegate(
    sandbox: Sandbox, copilot: remit.Gateway, crawler: remit.Gateway, alice_token: str, crawler_token: str
) -> None:
    with copilot.task("summarise Q3", subject_token=alice_token, allow=Q3) as above:
        task_id = above.delegate(CRAWLER, purpose="read the summary", max_duration=300)
        below = crawler.task("read the summary", subject_token=crawler_token, allow=SUMMARY, task_id=task_id)
        with below as task:
            text = read(sandbox, task, "2026/q3/summary.md")
            with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
                read(sandbox, task, "2026/q3/revenue.csv")
            wider = crawler.task("read Q2", subject_token=crawler_token, allow=Q2, task_id=task_id)
            with pytest.raises(remit.Refused) as refused:
                wider.__enter__()
            parent, actor = task.grant.parent, task.grant.actor
            copilot.end_task(above.id)
            ended = eventually(lambda: is_over(task))

    assert "Revenue 857" in text
    assert (refused.value.reason, refused.value.failures[0].rule) == ("CEILING_EXCEEDED", "parent_task")
    assert (parent, actor) == (above.grant.name, CRAWLER)
    assert ended


def test_a_sub_agent_that_leaves_its_block_ends_its_own_task_and_not_the_one_above(
    sandbox: Sandbox, copilot: remit.Gateway, crawler: remit.Gateway, alice_token: str, crawler_token: str
) -> None:
    with copilot.task("summarise Q3", subject_token=alice_token, allow=Q3) as above:
        task_id = above.delegate(CRAWLER, purpose="read the summary")

        def block(purpose: str) -> remit.TaskBlock:
            return crawler.task(purpose, subject_token=crawler_token, allow=SUMMARY, task_id=task_id)

        with block("read the summary") as first:
            with block("read it again"):  # joins
                pass
            read(sandbox, first, "2026/q3/summary.md")
        with pytest.raises(remit.TaskOver):
            block("and again").__enter__()

        assert "Revenue 857" in read(sandbox, above, "2026/q3/summary.md")


def test_only_the_agent_that_was_named_has_any_use_of_the_id(
    copilot: remit.Gateway, crawler: remit.Gateway, alice_token: str, sandbox: Sandbox
) -> None:
    with copilot.task("summarise Q3", subject_token=alice_token, allow=Q3) as above:
        task_id = above.delegate(CRAWLER, purpose="read the summary")

        with pytest.raises(remit.NotFound):
            copilot.task("mine", subject_token=alice_token, allow=SUMMARY, task_id=task_id).__enter__()
        others = sandbox.issuer.token("bob", client_id="crawler")
        with pytest.raises(remit.NotFound):
            crawler.task("his", subject_token=others, allow=SUMMARY, task_id=task_id).__enter__()


def test_a_name_that_no_agent_has_is_told_at_once(copilot: remit.Gateway, alice_token: str) -> None:
    with (
        copilot.task("summarise Q3", subject_token=alice_token, allow=Q3) as above,
        pytest.raises(remit.InvalidRequest, match=r"did you mean spiffe://remit\.sandbox/agent/crawler"),
    ):
        above.delegate("crawler", purpose="read the summary")


async def test_in_an_event_loop_it_is_the_same(
    sandbox: Sandbox, copilot: remit.Gateway, crawler: remit.Gateway, alice_token: str, crawler_token: str
) -> None:
    async with copilot.task("summarise Q3", subject_token=alice_token, allow=Q3) as above:
        task_id = await above.delegate(CRAWLER, purpose="read the summary")
        async with crawler.task("read it", subject_token=crawler_token, allow=SUMMARY, task_id=task_id) as task:
            text = await asyncio.to_thread(read, sandbox, task, "2026/q3/summary.md")

    assert "Revenue 857" in text
