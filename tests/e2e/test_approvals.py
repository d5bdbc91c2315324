"""What people have to approve, from the agent's request over the approver's command to a real call at AWS."""

import asyncio
import json
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from botocore.exceptions import ClientError
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from tests.e2e.gateways import own_gateway, raw_stub
from tests.e2e.watched import plain_environment
from tests.webhook_receiver import SECRET, WebhookReceiver, webhook_receiver

from remit.v1 import credential_service_pb2 as messages
from remit.v1 import types_pb2
from remit_sandbox.aws_client import AwsKeys
from remit_sandbox.sandbox import Sandbox
from remit_server.transport.grpc.status import DETAILS_KEY

PUBLISHED = "2026/q3/published.md"


@dataclass(frozen=True)
class Desk:
    """Somebody at a terminal, who signs in anew for each command."""

    sandbox: Sandbox
    folder: Path
    bearer: str

    def run(self, who: str, *arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
        """Runs `remit-server approvals` as a person."""
        token = self.folder / f"{who}.token"
        token.write_text(self.sandbox.issuer.operator_token(who))
        token.chmod(0o600)
        connection = ("--gateway", self.bearer, "--ca-file", str(self.sandbox.authority.bundle_path))
        return subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-m", "remit_server", "approvals", *arguments, *connection, "--token-file", str(token)],
            env=plain_environment(),
            input=answer,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def listed(self, who: str) -> list[Mapping[str, Any]]:
        """Returns what a person may decide."""
        done = self.run(who, "list", "--json")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def desk(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(sandbox, tmp_path_factory.mktemp("desk"), sandbox.bearer)


def publishing(token: str, **labels: str) -> messages.IssueCredentialsRequest:
    """Returns a request to publish a report."""
    permission = types_pb2.Permission(actions=["s3:PutObject"], resources=[f"arn:aws:s3:::reports/{PUBLISHED}"])
    return messages.IssueCredentialsRequest(
        request_id=str(uuid.uuid4()),
        subject_token=token,
        intent=types_pb2.TaskIntent(purpose="publish Q3", permissions=[permission], labels=labels),
    )


def asked(sandbox: Sandbox, request: messages.IssueCredentialsRequest, target: str = "") -> Any:
    """Sends a request of the copilot's."""
    with raw_stub(sandbox, target or sandbox.mtls, sandbox.agents["copilot"]) as stub:
        return stub.IssueCredentials(request, timeout=30)


def reason_of(sandbox: Sandbox, request: messages.IssueCredentialsRequest) -> str:
    """Returns why a request is refused."""
    with pytest.raises(grpc.RpcError) as raised:
        asked(sandbox, request)
    call: Any = raised.value
    info = ErrorInfo()
    assert any(one.Unpack(info) for one in Status.FromString(dict(call.trailing_metadata())[DETAILS_KEY]).details)
    return str(info.reason)


def put(sandbox: Sandbox, credentials: types_pb2.AwsCredentials, key: str) -> None:
    """Writes an object at the local AWS."""
    keys = AwsKeys(credentials.access_key_id, credentials.secret_access_key, credentials.session_token)
    sandbox.aws.client("s3", keys).put_object(Bucket="reports", Key=key, Body=b"# Q3\n")


def test_an_agent_asks_a_person_approves_by_command_and_aws_takes_what_was_approved(
    sandbox: Sandbox, desk: Desk, alice_token: str
) -> None:
    request = publishing(alice_token)
    pending = asked(sandbox, request)
    name = pending.approval.name
    shown = desk.run("bob", "show", name)

    approved = desk.run("bob", "approve", name, "--digest", pending.approval.digest, "--comment", "for the board")
    issued = asked(sandbox, request)

    assert not pending.HasField("credentials")
    assert (approved.returncode, approved.stdout) == (0, f"{name} is APPROVED.\n"), approved.stderr
    assert pending.approval.digest in shown.stdout
    assert "s3:PutObject" in shown.stdout
    put(sandbox, issued.credentials, PUBLISHED)
    with pytest.raises(ClientError, match="AccessDenied"):
        put(sandbox, issued.credentials, "2026/q2/published.md")


def test_the_list_holds_what_waits_for_whom(sandbox: Sandbox, desk: Desk, alice_token: str) -> None:
    name = asked(sandbox, publishing(alice_token)).approval.name

    seen = {who: {one["name"] for one in desk.listed(who)} for who in ("bob", "alice", "mallory")}

    assert name in seen["bob"]
    assert name in seen["alice"]
    assert seen["mallory"] == set()


def test_the_user_cannot_approve_for_herself_nor_can_a_stranger(sandbox: Sandbox, desk: Desk, alice_token: str) -> None:
    request = publishing(alice_token)
    approval = asked(sandbox, request).approval

    own = desk.run("alice", "approve", approval.name, "--digest", approval.digest)
    strange = desk.run("mallory", "approve", approval.name, "--digest", approval.digest)
    other = desk.run("bob", "approve", approval.name, "--digest", "0" * 64)

    assert (own.returncode, strange.returncode, other.returncode) == (1, 1, 1)
    assert "NOT_AUTHORIZED" in own.stderr
    assert "NOT_FOUND" in strange.stderr
    assert "APPROVAL_CHANGED" in other.stderr
    assert asked(sandbox, request).HasField("approval")


def test_without_a_digest_the_approver_is_shown_and_asked(sandbox: Sandbox, desk: Desk, alice_token: str) -> None:
    request = publishing(alice_token)
    name = asked(sandbox, request).approval.name

    hesitant = desk.run("bob", "deny", name, answer="n\n")
    decided = desk.run("bob", "deny", name, answer="y\n")

    assert (hesitant.returncode, "Nothing was decided." in hesitant.stderr) == (1, True)
    assert "publish Q3" in decided.stdout
    assert f"{name} is REFUSED." in decided.stdout
    assert reason_of(sandbox, request) == "APPROVAL_REFUSED"


def test_break_glass_works_at_once_and_a_reviewer_ends_it(sandbox: Sandbox, desk: Desk, alice_token: str) -> None:
    request = publishing(alice_token, emergency="declared")
    issued = asked(sandbox, request)
    put(sandbox, issued.credentials, PUBLISHED)
    (review,) = [one for one in desk.listed("bob") if one["name"] == issued.grant.approval]

    denied = desk.run("bob", "deny", issued.grant.approval, "--digest", review["digest"], "--comment", "no emergency")

    assert issued.grant.break_glass
    assert review["kind"] == "APPROVAL_KIND_REVIEW"
    assert (denied.returncode, denied.stderr) == (0, "")
    assert reason_of(sandbox, request) == "GRANT_NOT_LIVE"


@contextmanager
def receiving(folder: Path) -> Iterator[WebhookReceiver]:
    """Runs a receiver of notifications on a loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    manager = webhook_receiver(folder)
    receiver = asyncio.run_coroutine_threadsafe(manager.__aenter__(), loop).result(30)
    try:
        yield receiver
    finally:
        asyncio.run_coroutine_threadsafe(manager.__aexit__(None, None, None), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_what_is_asked_is_told_by_webhook_also_after_the_gateway_was_killed(
    sandbox: Sandbox, alice_token: str, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    with receiving(tmp_path) as receiver:
        told = {
            "[notifications]": {
                "name": "approvers",
                "url": f"https://127.0.0.1:{receiver.port}/told",
                "secret_file": str(secret),
                "ca_file": str(receiver.authority.bundle_path),
            }
        }
        receiver.answers = [503] * 3
        with own_gateway(sandbox, tmp_path, more=told) as gateway:
            approval = asked(sandbox, publishing(alice_token), gateway.mtls).approval
            gateway.kill()
        receiver.answers = []
        with own_gateway(sandbox, tmp_path, more=told):
            assert receiver.is_told(60)

        message = next(receiver.bodies)

    assert (message["kind"], message["record"]["approval_id"]) == ("approval_asked", approval.name.split("/")[1])
