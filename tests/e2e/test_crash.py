"""A gateway that is killed in the middle of everything, three times over (8-threats.md I1, I6, I8).

What is held against the ledger is what clients received and what STS was asked, never the gateway's own word.
"""

import asyncio
import json
import shutil
import threading
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.e2e.gateways import OwnGateway, issue_request, own_gateway, raw_stub
from tests.e2e.sts_relay import StsRelay, sts_relay
from tests.fakes import FakeClock

from remit.v1 import credential_service_pb2 as messages
from remit_sandbox.sandbox import Sandbox
from remit_server.adapters.database.ledger import open_ledger
from remit_server.adapters.database.trail.audit_log import events, verify
from remit_server.domain.audit import ChainIntact

pytestmark = pytest.mark.timeout(300)  # three rounds stand behind the first of these tests
CALLS = 200
HELD = 20
KILLED_AFTER_ANSWERS = (20, 60, 120)
ROOMY = {"requests_per_second": 600.0, "burst": 1000, "max_in_flight": 128}
PATIENT = {"decision_timeout_milliseconds": 5000}  # a busy machine is no outage here
Issued = messages.IssueCredentialsResponse


@dataclass
class Answers:
    """What clients received, by request_id."""

    issued: dict[str, Issued] = field(default_factory=dict)
    failed: dict[str, grpc.RpcError] = field(default_factory=dict)
    _kept: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def keep(self, request_id: str, call: Any) -> None:
        """Notes how a call ended."""
        with self._changed:
            self._kept += 1
            self.failed.pop(request_id, None)
            if call.code() is grpc.StatusCode.OK:
                self.issued[request_id] = call.result()
            else:
                self.failed[request_id] = call
            self._changed.notify_all()

    def wait_until(self, *, issued: int = 0, kept: int = 0) -> None:
        """Returns once so many calls brought credentials and so many are over."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.issued) >= issued and self._kept >= kept, timeout=60)

    def turned_away(self, asked: Sequence[str]) -> list[str]:
        """Returns those of the requests that met a full gateway, and may be asked again."""
        full = grpc.StatusCode.RESOURCE_EXHAUSTED
        return [one for one in asked if one in self.failed and self.failed[one].code() is full]


@dataclass(frozen=True)
class Round:
    """One crash: the ledger as the kill left it, and what came out before and after."""

    crashed: Path
    requests: frozenset[str]
    before: Answers
    after: Answers


@dataclass(frozen=True)
class Crashes:
    """Three crashes of one ledger, and every session that STS was asked for."""

    ledger: Path
    rounds: list[Round]
    session_names: list[str]


def ask_all(
    sandbox: Sandbox, own: OwnGateway, requests: Mapping[str, Any], answers: Answers, *, at_once: int = CALLS
) -> None:
    """Sends the requests over two connections, again where the gateway was full, until each is answered."""
    pair, asked, waiting = sandbox.agents["copilot"], 0, list(requests)
    with raw_stub(sandbox, own.mtls, pair) as one, raw_stub(sandbox, own.mtls, pair) as other:
        while waiting:
            for number, request_id in enumerate(waiting[:at_once]):
                call = (one, other)[number % 2].IssueCredentials.future(requests[request_id], timeout=60)
                call.add_done_callback(partial(answers.keep, request_id))
            asked += len(waiting[:at_once])
            answers.wait_until(kept=asked)
            waiting = waiting[at_once:] + answers.turned_away(waiting[:at_once])


@dataclass
class Ground:
    """One ledger and the gateway that now serves from it."""

    sandbox: Sandbox
    folder: Path
    relay: StsRelay
    stack: ExitStack

    def __post_init__(self) -> None:
        self.own = self._started()

    def _started(self) -> OwnGateway:
        return self.stack.enter_context(
            own_gateway(self.sandbox, self.folder, {"endpoint_url": self.relay.url}, {"aws": ROOMY, "policy": PATIENT})
        )

    def crash(self, requests: Mapping[str, Any], *, answers: int, held: int) -> Round:
        """Kills the gateway in the middle of the calls, starts another on its ledger, and repeats every call."""
        before, after = Answers(), Answers()
        if held:
            self.relay.hold_after(answers)
        asking = threading.Thread(target=ask_all, args=(self.sandbox, self.own, requests, before))
        asking.start()
        before.wait_until(issued=answers)
        self.relay.wait_until_held(held)
        self.own.kill()
        asking.join()
        self.relay.release()
        crashed = self.folder / f"crashed-{uuid.uuid4()}"
        crashed.mkdir()
        for file in self.folder.glob("ledger.sqlite3*"):
            shutil.copy(file, crashed)
        self.own = self._started()
        ask_all(self.sandbox, self.own, requests, after, at_once=8)
        return Round(crashed / "ledger.sqlite3", frozenset(requests), before, after)


@pytest.fixture(scope="module")
def crashes(sandbox: Sandbox, alice_token: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crashes]:
    """Three rounds on one ledger; in the first STS is held back, so that orphans are certain."""
    folder = tmp_path_factory.mktemp("crash")
    with sts_relay(sandbox.aws.endpoint_url) as relay, ExitStack() as stack:
        ground, rounds = Ground(sandbox, folder, relay, stack), []
        for number, answers in enumerate(KILLED_AFTER_ANSWERS):
            ids = [str(uuid.uuid4()) for _ in range(CALLS)]
            requests = {request_id: issue_request(alice_token, request_id=request_id) for request_id in ids}
            rounds.append(ground.crash(requests, answers=answers, held=0 if number else HELD))
        yield Crashes(folder / "ledger.sqlite3", rounds, relay.session_names)


def bodies(ledger: str | Path, kind: str) -> list[dict[str, Any]]:
    """Returns the records of a kind."""
    return [json.loads(event.body_text) for event in events(ledger, kind=kind)]


def test_each_kill_hit_calls_in_the_middle(crashes: Crashes) -> None:
    for crashed in crashes.rounds:
        assert 0 < len(crashed.before.issued) < CALLS
        assert {call.code() for call in crashed.before.failed.values()} == {grpc.StatusCode.UNAVAILABLE}


def test_the_chain_verifies_as_each_kill_left_it_and_at_the_end(crashes: Crashes) -> None:
    for ledger in (*(crashed.crashed for crashed in crashes.rounds), crashes.ledger):
        assert isinstance(verify(ledger), ChainIntact)


def test_whoever_received_credentials_stands_in_the_ledger_that_the_kill_left(crashes: Crashes) -> None:
    for crashed in crashes.rounds:
        issued = bodies(crashed.crashed, "credentials_issued")
        recorded = {(item["access_key_id"], item["request_id"]) for item in issued}

        received = {
            (answer.credentials.access_key_id, request_id) for request_id, answer in crashed.before.issued.items()
        }

        assert received <= recorded


def test_no_session_was_asked_of_sts_without_a_record_before(crashes: Crashes) -> None:
    authorized = {item["task_id"] for item in bodies(crashes.ledger, "grant_authorized")}

    assert set(crashes.session_names) <= authorized


def test_one_request_id_has_at_most_one_grant_however_often_it_is_repeated(crashes: Crashes) -> None:
    pairs = {(item["request_id"], item["grant_id"]) for item in bodies(crashes.ledger, "grant_authorized")}

    assert max(Counter(request_id for request_id, _ in pairs).values()) == 1
    for crashed in crashes.rounds:
        for request_id, first in crashed.before.issued.items():
            assert crashed.after.issued[request_id].grant.name == first.grant.name


def test_after_the_restart_only_a_request_whose_credentials_nobody_got_is_told_no(crashes: Crashes) -> None:
    for crashed in crashes.rounds:
        orphans = asked_by(unfinished(crashed.crashed)) & crashed.requests
        withheld = asked_by(withheld_before(crashed.crashed)) & crashed.requests
        told = {request_id: str(call.details()) for request_id, call in crashed.after.failed.items()}

        assert told.keys() == orphans | withheld
        assert all("has no outcome yet" in told[request_id] for request_id in orphans)
        assert all("is over" in told[request_id] for request_id in withheld)


def latest_records(ledger: Path) -> list[dict[str, Any]]:
    """Returns the latest record of each grant, with its kind, its time and the request it was authorized for."""
    latest: dict[str, dict[str, Any]] = {}
    for event in events(ledger):
        body = json.loads(event.body_text)
        if "grant_id" in body:
            before = latest.get(body["grant_id"], {})
            request_id = body.get("request_id", before.get("request_id"))
            latest[body["grant_id"]] = {**body, "request_id": request_id, "kind": event.kind, "time": event.time}
    return list(latest.values())


def unfinished(ledger: Path) -> list[dict[str, Any]]:
    """Returns the latest records of grants whose outcome is unknown."""
    return [item for item in latest_records(ledger) if item["kind"] == "grant_authorized"]


def withheld_before(ledger: Path) -> list[dict[str, Any]]:
    """Returns the latest records of grants given up before the kill: a busy machine may hold STS too long."""
    return [item for item in latest_records(ledger) if item.get("state") == "REVOKING"]


def asked_by(records: list[dict[str, Any]]) -> set[str]:
    return {item["request_id"] for item in records}


def test_orphans_are_found_and_revoked_once_their_minute_is_over(crashes: Crashes, tmp_path: Path) -> None:
    """The sweeper itself, on a copy of the ledger that a kill left, its clock moved on instead of a minute's wait."""
    crashed = crashes.rounds[0].crashed
    for file in crashed.parent.iterdir():
        shutil.copy(file, tmp_path)
    ledger, orphans = tmp_path / "ledger.sqlite3", unfinished(crashed)
    times = [item["time"] for item in orphans]

    early = asyncio.run(swept(ledger, min(times) + timedelta(seconds=59)))
    late = asyncio.run(swept(ledger, max(times) + timedelta(seconds=61)))

    assert orphans
    assert (early, late) == (0, len(orphans))
    assert {item["grant_id"] for item in bodies(ledger, "grant_withheld")} == {item["grant_id"] for item in orphans}
    assert isinstance(verify(ledger), ChainIntact)


async def swept(ledger: Path, now: datetime) -> int:
    """Sweeps a ledger at a certain time and returns how many grants were moved."""
    async with open_ledger(ledger, FakeClock(now)) as opened:
        return await opened.sweep(now)
