"""Faults to survive (8-threats.md): a real gateway, each of its dependencies behind a proxy that has every fault.

Whatever fails: the caller hears which part it was and nothing that the part said, nobody gets credentials without a
record, no dependency is asked without bound, STS is never asked for a second, other session, and once the fault is over
the gateway goes on by itself.
"""

import os
from collections.abc import Collection, Sequence

import pytest
from aiohttp import web
from tests.fake_sts import FakeSts, Request
from tests.fake_sts import Fault as Answering
from tests.faults.faults import FAULTS, MARK
from tests.faults.rig.asking import until
from tests.faults.rig.ledgers import full_disk
from tests.faults.rig.proxy import Fault
from tests.faults.rig.stage import ISSUER_FAULTS, Stage
from tests.faults.table import ASKED, BETWEEN, EVERY_RUN, Cell, cells

pytestmark = pytest.mark.asyncio(loop_scope="session")
EXTENDED = os.environ.get("REMIT_EXTENDED") == "1"
MOST_GROWTH = 64 << 20
NOT_IN_EACH = pytest.mark.skipif(not EXTENDED, reason="this cell is part of the extended run: REMIT_EXTENDED=1")


def parameters(table: str) -> Sequence[object]:
    """Returns the cells of a table, those of the extended run with their reason."""
    return [
        pytest.param(cell, id=cell.name, marks=[] if cell.runs == EVERY_RUN else [NOT_IN_EACH]) for cell in cells(table)
    ]


def some(faults: Collection[str], *, but: Collection[str]) -> Sequence[object]:
    """Returns faults by their names, some of them with the reason why they are not in every run."""
    return [pytest.param(fault, marks=[NOT_IN_EACH] if fault in but else []) for fault in faults]


def sessions(stage: Stage, before: int) -> set[bytes]:
    """Returns the different sessions that STS was asked for since."""
    return {request.body for request in stage.sts.requests[before:]}


async def until_left(stage: Stage, cell: Cell, before: int) -> None:
    """Returns once the ledger holds what the cell leaves: what was lost at a commit is settled a moment later."""
    await until(lambda: left(stage, cell, before))


async def left(stage: Stage, cell: Cell, before: int) -> bool:
    """Says whether the records are those of the cell, and the grant's state is."""
    grants = [body["grant_id"] for kind, body in await stage.records(before) if kind == "grant_authorized"]
    if not grants:
        return cell.left in {"refused", "-"}
    return await stage.state(grants[0]) == cell.left


@pytest.mark.parametrize("cell", parameters(ASKED))
async def test_a_fault_meets_a_request(stage: Stage, cell: Cell) -> None:
    proxy, before, calls = stage.proxies[cell.dependency], await stage.recorded(), len(stage.sts.requests)
    memory, said = stage.resident, len(stage.log)
    await proxy.suffer(FAULTS[cell.fault])

    heard = await stage.ask()
    asked, records = proxy.asked, await stage.kinds(before)
    sent, different = len(stage.sts.requests) - calls, len(sessions(stage, calls))
    await until_left(stage, cell, before)
    await proxy.lift()
    back = await stage.until_ok()

    assert heard.short == cell.hears
    assert asked <= cell.asked
    assert (sent, different) == (cell.sts, min(cell.sts, 1))
    assert records == cell.records
    assert back.access_key_id
    assert await stage.unrecorded() == []
    assert MARK not in heard.words + stage.log[said:]
    assert stage.resident - memory < MOST_GROWTH


@pytest.mark.parametrize("cell", parameters(BETWEEN))
async def test_a_fault_meets_credentials_that_are_made_and_not_yet_recorded(stage: Stage, cell: Cell) -> None:
    proxy, before, calls = stage.proxies[cell.dependency], await stage.recorded(), len(stage.sts.requests)
    stage.sts.plan(meanwhile(stage, cell.dependency, FAULTS[cell.fault]))

    heard = await stage.ask()
    asked = proxy.asked
    await proxy.lift()
    back = await stage.until_ok()
    await until_left(stage, cell, before)

    assert heard.short == cell.hears
    assert heard.access_key_id == ""
    assert asked <= cell.asked
    assert stage.sts.requests[calls].issued is not None
    assert len(sessions(stage, calls)) == 1 + 1  # and that of the request that was answered again
    assert back.access_key_id
    assert await stage.unrecorded() == []


def meanwhile(stage: Stage, dependency: str, fault: Fault) -> Answering:
    """Returns what has a dependency fail while STS makes a session, and answers as STS does."""

    async def answering(sts: FakeSts, http: web.Request, request: Request) -> web.StreamResponse:
        await stage.proxies[dependency].suffer(fault)
        return sts.answer(http, request)

    return answering


async def test_a_database_whose_disk_is_full_records_nothing_and_goes_on_when_there_is_room(stage: Stage) -> None:
    if stage.disk is None:
        pytest.skip("a small disk for the database cannot be mounted here, which takes root")

    with full_disk(stage.disk):
        await until(lambda: _is_refused(stage), every=0.0)
        calls = len(stage.sts.requests)
        heard = {(await stage.ask()).short for _ in range(3)}
        sent = len(stage.sts.requests) - calls
    back = await stage.until_ok()

    assert heard == {"UNAVAILABLE LEDGER_UNAVAILABLE"}
    assert sent == 0
    assert back.access_key_id
    assert await stage.unrecorded() == []


async def _is_refused(stage: Stage) -> bool:
    """Asks once: in the pages that the tables have is room for some more."""
    return (await stage.ask()).short != "OK"


@NOT_IN_EACH
async def test_what_was_authorized_and_lost_is_found_and_revoked(stage: Stage) -> None:
    stage.sts.plan(meanwhile(stage, "database", FAULTS["gone"]))
    before = await stage.recorded()
    await stage.ask()
    await stage.proxies["database"].lift()

    await until(lambda: stage.has(before, "grant_withheld"), every=1.0)

    assert await stage.unrecorded() == []


@pytest.mark.parametrize("fault", some(ISSUER_FAULTS, but=("drip", "redirect", "empty")))
async def test_a_fault_meets_the_keys_of_an_issuer(stage: Stage, fault: str) -> None:
    issuer, before, calls = f"issuer-{fault}", await stage.recorded(), len(stage.sts.requests)
    proxy, said = stage.proxies[issuer], len(stage.log)
    await proxy.suffer(FAULTS[fault])

    known = await stage.ask(issuer=issuer)
    unknown = [await stage.ask(issuer=issuer, kid="ec") for _ in range(3)]
    asked = proxy.asked
    await proxy.lift()
    still = await stage.ask(issuer=issuer)

    assert (known.short, still.short) == ("OK", "OK")
    assert {answer.short for answer in unknown} == {"UNAVAILABLE ISSUER_UNAVAILABLE"}
    assert asked <= 2  # for one fetch: it may find its connection gone, and ask on another one
    assert len(sessions(stage, calls)) == 2
    assert (await stage.kinds(before))["request_refused"] == 3
    assert MARK not in "".join(answer.words for answer in unknown) + stage.log[said:]


@NOT_IN_EACH  # an issuer is asked every half minute at most
async def test_a_key_that_an_issuer_rotated_to_in_its_outage_is_taken_once_it_is_asked_again(stage: Stage) -> None:
    issuer = f"issuer-{ISSUER_FAULTS[0]}"
    stage.sinks.is_rotated = True

    answer = await stage.until_ok(issuer=issuer, kid="ec")

    assert answer.access_key_id
