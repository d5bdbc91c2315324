"""No token and no key is found anywhere but where it was handed over (8-threats.md G8, I5).

The paths of a gateway's life are gone through with known tokens and keys; then everything it wrote, everything the
sandbox wrote and everything the client shows is searched for them, and for 24 characters out of their middle.
"""

import base64
import logging
import re
import sqlite3
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.e2e.gateways import Q3, OwnGateway, client, issue_request, own_gateway, raw_stub
from tests.e2e.sts_relay import StsRelay, sts_relay

import remit
from remit.v1 import credential_service_pb2 as messages
from remit.v1 import types_pb2
from remit_sandbox.sandbox import Sandbox

EVERYTHING = remit.Permission("s3:GetObject", "arn:aws:s3:::reports/*")
CANARY = "canary-0123456789-abcdefghijklmnopqrstuvwxyz-9876543210"
OURS = str(Path(remit.__file__).parent)


def traces_of(secret: str) -> set[bytes]:
    """Returns what a leak of the secret would show: it, its parts, the middle of each, and of its base64."""
    traces = set()
    for part in (secret, *secret.split(".")[1:]):
        raw = part.encode()
        encoded = [base64.b64encode(raw[offset:]) for offset in range(3)]
        traces |= {raw, *(text[len(text) // 2 - 12 : len(text) // 2 + 12] for text in (raw, *encoded))}
    return {trace for trace in traces if len(trace) >= 16}


@dataclass
class Journey:
    """What was handed over, and what the client showed on the way."""

    sandbox: Sandbox
    own: OwnGateway
    relay: StsRelay
    secrets: set[str] = field(default_factory=set)
    shown: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def token(self, user: str = "alice", client_id: str = "copilot") -> str:
        """Returns a fresh user token, noted as a secret."""
        return self.secret(self.sandbox.issuer.token(user, client_id=client_id))

    def secret(self, value: str) -> str:
        """Notes a secret and returns it."""
        self.secrets.add(value)
        return value

    def fails(self, work: Callable[[], object]) -> None:
        """Does what the gateway refuses, and keeps everything that the failure shows."""
        with pytest.raises((remit.RemitError, grpc.RpcError)) as raised:
            work()
        error = raised.value
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
        kept = [frame for frame in told.stack if frame.filename.startswith(OURS)]
        self.shown += [str(error), repr(error), *traceback.StackSummary.from_list(kept).format()]
        self.reasons.append(error.reason if isinstance(error, remit.RemitError) else error.code().name)  # type: ignore[attr-defined]


def issued_and_used(journey: Journey, gateway: remit.Gateway) -> None:
    """Everything goes well."""
    with gateway.task("summarise Q3", subject_token=journey.token(), allow=Q3) as task:
        credentials = task.credentials()
        journey.secret(credentials.secret_access_key)
        journey.secret(credentials.session_token)
        session = task.boto3_session()
        session.client("s3", endpoint_url=journey.sandbox.aws.endpoint_url).get_object(
            Bucket="reports", Key="2026/q3/summary.md"
        )
        shown = (gateway, task, task.grant, credentials, session, session.get_credentials(), task._keyring)
        journey.shown += [text for thing in shown for text in (repr(thing), str(thing))]
    block = gateway.task("summarise Q3", subject_token=journey.token(), allow=Q3)
    journey.shown += [repr(block), repr(gateway.preview("look", subject_token=journey.token(), allow=Q3))]


def renewed(journey: Journey, gateway: remit.Gateway) -> None:
    """A grant is renewed, and not renewed, and its task is watched."""
    pair = journey.sandbox.agents["copilot"]
    block = gateway.task("summarise Q3", subject_token=journey.token(), allow=Q3)
    with block as task, raw_stub(journey.sandbox, journey.own.mtls, pair) as stub:
        journey.secret(task.credentials().secret_access_key)
        journey.secret(task.credentials().session_token)
        ask = partial(messages.RenewCredentialsRequest, name=task.grant.name)
        given = stub.RenewCredentials(ask(subject_token=journey.token()), timeout=30).credentials
        journey.secret(given.secret_access_key)
        journey.secret(given.session_token)
        bad = f"{journey.token()[:-12]}{'A' * 12}"
        for token in ("", journey.secret(CANARY), journey.secret(bad), journey.token(client_id="crawler")):
            journey.fails(partial(stub.RenewCredentials, ask(subject_token=token), timeout=30))
        stream = stub.WatchTask(messages.WatchTaskRequest(task_id=task.id), timeout=30)
        journey.shown.append(repr(next(stream)))
        stream.cancel()
        journey.fails(lambda: next(stub.WatchTask(messages.WatchTaskRequest(task_id="a" * 26), timeout=30)))


def attenuated(journey: Journey, gateway: remit.Gateway) -> None:
    """A part of a task is given and refused; somebody asks who they are, and what a request came to."""
    with gateway.task("summarise Q3", subject_token=journey.token(), allow=Q3) as task:
        part = task.attenuate(Q3)
        credentials = part.credentials()
        journey.secret(credentials.secret_access_key)
        journey.secret(credentials.session_token)
        session = part.boto3_session()
        shown = (part, part.grant, credentials, session, session.get_credentials(), part._keyring)
        journey.shown += [text for thing in shown for text in (repr(thing), str(thing))]
        journey.fails(partial(task.attenuate, EVERYTHING))
    journey.shown += [repr(gateway.whoami(journey.token())), repr(gateway.whoami())]
    bad = journey.secret(f"{journey.token()[:-12]}{'A' * 12}")
    for token in (journey.secret(CANARY), bad, journey.token(client_id="crawler")):
        journey.fails(partial(gateway.whoami, token))
        journey.fails(partial(gateway.preview, "look", subject_token=token, allow=Q3))
    journey.fails(partial(gateway.explain, "4c1b7d52-3f0e-4a4e-9a3a-0f5f4e0c2b11"))


def refused(journey: Journey, gateway: remit.Gateway) -> None:
    """Policy, ceiling, floor and identity say no."""
    production = remit.Capability("s3.delete_object", bucket="production", key="orders/2026-11-23.parquet")
    for allow in (EVERYTHING, production, remit.Permission("iam:*", "*")):
        journey.fails(gateway.task("x", subject_token=journey.token(), allow=allow).__enter__)
    good = journey.token()
    wrong = [
        journey.token(client_id="crawler"),
        journey.secret(f"{good[:-12]}{'A' * 12}"),
        journey.secret(journey.sandbox.issuer.token("alice", client_id="copilot", audience="elsewhere")),
        journey.secret(journey.sandbox.issuer.token("alice", client_id="copilot", exp=1)),
        journey.secret(CANARY),
        journey.secret(CANARY * 400),
        f"{good}\n{CANARY}",
    ]
    for token in wrong:
        journey.fails(gateway.task("x", subject_token=token, allow=Q3).__enter__)


def rejected(journey: Journey) -> None:
    """The bearer listener lets nobody in, or policy refuses who is in."""
    own = journey.secret(journey.sandbox.issuer.agent_token("reporter"))
    user = journey.token("bob", client_id="reporter")
    for bearer in (own, user, journey.secret(f"bearer-{CANARY}"), f"{own}\n{CANARY}"):
        with client(journey.sandbox, journey.own.bearer, bearer_token=bearer) as gateway:
            journey.fails(gateway.task("x", subject_token=user, allow=Q3).__enter__)
            journey.shown.append(repr(gateway))


def misplaced(journey: Journey) -> None:
    """Tokens stand where no token belongs."""
    token = journey.token()
    values = {"bucket": token[:500], "prefix": token[:500]}
    wrong: list[dict[str, Any]] = [
        {"request_id": token},
        {"task_id": token},
        {"intent": types_pb2.TaskIntent(capabilities=[types_pb2.Capability(name=token[:60].lower())])},
        {"intent": types_pb2.TaskIntent(capabilities=[types_pb2.Capability(name=Q3.name, parameters=values)])},
    ]
    with raw_stub(journey.sandbox, journey.own.mtls, journey.sandbox.agents["copilot"]) as stub:
        for fields in wrong:
            journey.fails(partial(stub.IssueCredentials, issue_request(token, **fields), timeout=30))


def in_outages(journey: Journey, gateway: remit.Gateway) -> None:
    """STS's answer is lost; the ledger cannot be written."""
    journey.relay.lose_answers = True
    journey.fails(gateway.task("x", subject_token=journey.token(), allow=Q3).__enter__)
    journey.relay.lose_answers = False
    with closing(sqlite3.connect(journey.own.log_path.with_name("ledger.sqlite3"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with raw_stub(journey.sandbox, journey.own.mtls, journey.sandbox.agents["copilot"]) as stub:
            journey.fails(partial(stub.IssueCredentials, issue_request(journey.token()), timeout=30))
        other.execute("ROLLBACK")


@pytest.fixture(scope="module")
def journey(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journey]:
    """The paths of a gateway's life, gone through; the gateway still runs, so that its write-ahead log is there."""
    folder = tmp_path_factory.mktemp("leaks")
    handler = Kept()
    logging.getLogger("remit").addHandler(handler)
    with (
        sts_relay(sandbox.aws.endpoint_url) as relay,
        own_gateway(sandbox, folder, {"endpoint_url": relay.url}) as own,
        client(sandbox, own.mtls) as gateway,
    ):
        journey = Journey(sandbox, own, relay, shown=handler.lines)
        issued_and_used(journey, gateway)
        renewed(journey, gateway)
        attenuated(journey, gateway)
        refused(journey, gateway)
        rejected(journey)
        misplaced(journey)
        in_outages(journey, gateway)
        journey.secrets.add(sandbox.account.gateway_keys.secret_access_key)
        for answer in relay.answers:
            journey.secrets |= {part.decode() for part in re.findall(rb"<S[a-z]+(?:AccessKey|Token)>(.*?)</", answer)}
        yield journey
    logging.getLogger("remit").removeHandler(handler)


class Kept(logging.Handler):
    """Keeps what the client logs, at every level."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def leaks(journey: Journey, texts: dict[str, bytes]) -> list[str]:
    """Returns the names of the texts that hold a trace of a secret."""
    traces = {trace for secret in journey.secrets for trace in traces_of(secret)}
    return [name for name, text in texts.items() if any(trace in text for trace in traces)]


def files_below(folder: Path) -> dict[str, bytes]:
    """Returns every file of a folder but those that hold keys on purpose."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".key" and path.name != "aws-secret-access-key"
    }


def test_every_path_was_gone_through(journey: Journey) -> None:
    expected = {"CEILING_EXCEEDED", "POLICY_DENIED", "NEVER_ISSUABLE", "TOKEN_NOT_BOUND", "SUBJECT_TOKEN_REJECTED"}
    expected |= {
        "NOT_FOUND",
        "UNAUTHENTICATED",
        "ACTOR_REJECTED",
        "INVALID_REQUEST",
        "INVALID_ARGUMENT",
        "STS_UNAVAILABLE",
        "UNAVAILABLE",
    }

    assert expected <= set(journey.reasons)
    assert len(journey.secrets) > 15


def test_a_leak_would_be_found(journey: Journey, tmp_path: Path) -> None:
    token = journey.token()
    planted = {"whole": token, "part": token.split(".")[1], "signature": token[-300:], "wrapped": f"x{token}y"}
    for name, text in planted.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "encoded").write_bytes(base64.b64encode(b"x" + token.encode()))

    assert sorted(leaks(journey, files_below(tmp_path))) == ["encoded", "part", "signature", "whole", "wrapped"]


def test_no_secret_is_in_the_gateways_log_or_ledger(journey: Journey) -> None:
    files = files_below(journey.own.log_path.parent)

    assert {"gateway.log", "ledger.sqlite3", "ledger.sqlite3-wal"} <= files.keys()
    assert leaks(journey, files) == []


def test_no_secret_is_in_a_file_of_the_sandbox(journey: Journey) -> None:
    files = files_below(journey.sandbox.folder)

    assert {"gateway.log", "ministack.log", "remit.sqlite3", "remit.toml"} <= files.keys()
    assert leaks(journey, files) == []


def test_no_secret_is_in_what_the_client_shows(journey: Journey) -> None:
    shown = {f"{number}: {text}": text.encode() for number, text in enumerate(journey.shown)}

    assert len(shown) > 50
    assert leaks(journey, shown) == []
