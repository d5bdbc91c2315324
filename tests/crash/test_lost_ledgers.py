"""A ledger that is full, read-only, held, hung or gone: nobody is told that something is done, and all recovers."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.crash.caller import Caller, subject_target
from tests.crash.gateway import Gateway, opened_gateway
from tests.crash.judge import Judge
from tests.crash.judge_revokes import CHECKS
from tests.crash.snapshot import snapshot
from tests.crash.steps import Steps
from tests.databases import Place, asked, held
from tests.faults.rig.ledgers import full_disk, gone, read_only, small_disk
from tests.real_postgresql import PostgresqlServer, postgresql_server

from remit_server.adapters.database.trail.audit_log import verify
from remit_server.application.issuing.handing_out import Issued
from remit_server.domain.audit import ChainIntact

pytestmark = pytest.mark.timeout(240)
PATIENCE = 60.0
FAULTS = ("full", "read-only", "held", "held on postgresql", "hung", "gone")
Break = Callable[[Gateway], AbstractContextManager[None]]


@dataclass(frozen=True)
class Frail:
    """A place for a ledger, and what happens to it."""

    place: Place
    breaks: Break


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    """A server of its own, which these tests stop and kill."""
    with postgresql_server() as own:
        yield own


@pytest.fixture(params=FAULTS)
def frail(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Frail]:
    fault = request.param
    with ExitStack() as stack:
        if fault in {"full", "read-only", "held"}:
            folder = stack.enter_context(small_disk(tmp_path / "disk")) if fault == "full" else tmp_path
            file = folder / "ledger.db"
            on_a_file: dict[str, Break] = {
                "full": lambda _: full_disk(folder),
                "read-only": lambda gateway: read_only(_writer(gateway)),
                "held": lambda _: held(file),
            }
            yield Frail(file, on_a_file[fault])
        else:
            server: PostgresqlServer = request.getfixturevalue("server")
            url = server.url(server.create())
            on_a_server: dict[str, Break] = {
                "held on postgresql": lambda _: held(url),
                "hung": lambda _: server.hung(),
                "gone": lambda _: gone(server),
            }
            yield Frail(url, on_a_server[fault])


def _writer(gateway: Gateway) -> Any:
    return gateway.ledger.store.database.writer


@dataclass
class Witness:
    """Hears what callers and STS are told, through a pipe, as the judge of crashes does."""

    place: Place
    heard: Any
    tells: int

    def lines(self) -> list[dict[str, Any]]:
        """Returns what was told so far."""
        os.write(self.tells, b'{"what": "so far", "child": 0}\n')
        return list(iter(self._next, {"what": "so far", "child": 0}))

    def _next(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.heard.readline())
        return found


@asynccontextmanager
async def calling(frail: Frail) -> AsyncIterator[tuple[Caller, Witness]]:
    """Opens a gateway on the ledger, whose callers are heard."""
    source, tells = os.pipe()
    with os.fdopen(source, "rb") as heard:
        try:
            async with opened_gateway(str(frail.place), datetime.now(UTC), "1" * 64, Steps(tells)) as gateway:
                yield Caller(gateway, "r1a"), Witness(frail.place, heard, tells)
        finally:
            os.close(tells)


async def until_given(caller: Caller, user: str) -> Issued:
    """Asks until there are credentials, each time with a new login: a revoke that nobody was told of may be written."""
    async with asyncio.timeout(PATIENCE):
        while (issued := await caller.ask(caller.login(user))) is None:  # noqa: ASYNC110 - nobody tells when it is back
            await asyncio.sleep(0.05)
    return issued


async def test_a_ledger_that_cannot_be_written_gives_and_ends_nothing_and_recovers_without_a_restart(
    frail: Frail,
) -> None:
    async with calling(frail) as (caller, witness):
        login = caller.login()
        issued, other = await caller.asked(login), await caller.asked(caller.login("bob"))
        before = witness.lines()
        with frail.breaks(caller.gateway):
            await asyncio.gather(
                caller.ask(login),
                caller.ask(login, task=issued.grant.task_id),
                caller.renew(login, issued),
                caller.revoke(subject_target(issued)),
                caller.end(caller.login("bob"), other.grant.task_id),
                return_exceptions=True,
            )
            during = witness.lines()
        await until_given(caller, "alice")
        revoked = await caller.revoke(subject_target(issued))
        await caller.end(caller.login("bob"), other.grant.task_id)
        after = witness.lines()

    told = {line["what"] for line in during}
    refused = {line["reason"] for line in during if line["what"] == "refused"}
    assert not told & {"given", "revoked", "ended", "sts"}
    assert refused == {"LEDGER_UNAVAILABLE"}
    assert revoked is not None
    judge = Judge(CHECKS)
    judge.hear([*before, *during, *after], snapshot(frail.place))
    assert judge.found == set()
    assert isinstance(verify(frail.place), ChainIntact)


async def test_credentials_that_a_lost_ledger_cannot_record_are_given_to_nobody_and_revoked_afterwards(
    frail: Frail,
) -> None:
    async with calling(frail) as (caller, witness):
        sts = caller.gateway.sts
        sts.gate.clear()
        asking = asyncio.create_task(caller.ask(caller.login()))
        await sts.called.acquire()
        with frail.breaks(caller.gateway):
            sts.gate.set()
            outcome = await asking
        await until_given(caller, "bob")
        caller.gateway.clock.move(seconds=61)
        await caller.sweep()
        lines = witness.lines()

    assert outcome is None
    states = asked(frail.place, "SELECT state FROM grants WHERE subject_id = ?", "alice-r1a")
    assert states == [("REVOKING",)]
    judge = Judge(CHECKS)
    judge.hear(lines, snapshot(frail.place))
    assert judge.found == set()
