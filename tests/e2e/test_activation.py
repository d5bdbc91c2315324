"""Real gateways and one database: an activation is obeyed by every process from its commit on."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import grpc
import pytest
from tests.databases import Place
from tests.e2e.gateways import OwnGateway, issue_request, own_gateway, raw_stub
from tests.e2e.sts_relay import sts_relay
from tests.e2e.test_attacks_on_operators import reason_of
from tests.e2e.test_crash import bodies
from tests.e2e.test_workers import MANY, SECONDS, TWO
from tests.policy_revisions import Beside, published_and_activated, revision_in, sample_with
from tests.waiting import until

from remit_sandbox.configuration import sample_policies
from remit_sandbox.sandbox import Sandbox
from remit_server.adapters.database.ledger import open_ledger
from remit_server.adapters.database.policies.revisions import DatabaseRevisions
from remit_server.adapters.database.trail.audit_log import events, verify
from remit_server.adapters.policy.bundles.bundle import read_bundle
from remit_server.adapters.system_clock import SystemClock
from remit_server.domain.audit import ChainIntact

pytestmark = pytest.mark.timeout(300)
ON_A_BUSY_MACHINE = frozenset({"LEDGER_UNAVAILABLE"})  # refused, and not decided by a revision before
CALLERS = 4
ACTIVATIONS = 12
IN_BETWEEN = 4 * CALLERS  # calls that are given credentials: some of them were under way at the activation


@dataclass
class Pair:
    """Two gateways on one database, one of them of two workers."""

    one: OwnGateway
    other: OwnGateway
    place: Place
    outcomes: list[Any] = field(default_factory=list)

    def issued(self) -> int:
        """Returns how many calls were given credentials so far."""
        return sum(not isinstance(outcome, grpc.RpcError) for outcome in list(self.outcomes))

    @contextmanager
    def asked_all_the_time(self, sandbox: Sandbox, token: str) -> Iterator[None]:
        """Has agents ask at both gateways while the block runs, and keeps what each call came to."""
        over = Event()

        def ask(target: str) -> None:
            with raw_stub(sandbox, target, sandbox.agents["copilot"]) as stub:
                while not over.is_set():
                    try:
                        self.outcomes.append(stub.IssueCredentials(issue_request(token), timeout=SECONDS))
                    except grpc.RpcError as error:
                        self.outcomes.append(error)

        with ThreadPoolExecutor(2 * CALLERS) as pool:
            asking: list[Future[None]] = [
                pool.submit(ask, target) for target in (self.one.mtls, self.other.mtls) for _ in range(CALLERS)
            ]
            try:
                yield
            finally:
                over.set()
            for one in asking:
                one.result()


@contextmanager
def pair(sandbox: Sandbox, folder: Path, place: Place) -> Iterator[Pair]:
    url = str(place) if "://" in str(place) else f"sqlite:///{place}"
    with ExitStack() as stack:
        relay = stack.enter_context(sts_relay(sandbox.aws.endpoint_url))
        values = {"url": url, "endpoint_url": relay.url}
        made = []
        for name, options in (("one", TWO), ("other", ())):
            (folder / name).mkdir()
            made.append(stack.enter_context(own_gateway(sandbox, folder / name, values, MANY, options)))
        yield Pair(made[0], made[1], place)


async def activate_back_and_forth(gateways: Pair, other: Path, times: int) -> None:
    """Activates the sample policy and another one by turns, each once so many calls were given credentials again."""
    async with open_ledger(gateways.place, SystemClock()) as ledger:
        beside = Beside(DatabaseRevisions(ledger.store))
        revisions = [await beside.publish(revision_in(other)), await beside.publish(revision_in(sample_policies()))]
        for turn in range(times):
            await beside.activate(revisions[turn % 2])
            before = gateways.issued()
            await until(lambda: gateways.issued() >= before + IN_BETWEEN)  # noqa: B023 - waited for here


def decided_by(place: Place) -> tuple[Counter[str], list[tuple[int, str, str]]]:
    """Returns how often each revision authorized, and the authorizations that another one should have decided."""
    active, by, wrong = "", Counter[str](), list[tuple[int, str, str]]()
    for event in events(place):
        body = json.loads(event.body_text)
        if event.kind == "revision_activated":
            active = body["revision"]
        elif event.kind in {"grant_authorized", "renewal_authorized"}:
            by[body["policy_revision"]] += 1
            if body["policy_revision"] != active:
                wrong.append((event.sequence, body["policy_revision"], active))
    return by, wrong


def test_whatever_is_authorized_was_decided_by_the_last_activation_before_it(
    sandbox: Sandbox, empty_place: Place, tmp_path: Path, alice_token: str
) -> None:
    other = sample_with(tmp_path / "policies", "another revision")
    with pair(sandbox, tmp_path, empty_place) as gateways:
        with gateways.asked_all_the_time(sandbox, alice_token):
            asyncio.run(activate_back_and_forth(gateways, other, ACTIVATIONS))

        by, wrong = decided_by(empty_place)

    errors = [outcome for outcome in gateways.outcomes if isinstance(outcome, grpc.RpcError)]
    assert wrong == []
    assert len(by) == 2
    assert {reason_of(error) for error in errors} <= {"POLICY_UNAVAILABLE", *ON_A_BUSY_MACHINE}
    assert gateways.issued() >= ACTIVATIONS * IN_BETWEEN
    assert isinstance(verify(empty_place), ChainIntact)


def test_every_process_turns_to_what_was_activated_while_nobody_asks_it(
    sandbox: Sandbox, empty_place: Place, tmp_path: Path, alice_token: str
) -> None:
    other = sample_with(tmp_path / "policies", "another revision")
    with pair(sandbox, tmp_path, empty_place) as gateways:
        (revision,) = asyncio.run(published_and_activated(empty_place, other))

        deciding = {
            deciding_at(sandbox, target, alice_token, revision) for target in (gateways.one.mtls, gateways.other.mtls)
        }

    assert deciding == {revision}


def deciding_at(sandbox: Sandbox, target: str, token: str, wanted: str) -> str:
    """Returns which revision decides at a gateway, once that is the wanted one, or when patience is over."""
    end, found = time.monotonic() + SECONDS, ""
    with raw_stub(sandbox, target, sandbox.agents["copilot"]) as stub:
        while found != wanted and time.monotonic() < end:
            try:
                found = stub.IssueCredentials(issue_request(token), timeout=SECONDS).grant.policy_revision
            except grpc.RpcError as error:
                if reason_of(error) != "POLICY_UNAVAILABLE":
                    raise
    return found


def test_a_replica_with_an_older_policy_starts_on_the_active_one_and_says_so(
    sandbox: Sandbox, tmp_path: Path, alice_token: str
) -> None:
    ledger = tmp_path / "ledger.sqlite3"
    old = read_bundle(sample_policies()).revision
    with own_gateway(sandbox, tmp_path):
        pass
    (new,) = asyncio.run(published_and_activated(ledger, sample_with(tmp_path / "policies", "another revision")))

    with own_gateway(sandbox, tmp_path) as again:
        deciding = deciding_at(sandbox, again.mtls, alice_token, new)

    assert deciding == new
    assert [body["policy_revision"] for body in bodies(ledger, "gateway_started")] == [old, new]
    assert [(body["revision"], body["code"]) for body in bodies(ledger, "revision_refused")] == [(old, "REPLAYED")]
    assert old in again.log_path.read_text()


def test_replicas_that_start_together_adopt_a_policy_once(sandbox: Sandbox, empty_place: Place, tmp_path: Path) -> None:
    with pair(sandbox, tmp_path, empty_place):
        pass

    assert len(bodies(empty_place, "revision_published")) == 1
    assert [(body["activation"], body["previous"]) for body in bodies(empty_place, "revision_activated")] == [
        ("ADOPTED", "")
    ]


BROKEN = {
    "does_not_parse": "package remit.issue\n\ndecision := {\n",
    "lets_everybody": 'package remit.issue\n\ndecision := {"allow": true}\n',
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_broken_candidate_never_decides_and_a_mended_one_does(
    sandbox: Sandbox, tmp_path: Path, alice_token: str, text: str
) -> None:
    ledger, folder = tmp_path / "ledger.sqlite3", sample_with(tmp_path / "policies", "the first")
    values = {"bundle": str(folder)}
    with own_gateway(sandbox, tmp_path, values, {"policy": {"follow_seconds": 1}}) as gateway:
        first = read_bundle(folder).revision
        replaced(folder, sample_with(tmp_path / "broken", "broken", {"remit/issue/issue.rego": text}))
        until_recorded(ledger, "revision_refused", 1)
        meanwhile = deciding_at(sandbox, gateway.mtls, alice_token, first)
        mended = sample_with(tmp_path / "mended", "mended")
        replaced(folder, mended)
        until_recorded(ledger, "revision_activated", 2)

        deciding = deciding_at(sandbox, gateway.mtls, alice_token, read_bundle(folder).revision)

    assert meanwhile == first
    assert deciding == read_bundle(folder).revision
    assert [body["revision"] for body in bodies(ledger, "revision_activated")] == [first, deciding]


def replaced(folder: Path, other: Path) -> None:
    """Puts another bundle in the place of one."""
    folder.rename(folder.with_name(f"{folder.name}-{time.monotonic_ns()}"))
    other.rename(folder)


def until_recorded(ledger: Path, kind: str, count: int) -> None:
    """Waits until so many records of a kind are in the chain."""
    end = time.monotonic() + SECONDS
    while len(bodies(ledger, kind)) < count:
        assert time.monotonic() < end, f"no {kind}"
        time.sleep(0.05)
