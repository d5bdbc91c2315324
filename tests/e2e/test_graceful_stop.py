"""A gateway that is told to stop (SIGTERM) in the middle of much: every call is answered, nothing is left half done.

What was answered is held against the ledger, as a crash is: whoever was told of something finds it on record.
"""

import os
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from tests.e2e.gateways import OwnGateway, issue_request, own_gateway, raw_stub
from tests.e2e.sts_relay import StsRelay, sts_relay
from tests.e2e.test_attacks_on_operators import channel_to
from tests.e2e.test_crash import bodies, latest_records, unfinished
from tests.e2e.test_serve import is_open
from tests.e2e.test_workers import MANY, TWO, is_alive, listening_at, started, until, workers_of
from tests.ledger_values import asked

from remit.v1 import grant_service_pb2 as grants
from remit.v1.credential_service_pb2 import EndTaskRequest, WatchTaskRequest
from remit.v1.credential_service_pb2_grpc import CredentialServiceStub
from remit.v1.grant_service_pb2_grpc import GrantServiceStub
from remit_sandbox.sandbox import Sandbox
from remit_server.adapters.database.trail.audit_log import verify
from remit_server.domain.audit import ChainIntact

CALLS = 50
SECONDS = 60.0
WITHIN = 45.0  # docs/operations.md: what a stop may take
OK, UNAVAILABLE = grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE


@dataclass(frozen=True)
class Running:
    """A gateway that is to be stopped, the relay before its STS, and its ledger."""

    sandbox: Sandbox
    own: OwnGateway
    relay: StsRelay
    folder: Path
    stack: ExitStack

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger.sqlite3"

    def stubs(self, count: int) -> list[CredentialServiceStub]:
        """Returns stubs of the copilot, each on a connection of its own."""
        pair = self.sandbox.agents["copilot"]
        return [self.stack.enter_context(raw_stub(self.sandbox, self.own.mtls, pair)) for _ in range(count)]

    def hold_calls(self, token: str, *, connections: int = 2) -> list[Any]:
        """Asks for credentials until so many calls wait for STS; a few at a time, so that none is turned away."""
        self.relay.hold_after(0)
        stubs, calls = self.stubs(connections), list[Any]()
        while len(calls) < CALLS:
            stub = stubs[len(calls) // 5 % connections]
            calls += [stub.IssueCredentials.future(issue_request(token), timeout=SECONDS) for _ in range(5)]
            self.relay.wait_until_held(len(calls))
        return calls

    def tasks(self, token: str, count: int) -> list[str]:
        """Returns tasks that have just begun."""
        (stub,) = self.stubs(1)
        answers = [stub.IssueCredentials(issue_request(token), timeout=SECONDS) for _ in range(count)]
        return [answer.grant.name.split("/")[1] for answer in answers]

    def told_to_stop(self) -> None:
        """Tells it, and returns once it takes no new connections."""
        self.own.process.terminate()
        until(lambda: not is_open(self.own.mtls))

    def exit_code(self) -> int:
        """Returns its exit code; fails when it takes longer than it may."""
        return self.own.process.wait(WITHIN)

    def is_settled(self) -> bool:
        """Says whether nothing is left without an outcome, by the records and by the rows."""
        waiting = asked(self.ledger, "SELECT count(*) FROM grants WHERE state = 'AUTHORIZED'")
        return waiting == [(0,)] and unfinished(self.ledger) == [] and isinstance(verify(self.ledger), ChainIntact)


@contextmanager
def running(sandbox: Sandbox, folder: Path, options: Sequence[str] = ()) -> Iterator[Running]:
    with ExitStack() as stack:
        relay = stack.enter_context(sts_relay(sandbox.aws.endpoint_url))
        values = {"endpoint_url": relay.url}
        own = stack.enter_context(own_gateway(sandbox, folder, values, MANY, options))
        stack.callback(relay.release)
        yield Running(sandbox, own, relay, folder, stack)


@pytest.fixture
def gateway(sandbox: Sandbox, tmp_path: Path) -> Iterator[Running]:
    with running(sandbox, tmp_path) as made:
        yield made


def codes(calls: Sequence[Any]) -> Counter[grpc.StatusCode]:
    """Returns how the calls ended."""
    return Counter(call.code() for call in calls)


def received_keys(calls: Sequence[Any]) -> set[str]:
    """Returns what was given; each other call has a clean refusal: STS may be held too long on a busy machine."""
    ended = codes(calls)
    assert ended[OK] + ended[UNAVAILABLE] == CALLS
    return {call.result().credentials.access_key_id for call in calls if call.code() is OK}


def test_a_stop_answers_all_fifty_calls_that_wait_for_sts(gateway: Running, alice_token: str) -> None:
    calls = gateway.hold_calls(alice_token)

    gateway.told_to_stop()
    gateway.relay.release()
    received = received_keys(calls)
    code = gateway.exit_code()

    assert code == 0
    assert {one["access_key_id"] for one in bodies(gateway.ledger, "credentials_issued")} == received
    assert received
    assert gateway.is_settled()


def test_a_stop_while_sts_answers_nobody_refuses_all_fifty_and_revokes_what_may_exist(
    gateway: Running, alice_token: str
) -> None:
    calls = gateway.hold_calls(alice_token)

    gateway.told_to_stop()
    gateway.relay.lose_answers = True
    gateway.relay.release()
    ended = codes(calls)
    code = gateway.exit_code()

    assert code == 0
    assert ended == {UNAVAILABLE: CALLS}
    assert bodies(gateway.ledger, "credentials_issued") == []
    assert Counter(one["state"] for one in latest_records(gateway.ledger)) == {"REVOKING": CALLS}
    assert gateway.is_settled()


def test_callers_that_have_gone_by_the_time_of_a_stop_leave_nothing_half_done(
    gateway: Running, alice_token: str
) -> None:
    calls = gateway.hold_calls(alice_token)
    for call in calls:
        call.cancel()

    gateway.told_to_stop()
    gateway.relay.release()
    code = gateway.exit_code()

    assert code == 0
    assert len(bodies(gateway.ledger, "grant_authorized")) == CALLS
    assert gateway.is_settled()


def test_a_worker_that_is_replaced_answers_its_calls_first_and_the_others_go_on(
    sandbox: Sandbox, alice_token: str, tmp_path: Path
) -> None:
    with running(sandbox, tmp_path, TWO) as gateway:
        calls = gateway.hold_calls(alice_token, connections=16)
        _, stopped = workers_of(gateway.own)[0]
        listeners = listening_at(gateway.own.mtls)

        os.kill(stopped, signal.SIGTERM)
        until(lambda: listening_at(gateway.own.mtls) == listeners // 2)
        gateway.relay.release()
        received = received_keys(calls)
        until(lambda: len(started(tmp_path)) == 3)
        gateway.own.process.terminate()
        code = gateway.exit_code()

        assert code == 0
        assert {one["access_key_id"] for one in bodies(gateway.ledger, "credentials_issued")} == received
        assert received
        assert not is_alive(stopped)
        assert gateway.is_settled()


def test_a_stop_in_the_middle_of_ends_and_revokes_leaves_each_on_record_that_was_answered(
    gateway: Running, alice_token: str
) -> None:
    tasks = gateway.tasks(alice_token, 40)
    bearer = (("authorization", f"Bearer {gateway.sandbox.issuer.operator_token('bob')}"),)
    channel = gateway.stack.enter_context(channel_to(gateway.sandbox, gateway.own.bearer))
    (agent,), security = gateway.stubs(1), GrantServiceStub(channel)
    ends: dict[str, Any] = {
        task: agent.EndTask.future(EndTaskRequest(task_id=task), timeout=SECONDS) for task in tasks[:20]
    }
    revokes: dict[str, Any] = {
        task: security.RevokeGrants.future(
            grants.RevokeGrantsRequest(target=grants.RevokeTarget(task_id=task), why="a drill"),
            timeout=SECONDS,
            metadata=bearer,
        )
        for task in tasks[20:]
    }

    next(iter(ends.values())).result()
    gateway.told_to_stop()
    told = {task: call.code() for calls in (ends, revokes) for task, call in calls.items()}
    code = gateway.exit_code()

    over = {one["task_id"] for one in bodies(gateway.ledger, "task_ended")}
    assert code == 0
    # A call that came in the very moment is cancelled by the library: then nobody looked at it, and nothing was done.
    unseen = {task for task, status in told.items() if status is grpc.StatusCode.CANCELLED}
    assert unseen.isdisjoint(over)
    assert {status for task, status in told.items() if task not in unseen} <= {OK, UNAVAILABLE}
    assert {task for task, status in told.items() if status is OK} <= over
    assert {one["target_key"] for one in bodies(gateway.ledger, "grants_revoked")} <= over
    live = {task for (task,) in asked(gateway.ledger, "SELECT task_id FROM grants WHERE state = 'ISSUED'")}
    assert live == set(tasks) - over
    assert gateway.is_settled()


def end_of(stream: Any) -> grpc.StatusCode:
    """Reads a stream to its end: before that it has none."""
    try:
        for _ in stream:
            pass
    except grpc.RpcError as error:
        return error.code()
    return OK


def test_a_stop_ends_streams_at_once_and_no_task_with_them(gateway: Running, alice_token: str) -> None:
    tasks = gateway.tasks(alice_token, 20)
    (stub,) = gateway.stubs(1)
    grace = Duration()
    grace.FromTimedelta(timedelta(seconds=30))
    streams: list[Any] = [stub.WatchTask(WatchTaskRequest(task_id=task, disconnect_grace=grace)) for task in tasks]
    for stream in streams:
        next(stream)

    gateway.told_to_stop()
    code = gateway.exit_code()

    assert code == 0
    assert Counter(end_of(stream) for stream in streams) == {UNAVAILABLE: len(streams)}
    assert bodies(gateway.ledger, "task_ended") == []
    assert asked(gateway.ledger, "SELECT count(*) FROM tasks WHERE lease_until IS NOT NULL") == [(len(tasks),)]
    assert gateway.is_settled()
