"""A task goes when its agent goes, however it goes, and stays when only a gateway does: real processes, real leases."""

import asyncio
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.e2e.agents import AgentProcess, agent
from tests.e2e.gateways import own_gateway
from tests.e2e.tcp_relay import tcp_relay
from tests.e2e.test_crash import bodies

from remit_sandbox.sandbox import Sandbox
from remit_server.adapters.database.ledger import open_ledger
from remit_server.adapters.database.revoking.revocations import DatabaseRevocations
from remit_server.adapters.database.trail.audit_log import verify
from remit_server.adapters.system_clock import SystemClock, system_entropy
from remit_server.application.revocation.revoke_grants import RevokeGrants
from remit_server.domain.audit import ChainIntact
from remit_server.domain.revocation import RevokeCause, Target, TargetKind

pytestmark = pytest.mark.timeout(400)  # a lease has 30 seconds at least, and a dead way is seen after 25
LEASE = 30
SECONDS = 200.0
TWO_WORKERS = ("--workers", "2")


def until(what: Callable[[], bool]) -> None:
    """Returns once it is so."""
    end = time.monotonic() + SECONDS
    while not what():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.2)


def ended(ledger: Path) -> dict[str, str]:
    """Returns why each task that is over ended."""
    return {body["task_id"]: body["cause"] for body in bodies(ledger, "task_ended")}


def lease_until(ledger: Path, task_id: str) -> datetime:
    """Returns when the lease of a task runs out."""
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        ((text,),) = connection.execute("SELECT lease_until FROM tasks WHERE task_id = ?", (task_id,)).fetchall()
    return datetime.fromisoformat(text)


def states(ledger: Path, task_id: str) -> list[str]:
    """Returns the states of a task's grants."""
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        found = connection.execute("SELECT state FROM grants WHERE task_id = ?", (task_id,)).fetchall()
    return [state for (state,) in found]


async def revoke(ledger: Path, task_id: str) -> None:
    """Revokes a task as somebody of the security team does."""
    async with open_ledger(ledger, SystemClock()) as there:
        revoke_grants = RevokeGrants(DatabaseRevocations(there.store), system_entropy)
        target = Target(TargetKind.TASK, task_id)
        await revoke_grants(target, cause=RevokeCause.REQUESTED, by="corp:root", why="a drill")


class Lost:
    """Four agents of one gateway with two workers, after three of them went without a word."""

    def __init__(self, ledger: Path, tasks: dict[str, str], *, code: int) -> None:
        self.ledger = ledger
        self.tasks = tasks
        self.code = code


@pytest.fixture(scope="module")
def lost(sandbox: Sandbox, alice_token: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lost]:
    folder = tmp_path_factory.mktemp("leases")
    ledger = folder / "ledger.sqlite3"
    with ExitStack() as stack:
        gateway = stack.enter_context(own_gateway(sandbox, folder, options=TWO_WORKERS))
        relay = stack.enter_context(tcp_relay(gateway.mtls))
        targets = {"killed": gateway.mtls, "stopped": gateway.mtls, "cut off": relay.address, "well": gateway.mtls}
        agents: dict[str, AgentProcess] = {
            name: stack.enter_context(agent(sandbox, target, alice_token, lease=LEASE))
            for name, target in targets.items()
        }
        tasks = {name: each.task_id for name, each in agents.items()}
        until(lambda: len(bodies(ledger, "lease_taken")) == len(agents))

        agents["killed"].process.kill()
        agents["stopped"].process.send_signal(signal.SIGSTOP)
        relay.cut()
        until(lambda: ended(ledger).keys() >= {tasks[name] for name in ("killed", "stopped", "cut off")})
        assert tasks["well"] not in ended(ledger)
        assert lease_until(ledger, tasks["well"]) > datetime.now(UTC)
        code = agents["well"].goes()
        yield Lost(ledger, tasks, code=code)


@pytest.mark.parametrize("how", ["killed", "stopped", "cut off"])
def test_the_task_of_an_agent_that_is_gone_ends_by_its_lease(how: str, lost: Lost) -> None:
    task_id = lost.tasks[how]

    assert ended(lost.ledger)[task_id] == "LEASE_LOST"
    assert set(states(lost.ledger, task_id)) <= {"REVOKING", "REVOKED"}


def test_an_agent_that_is_well_keeps_its_task_until_it_leaves_its_block(lost: Lost) -> None:
    assert lost.code == 0
    assert ended(lost.ledger)[lost.tasks["well"]] == "TASK_ENDED"


def test_what_was_lost_is_on_record_once(lost: Lost) -> None:
    verdict = verify(lost.ledger)

    assert isinstance(verdict, ChainIntact)
    assert len(bodies(lost.ledger, "task_ended")) == len(lost.tasks)


def test_a_gateway_that_restarts_ends_no_task_and_its_agents_carry_on(
    sandbox: Sandbox, alice_token: str, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger.sqlite3"
    with ExitStack() as stack:
        with own_gateway(sandbox, tmp_path) as first:
            relay = stack.enter_context(tcp_relay(first.mtls))
            copilot = stack.enter_context(agent(sandbox, relay.address, alice_token, lease=LEASE))
            until(lambda: len(bodies(ledger, "lease_taken")) == 1)
            first.stop()
        with own_gateway(sandbox, tmp_path) as second:
            relay.target, started = second.mtls, datetime.now(UTC)
            until(lambda: (lease_until(ledger, copilot.task_id) - started).total_seconds() > LEASE)
            second.kill()
        with own_gateway(sandbox, tmp_path) as third:
            relay.target, started = third.mtls, datetime.now(UTC)
            until(lambda: (lease_until(ledger, copilot.task_id) - started).total_seconds() > LEASE)
            answered = copilot.asked()
            before = ended(ledger)
            code = copilot.goes()

    assert before == {}
    assert answered.startswith("ASIA")
    assert (code, ended(ledger)) == (0, {copilot.task_id: "TASK_ENDED"})
    assert len(bodies(ledger, "lease_taken")) == 1


def test_a_revoke_on_another_replica_takes_the_keys_out_of_the_agents_memory(
    sandbox: Sandbox, alice_token: str, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger.sqlite3"

    with own_gateway(sandbox, tmp_path) as gateway, agent(sandbox, gateway.mtls, alice_token, lease=LEASE) as copilot:
        until(lambda: len(bodies(ledger, "lease_taken")) == 1)
        before = copilot.asked()

        asyncio.run(revoke(ledger, copilot.task_id))
        until(lambda: copilot.asked().startswith("over"))
        after, code = copilot.asked(), copilot.goes()

    assert before.startswith("ASIA")
    assert (after, code) == ("over: REQUESTED", 0)
