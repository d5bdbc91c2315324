"""Several gateways on one PostgreSQL: each request has one grant, each token one task, and the chain stays whole."""

import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.databases import asked
from tests.e2e.gateways import OwnGateway, issue_request, own_gateway, raw_stub
from tests.e2e.sts_relay import StsRelay, sts_relay
from tests.e2e.test_crash import bodies
from tests.e2e.test_workers import MANY, SECONDS, TWO
from tests.real_postgresql import PostgresqlServer, postgresql_server

from remit.v1 import credential_service_pb2 as messages
from remit_sandbox.sandbox import Sandbox
from remit_server.adapters.database.trail.audit_log import verify
from remit_server.domain.audit import ChainIntact

pytestmark = pytest.mark.timeout(300)
AT_ONCE = 50
BUSY = 120
Issued = messages.IssueCredentialsResponse


@dataclass(frozen=True)
class Replicas:
    """Two gateways, what they share, and what STS was asked."""

    one: OwnGateway
    other: OwnGateway
    url: str
    relay: StsRelay


@contextmanager
def two_replicas(
    sandbox: Sandbox, folder: Path, url: str, more: dict[str, dict[str, object]] | None = None
) -> Iterator[Replicas]:
    """Runs two gateways on one database, which start together and migrate it together."""
    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        relay = stack.enter_context(sts_relay(sandbox.aws.endpoint_url))
        values = {"url": url, "endpoint_url": relay.url}
        gateways = [own_gateway(sandbox, _made(folder / name), values, more or MANY) for name in ("one", "other")]
        one, other = pool.map(lambda gateway: gateway.__enter__(), gateways)
        for gateway in gateways:
            stack.push(gateway)
        yield Replicas(one, other, url, relay)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def replicas(
    sandbox: Sandbox, postgresql: PostgresqlServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Replicas]:
    folder = tmp_path_factory.mktemp("replicas")
    with two_replicas(sandbox, folder, postgresql.url(postgresql.create())) as both:
        yield both


@pytest.fixture
def single_use(sandbox: Sandbox, postgresql: PostgresqlServer, tmp_path: Path) -> Iterator[Replicas]:
    """Two replicas that take a user's token once."""
    url = postgresql.url(postgresql.create())
    with two_replicas(sandbox, tmp_path, url, {**MANY, "[issuers]": {"single_use": True}}) as both:
        yield both


def at_once(
    sandbox: Sandbox, targets: Sequence[str], requests: Sequence[messages.IssueCredentialsRequest]
) -> list[Any]:
    """Sends the requests to the targets in turn, each over a connection of its own; returns answers and errors."""
    with ExitStack() as stack, ThreadPoolExecutor(len(requests)) as pool:
        copilot = sandbox.agents["copilot"]
        stubs = [
            stack.enter_context(raw_stub(sandbox, target, copilot))
            for target, _ in zip(cycle(targets), requests, strict=False)
        ]

        def ask(stub: Any, request: messages.IssueCredentialsRequest) -> Any:
            try:
                return stub.IssueCredentials(request, timeout=SECONDS)
            except grpc.RpcError as error:
                return error

        return list(pool.map(ask, stubs, requests))


def issued(outcomes: Sequence[Any]) -> list[Issued]:
    return [outcome for outcome in outcomes if isinstance(outcome, Issued)]


def codes(outcomes: Sequence[Any]) -> Counter[grpc.StatusCode]:
    return Counter(outcome.code() for outcome in outcomes if isinstance(outcome, grpc.RpcError))


def of_kind(url: str, kind: str, grants: set[str]) -> int:
    """Returns how many records of a kind are about these grants."""
    names = {name.rpartition("/")[2] for name in grants}
    return sum(record["grant_id"] in names for record in bodies(url, kind))


def test_one_request_id_at_once_at_both_replicas_has_one_grant_and_one_policy(
    sandbox: Sandbox, replicas: Replicas, alice_token: str
) -> None:
    before = len(bodies(replicas.url, "grant_authorized"))
    asked_before = len(replicas.relay.policies)

    request = issue_request(alice_token)
    outcomes = at_once(sandbox, [replicas.one.mtls, replicas.other.mtls], [request] * AT_ONCE)

    grants = {answer.grant.name for answer in issued(outcomes)}
    assert len(grants) == 1
    assert set(codes(outcomes)) <= {grpc.StatusCode.UNAVAILABLE}
    assert len(bodies(replicas.url, "grant_authorized")) == before + 1
    assert of_kind(replicas.url, "credentials_issued", grants) == len(issued(outcomes))
    assert len(set(replicas.relay.policies[asked_before:])) == 1
    assert isinstance(verify(replicas.url), ChainIntact)


def test_busy_replicas_write_one_chain_and_answer_each_call(
    sandbox: Sandbox, replicas: Replicas, alice_token: str
) -> None:
    requests = [issue_request(alice_token) for _ in range(BUSY)]

    outcomes = at_once(sandbox, [replicas.one.mtls, replicas.other.mtls], requests)

    answers = issued(outcomes)
    assert len(answers) == BUSY, codes(outcomes)
    grants = {answer.grant.name for answer in answers}
    assert len(grants) == BUSY
    assert len({answer.credentials.access_key_id for answer in answers}) == BUSY
    assert of_kind(replicas.url, "credentials_issued", grants) == BUSY
    verdict = verify(replicas.url)
    assert isinstance(verdict, ChainIntact)
    assert asked(replicas.url, "SELECT count(*), max(sequence) FROM audit_events") == [(verdict.count,) * 2]


def test_a_task_that_is_ended_at_one_replica_is_over_at_the_other(
    sandbox: Sandbox, replicas: Replicas, alice_token: str
) -> None:
    copilot = sandbox.agents["copilot"]
    with (
        raw_stub(sandbox, replicas.one.mtls, copilot) as one,
        raw_stub(sandbox, replicas.other.mtls, copilot) as other,
    ):
        first = one.IssueCredentials(issue_request(alice_token), timeout=SECONDS)
        task_id = first.grant.name.split("/")[1]
        again = other.IssueCredentials(issue_request(alice_token, task_id=task_id), timeout=SECONDS)

        other.EndTask(messages.EndTaskRequest(task_id=task_id), timeout=SECONDS)
        with pytest.raises(grpc.RpcError) as refused:
            one.IssueCredentials(issue_request(alice_token, task_id=task_id), timeout=SECONDS)

    assert again.grant.name.split("/")[1] == task_id
    assert refused.value.code() is not grpc.StatusCode.UNAVAILABLE
    ids = {name.rpartition("/")[2] for name in (first.grant.name, again.grant.name)}
    states = dict(asked(replicas.url, "SELECT grant_id, state FROM grants"))
    assert {states[one_id] for one_id in ids} <= {"REVOKING", "REVOKED"}


def test_who_watches_a_task_at_one_replica_hears_what_happens_at_the_other(
    sandbox: Sandbox, replicas: Replicas, alice_token: str
) -> None:
    copilot = sandbox.agents["copilot"]
    with (
        raw_stub(sandbox, replicas.one.mtls, copilot) as one,
        raw_stub(sandbox, replicas.other.mtls, copilot) as other,
    ):
        before = one.IssueCredentials(issue_request(alice_token), timeout=SECONDS).grant.name
        task_id = before.split("/")[1]
        events = one.WatchTask(messages.WatchTaskRequest(task_id=task_id), timeout=SECONDS)
        first = next(events)

        again = other.IssueCredentials(issue_request(alice_token, task_id=task_id), timeout=SECONDS)
        other.EndTask(messages.EndTaskRequest(task_id=task_id), timeout=SECONDS)
        told = [event for event in events if event.kind != messages.TASK_EVENT_KIND_HEARTBEAT]
        told = [event for event in told if list(event.grants) != [before]]  # a busy replica may hear of it only now

    assert first.kind == messages.TASK_EVENT_KIND_HEARTBEAT
    assert (told[0].kind, list(told[0].grants)) == (messages.TASK_EVENT_KIND_ISSUED, [again.grant.name])
    assert told[-1].kind == messages.TASK_EVENT_KIND_ENDED


def test_a_repeat_at_the_other_replica_is_given_the_same_grant(
    sandbox: Sandbox, replicas: Replicas, alice_token: str
) -> None:
    request = issue_request(alice_token, request_id=str(uuid.uuid4()))

    (first,) = at_once(sandbox, [replicas.one.mtls], [request])
    (again,) = at_once(sandbox, [replicas.other.mtls], [request])

    assert first.grant.name == again.grant.name
    assert first.grant.expire_time == again.grant.expire_time
    assert first.credentials.access_key_id != again.credentials.access_key_id


def test_a_single_use_token_at_once_at_both_replicas_opens_one_task(sandbox: Sandbox, single_use: Replicas) -> None:
    token = sandbox.issuer.token("alice", client_id="copilot")
    requests = [issue_request(token) for _ in range(AT_ONCE)]

    outcomes = at_once(sandbox, [single_use.one.mtls, single_use.other.mtls], requests)

    assert len(issued(outcomes)) == 1
    assert set(codes(outcomes)) == {grpc.StatusCode.PERMISSION_DENIED}
    assert len(bodies(single_use.url, "task_started")) == 1
    assert len(bodies(single_use.url, "grant_authorized")) == 1
    assert isinstance(verify(single_use.url), ChainIntact)


def test_two_workers_on_postgresql_are_one_gateway(
    sandbox: Sandbox, postgresql: PostgresqlServer, alice_token: str, tmp_path: Path
) -> None:
    url = postgresql.url(postgresql.create())
    with own_gateway(sandbox, tmp_path, {"url": url}, MANY, TWO) as own:
        outcomes = at_once(sandbox, [own.mtls], [issue_request(alice_token)] * AT_ONCE)
        others = at_once(sandbox, [own.mtls], [issue_request(alice_token) for _ in range(AT_ONCE)])

    assert len({answer.grant.name for answer in issued(outcomes)}) == 1
    assert len(issued(others)) == AT_ONCE
    assert [(item["worker"], item["workers"]) for item in bodies(url, "gateway_started")] == [(1, 2), (2, 2)]
    assert len(bodies(url, "grant_authorized")) == 1 + AT_ONCE
    assert isinstance(verify(url), ChainIntact)


def test_a_database_that_crashes_under_a_gateway_is_an_outage_until_it_is_back(
    sandbox: Sandbox, alice_token: str, tmp_path: Path
) -> None:
    with postgresql_server() as server:
        url = server.url(server.create())
        with own_gateway(sandbox, tmp_path, {"url": url}, MANY) as own:
            before = at_once(sandbox, [own.mtls], [issue_request(alice_token) for _ in range(8)])
            server.crash()
            down = at_once(sandbox, [own.mtls], [issue_request(alice_token) for _ in range(8)])
            server.start()
            end = time.monotonic() + SECONDS
            while not (back := issued(at_once(sandbox, [own.mtls], [issue_request(alice_token)]))):
                assert time.monotonic() < end, "it never came back"
        records = len(bodies(url, "credentials_issued"))
        verdict = verify(url)

    assert len(issued(before)) == 8
    assert codes(down) == {grpc.StatusCode.UNAVAILABLE: 8}
    assert records == 8 + len(back)
    assert isinstance(verdict, ChainIntact)
