"""Agents on both listeners: who gets in, by which proof, and what policy then says."""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import pytest
from tests.e2e.gateways import Q3, client, issue_request, raw_stub

import remit
from remit_sandbox.sandbox import Sandbox


@pytest.fixture
def reporter_token(sandbox: Sandbox) -> str:
    """The bearer agent's own token."""
    return sandbox.issuer.agent_token("reporter")


def test_a_bearer_agent_gets_what_policy_lets_the_user_delegate_to_it(sandbox: Sandbox, reporter_token: str) -> None:
    token = sandbox.issuer.token("alice", client_id="reporter")

    with (
        client(sandbox, sandbox.bearer, bearer_token=reporter_token) as gateway,
        gateway.task("summarise Q3", subject_token=token, allow=Q3) as task,
    ):
        s3 = task.boto3_session().client("s3", endpoint_url=sandbox.aws.endpoint_url)
        text = s3.get_object(Bucket="reports", Key="2026/q3/summary.md")["Body"].read()

    assert b"Revenue 857" in text
    assert task.grant.actor == "sandbox:reporter"
    assert task.grant.subject.id == "alice"


def test_it_is_told_when_the_user_may_not_delegate_to_it(sandbox: Sandbox, reporter_token: str) -> None:
    token = sandbox.issuer.token("bob", client_id="reporter")

    with (
        client(sandbox, sandbox.bearer, bearer_token=reporter_token) as gateway,
        pytest.raises(remit.Refused, match="This user may delegate, but not to this agent") as refused,
    ):
        gateway.task("summarise Q3", subject_token=token, allow=Q3).__enter__()

    assert refused.value.reason == "POLICY_DENIED"
    assert refused.value.remedy is remit.Remedy.GIVE_UP


def test_a_user_token_that_was_given_to_another_client_is_not_its_to_present(
    sandbox: Sandbox, alice_token: str, reporter_token: str
) -> None:
    with (
        client(sandbox, sandbox.bearer, bearer_token=reporter_token) as gateway,
        pytest.raises(remit.Refused) as refused,
    ):
        gateway.task("summarise Q3", subject_token=alice_token, allow=Q3).__enter__()

    assert refused.value.reason == "TOKEN_NOT_BOUND"


def ask(sandbox: Sandbox, address: str, authorization: Sequence[str], *, certificate: bool = False) -> Any:
    """Asks with these authorization values and returns the gateway's no."""
    request = issue_request(sandbox.issuer.token("alice", client_id="reporter"))
    metadata = tuple(("authorization", value) for value in authorization)
    with (
        raw_stub(sandbox, address, sandbox.agents["copilot"] if certificate else None) as stub,
        pytest.raises(grpc.RpcError) as raised,
    ):
        stub.IssueCredentials(request, metadata=metadata, timeout=30)
    return raised.value


def over(sandbox: Sandbox) -> str:
    """Returns the agent's own token of ten minutes ago, which was good for five."""
    then = int(dt.datetime.now(dt.UTC).timestamp()) - 600
    return sandbox.issuer.agent_token("reporter", iat=then, exp=then + 300)


REFUSED: dict[str, tuple[Callable[[Sandbox], list[str]], str]] = {
    "no bearer": (lambda _: [], "no bearer token came, which is what this port takes"),
    "two bearers": (
        lambda sandbox: [f"Bearer {sandbox.issuer.agent_token('reporter')}"] * 2,
        "more than one authorization value",
    ),
    "another scheme": (lambda sandbox: [f"Basic {sandbox.issuer.agent_token('reporter')}"], "is no bearer token"),
    "no token after the scheme": (lambda _: ["Bearer "], "is no bearer token"),
    "another audience": (
        lambda sandbox: [f"Bearer {sandbox.issuer.agent_token('reporter', audience='elsewhere')}"],
        "aud",
    ),
    "two audiences": (
        lambda sandbox: [f"Bearer {sandbox.issuer.agent_token('reporter', audience=['remit', 'elsewhere'])}"],
        "aud",
    ),
    "a token that is over": (
        lambda sandbox: [f"Bearer {over(sandbox)}"],
        "has expired",
    ),
    "a user's token as bearer": (
        lambda sandbox: [f"Bearer {sandbox.issuer.token('alice', client_id='reporter')}"],
        "no [[agents]] entry has the issuer and subject of this token",
    ),
    "an agent that nobody entered": (
        lambda sandbox: [f"Bearer {sandbox.issuer.agent_token('stranger')}"],
        "no [[agents]] entry has the issuer and subject of this token",
    ),
    "no token at all": (lambda _: ["Bearer x"], "the agent is not authenticated"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_on_the_bearer_listener_nobody_gets_in_with(sandbox: Sandbox, case: str) -> None:
    authorization, told = REFUSED[case]

    error = ask(sandbox, sandbox.bearer, authorization(sandbox))

    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert told in str(error.details())


def test_a_certificate_and_a_bearer_token_together_are_refused(sandbox: Sandbox, reporter_token: str) -> None:
    error = ask(sandbox, sandbox.mtls, [f"Bearer {reporter_token}"], certificate=True)

    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "and not both" in str(error.details())


def test_the_mtls_listener_takes_no_connection_without_a_certificate(sandbox: Sandbox, reporter_token: str) -> None:
    error = ask(sandbox, sandbox.mtls, [f"Bearer {reporter_token}"])

    assert error.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("spiffe_id", "told"),
    [
        ("spiffe://elsewhere.example/agent/copilot", "trust domain is not one of the configured ones"),
        ("spiffe://remit.sandbox/agent/stranger", "no [[agents]] entry has the SPIFFE ID of this certificate"),
    ],
    ids=["another trust domain", "no entry"],
)
def test_a_certificate_of_the_right_authority_is_not_enough(
    sandbox: Sandbox, alice_token: str, spiffe_id: str, told: str
) -> None:
    pair = sandbox.authority.issue_client(spiffe_id)

    with client(sandbox, sandbox.mtls, pair) as gateway, pytest.raises(remit.Unauthenticated) as rejected:
        gateway.task("summarise Q3", subject_token=alice_token, allow=Q3).__enter__()

    assert rejected.value.reason == "ACTOR_REJECTED"
    assert told in rejected.value.message


def test_an_expired_certificate_gets_no_connection(sandbox: Sandbox, alice_token: str) -> None:
    start = dt.datetime.now(dt.UTC) - dt.timedelta(days=2)
    pair = sandbox.authority.issue_client("spiffe://remit.sandbox/agent/expired", start=start)

    with (
        client(sandbox, sandbox.mtls, pair, timeout=5) as gateway,
        pytest.raises(remit.Unavailable, match="certificate is not over"),
    ):
        gateway.task("summarise Q3", subject_token=alice_token, allow=Q3).__enter__()
