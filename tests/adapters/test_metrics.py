"""The gateway's figures: counted where all workers count, told as one, and read from a real ledger."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from sqlalchemy import insert
from tests.databases import Place
from tests.fakes import NOON, FakeClock
from tests.ledger_values import (
    COPILOT,
    WHO,
    an_issuance,
    failed_record,
    grant_id,
    issued_record,
    opening,
    refused_record,
    task_id,
)
from tests.metrics_world import CATALOGUE, figures_of, page_of

from remit_server.adapters.database.engine import Work
from remit_server.adapters.database.ledger import open_ledger
from remit_server.adapters.database.reading.own_reader import Reads, own_reader
from remit_server.adapters.database.schema.revocation_tables import denies
from remit_server.adapters.metrics import catalogue
from remit_server.adapters.metrics.catalogue import Backlog
from remit_server.adapters.metrics.cells import Cells
from remit_server.adapters.metrics.families import Family, Kind, Layout
from remit_server.adapters.metrics.figures import Figures
from remit_server.adapters.metrics.ledger_figures import CountedCheckpoints, LedgerFigures
from remit_server.adapters.metrics.telling import Telling
from remit_server.adapters.observed import ObservedCommit
from remit_server.application.observing import Step, observed
from remit_server.application.oversight.keep_checkpoints import Undelivered
from remit_server.domain.audit import AuditRecord, PreviewDecided
from remit_server.domain.checkpoint import Checkpoint
from remit_server.domain.errors import Denied, Outage, Reason

ISSUE = "/remit.v1.CredentialService/IssueCredentials"
WATCH = "/remit.v1.CredentialService/WatchTask"


def a_call(figures: Figures, method: str = ISSUE, error: BaseException | None = None) -> None:
    """Counts a call that ends."""
    figures.calls.call_ends(method, figures.calls.call_begins(method, str), error)


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (None, "OK", ""),
        (Denied(Reason.POLICY_DENIED, "no"), "PERMISSION_DENIED", "POLICY_DENIED"),
        (Outage(Reason.OVERLOADED, "full"), "RESOURCE_EXHAUSTED", "OVERLOADED"),
        (asyncio.CancelledError(), "CANCELLED", ""),
        (ValueError("a secret"), "INTERNAL", "INTERNAL"),
        (KeyboardInterrupt(), "UNKNOWN", ""),
    ],
)
def test_a_call_counts_by_its_code_and_reason(error: BaseException | None, code: str, reason: str) -> None:
    (figures,) = figures_of()

    a_call(figures, error=error)

    page = page_of(figures)
    assert page("remit_calls_total", method="IssueCredentials", code=code, reason=reason) == 1
    assert page("remit_calls_total") == 1
    assert page("remit_call_duration_seconds_count", method="IssueCredentials") == 1
    assert page("remit_calls_running") == 0


def test_a_stream_is_counted_while_it_runs_and_its_length_is_not() -> None:
    (figures,) = figures_of()

    begun = figures.calls.call_begins(WATCH, str)
    running = page_of(figures)
    figures.calls.call_ends(WATCH, begun, None)

    assert running("remit_calls_running", kind="stream") == 1
    assert page_of(figures)("remit_calls_running") == 0
    assert page_of(figures)("remit_calls_total", method="WatchTask", code="OK") == 1
    assert page_of(figures)("remit_call_duration_seconds_count", method="WatchTask") == 0


def test_an_outage_is_told_by_what_is_out() -> None:
    (figures,) = figures_of()

    for reason in (Reason.LEDGER_UNAVAILABLE, Reason.LEDGER_UNAVAILABLE, Reason.STS_UNAVAILABLE, Reason.RATE_LIMITED):
        a_call(figures, error=Outage(reason, "out"))

    page = page_of(figures)
    assert [page("remit_outages_total", what=what) for what in ("ledger", "sts", "policy")] == [2, 1, 0]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "ok"),
        (Denied(Reason.POLICY_DENIED, "no"), "refused"),
        (Outage(Reason.RATE_LIMITED, "budget"), "rate_limited"),
        (Outage(Reason.OVERLOADED, "full"), "overloaded"),
        (Outage(Reason.STS_UNAVAILABLE, "out"), "unavailable"),
        (asyncio.CancelledError(), "cancelled"),
        (ValueError("wrong"), "failed"),
    ],
)
async def test_a_step_counts_by_its_outcome_and_ends_as_it_would_unseen(
    error: BaseException | None, outcome: str
) -> None:
    (figures,) = figures_of()

    async def work() -> str:
        if error is not None:
            raise error
        return "done"

    found: object
    try:
        found = await observed(figures.steps, Step.STS, work())
    except BaseException as raised:  # noqa: BLE001 - whatever it was
        found = raised

    page = page_of(figures)
    assert found == ("done" if error is None else error)
    assert page("remit_steps_total", step="sts", outcome=outcome) == 1
    assert page("remit_steps_total") == 1
    assert page("remit_step_duration_seconds_count", step="sts") == 1


def test_a_duration_stands_in_its_bucket_and_in_all_above() -> None:
    (figures,) = figures_of()

    for seconds in (0.0005, 0.001, 0.0011, 4.0, 60.0):
        figures.records([], seconds)

    page = page_of(figures)
    name = "remit_ledger_commit_duration_seconds"
    assert [page(f"{name}_bucket", le=le) for le in ("0.001", "0.0025", "2.5", "5.0", "10.0", "+Inf")] == [
        2,
        3,
        3,
        4,
        4,
        5,
    ]
    assert page(f"{name}_count") == 5
    assert page(f"{name}_sum") == pytest.approx(64.0026)


def test_workers_are_told_as_one_whichever_is_asked() -> None:
    one, two = figures_of(2)

    for figures, count in ((one, 3), (two, 4)):
        for _ in range(count):
            a_call(figures)
        figures.waiting = partial(int, count)
        figures.revision = lambda: "a" * 64
        figures.look()

    assert page_of(one).series == page_of(two).series
    page = page_of(two)
    assert page("remit_calls_total", code="OK") == 7
    assert page("remit_call_duration_seconds_count") == 7
    assert page("remit_ledger_waiting_operations") == 7
    assert page("remit_policy_revision_info", revision="a" * 64) == 2
    assert page("remit_workers") == 2


def test_whoever_takes_a_lost_workers_place_counts_on() -> None:
    one, two = figures_of(2)
    a_call(two)
    two.calls.call_begins(ISSUE, str)
    two.waiting = partial(int, 9)
    two.look()

    again = Figures(two.cells, 2, CATALOGUE)
    a_call(again)

    page = page_of(one)
    assert page("remit_calls_total", code="OK") == 2
    assert page("remit_calls_running") == 0
    assert page("remit_ledger_waiting_operations") == 0
    assert page("process_cpu_seconds_total", worker="2") == 0


def test_what_a_forked_worker_counts_is_seen_by_the_others() -> None:
    one, two = figures_of(2)

    child = os.fork()
    if child == 0:
        try:
            a_call(two)
            two.revision = lambda: "b" * 64
            two.look()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)

    assert status == 0
    assert page_of(one)("remit_calls_total", code="OK") == 1
    assert page_of(one)("remit_policy_revision_info", revision="b" * 64) == 1


@pytest.mark.parametrize("revision", ["", "c" * 64, "d" * 5000])
def test_a_text_is_as_long_as_there_is_room(revision: str) -> None:
    part = Cells.of(1)[1]

    part.put_text("x" * 127)
    part.put_text(revision)

    assert part.text == revision[:127]


def test_more_figures_than_there_is_room_for_are_refused() -> None:
    family = Family("remit_many", Kind.COUNTER, "many", {"number": [str(number) for number in range(8193)]})

    with pytest.raises(ValueError, match="8193 figures"):
        Layout.of([family])


def test_a_scraper_that_asks_for_openmetrics_gets_it() -> None:
    (figures,) = figures_of()
    a_call(figures)

    body, content_type = Telling(figures.cells, figures.catalogue)("application/openmetrics-text;version=1.0.0")

    assert content_type.startswith("application/openmetrics-text")
    read: Any = text_string_to_metric_families
    found = {family.name: family for family in read(body.decode())}
    assert [sample.value for sample in found["remit_calls"].samples] == [1]


def a_preview(**changes: object) -> AuditRecord:
    shown = PreviewDecided(WHO, True, "", "role", "", "", "", "")  # noqa: FBT003 - a record
    return replace(shown, **changes)  # type: ignore[arg-type] # its fields


@pytest.mark.parametrize(
    ("records", "name", "labels"),
    [
        ([a_preview()], "remit_decisions_total", {"outcome": "allowed"}),
        ([a_preview(allowed=False, reason="CEILING_EXCEEDED")], "remit_decisions_total", {"outcome": "refused"}),
        ([failed_record()], "remit_grants_total", {"event": "failed"}),
        ([replace(issued_record(), repeated=True)], "remit_grants_total", {"event": "issued_again"}),
    ],
)
def test_a_record_counts_as_what_it_tells(records: Sequence[AuditRecord], name: str, labels: dict[str, str]) -> None:
    (figures,) = figures_of()

    figures.records(records, 0.001)

    page = page_of(figures)
    assert page(name, **labels) == 1
    assert page(name) == 1
    assert page("remit_audit_records_total") == 1


def test_a_reason_that_is_none_of_ours_adds_no_figure() -> None:
    (figures,) = figures_of()
    before = page_of(figures).series

    figures.records([replace(refused_record(), reason="made up")], 0.001)

    page = page_of(figures)
    assert page.series == before
    assert page("remit_decisions_total") == 0
    assert page("remit_audit_records_total", kind="request_refused") == 1


async def test_a_ledger_is_counted_once_its_records_are_on_disk(place: Place) -> None:
    (figures,) = figures_of()
    commits = partial(ObservedCommit, onlooker=figures.steps)

    async with open_ledger(place, FakeClock(), observer=figures.records, commits=commits) as ledger:
        for number in (1, 2):
            await ledger.authorize(opening(number))
            await ledger.issue(grant_id(number), an_issuance(number), issued_record(number))
        await ledger.end_task(task_id(1), COPILOT, NOON)
        await ledger.refuse(None, None, refused_record())
        with pytest.raises(Denied):
            await ledger.issue(grant_id(1), an_issuance(3), issued_record(1))

    page = page_of(figures)
    grants = ("authorized", "issued", "ended", "revoked")
    assert [page("remit_grants_total", event=event) for event in grants] == [2, 2, 1, 0]
    assert [page("remit_tasks_total", event=event) for event in ("started", "ended")] == [2, 1]
    assert page("remit_decisions_total", outcome="allowed") == 2
    assert page("remit_decisions_total", outcome="refused", reason="POLICY_DENIED") == 1
    assert page("remit_steps_total", step="record", outcome="ok") == 6
    assert page("remit_steps_total", step="record", outcome="refused") == 1
    assert page("remit_ledger_commit_records_sum") == page("remit_audit_records_total")


def a_deny(effective_after: int | None = None) -> dict[str, object]:
    """A deny of a revoke at noon, that AWS obeys so many seconds later; None: it is not known to yet."""
    return {
        "revocation_id": "revocation-1",
        "account": "111122223333",
        "tag": "remit:grant",
        "pattern": "a.*",
        "subject_part": "a",
        "last_issued": NOON,
        "covers_until": NOON + timedelta(hours=1),
        "required": True,
        "revoke_time": NOON,
        "effective_time": None if effective_after is None else NOON + timedelta(seconds=effective_after),
    }


async def test_live_grants_and_backlogs_are_read_from_the_ledger(place: Place) -> None:
    (figures,), clock = figures_of(), FakeClock()

    async with open_ledger(place, clock, denying=True) as ledger, own_reader(place) as reads:
        for number in (1, 2, 3):
            await ledger.authorize(opening(number))
            await ledger.issue(grant_id(number), an_issuance(number), issued_record(number))
        await ledger.end_task(task_id(3), COPILOT, NOON)
        look = LedgerFigures(reads, figures, clock).look
        clock.advance(seconds=30)
        await ledger.store.commit(
            lambda batch: batch.connection.execute(insert(denies), [a_deny(), a_deny(20), a_deny(200)])
        )
        await look()
        await look()

    page = page_of(figures)
    assert page("remit_live_grants") == 2
    assert page("remit_audit_trail_records") == 10
    assert page("remit_backlog", what=Backlog.DENIES) == 1
    assert page("remit_backlog_oldest_seconds", what=Backlog.DENIES) == 30
    assert page("remit_revocation_effective_seconds_count") == 1
    assert page("remit_revocation_effective_seconds_sum") == 20
    assert page("remit_ledger_looked_timestamp_seconds") == clock.now().timestamp()


async def test_a_deny_counts_once_though_it_is_on_record_later_than_it_was_obeyed(place: Place) -> None:
    (figures,), clock = figures_of(), FakeClock()

    async with open_ledger(place, clock, denying=True) as ledger, own_reader(place) as reads:
        commit = ledger.store.commit
        await commit(lambda batch: batch.connection.execute(insert(denies), [a_deny(0)]))  # before this process began
        look = LedgerFigures(reads, figures, clock).look
        clock.advance(seconds=15)
        await look()
        await commit(lambda batch: batch.connection.execute(insert(denies), [a_deny(10)]))
        for _ in range(2):
            clock.advance(seconds=15)
            await look()

    page = page_of(figures)
    assert page("remit_revocation_effective_seconds_count") == 1
    assert page("remit_revocation_effective_seconds_sum") == 10


async def test_a_ledger_that_cannot_be_read_leaves_its_figures_as_they_were(tmp_path: Path) -> None:
    (figures,), slept = figures_of(), asyncio.Event()
    figures.put(catalogue.LIVE, 7)
    async with open_ledger(tmp_path / "ledger", FakeClock()), own_reader(tmp_path / "ledger") as reads:
        pass  # closed from here on: it reads nothing any more

    async def sleep(_seconds: float) -> None:
        slept.set()
        await asyncio.Event().wait()

    looking = asyncio.create_task(LedgerFigures(reads, figures, FakeClock(), sleep)())
    await slept.wait()
    looking.cancel()

    assert page_of(figures)("remit_live_grants") == 7
    assert page_of(figures)("remit_ledger_looked_timestamp_seconds") == 0


async def test_whatever_goes_wrong_with_a_look_at_the_ledger_it_is_looked_at_again(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    (figures,), looked = figures_of(), asyncio.Event()

    class FailsOnce:
        """A reader whose first look finds what nobody foresaw."""

        def __init__(self, reads: Reads) -> None:
            self.reads, self.failed = reads, False

        async def read(self, work: Work[Any]) -> Any:
            if not self.failed:
                self.failed = True
                raise ZeroDivisionError("a word of somebody's")
            found = await self.reads.read(work)
            looked.set()
            return found

    async def at_once(_seconds: float) -> None:
        await asyncio.sleep(0)

    async with open_ledger(place, FakeClock()), own_reader(place) as reads:
        looking = asyncio.create_task(LedgerFigures(FailsOnce(reads), figures, FakeClock(), at_once)())
        await asyncio.wait({looking, asyncio.create_task(looked.wait())}, return_when=asyncio.FIRST_COMPLETED)
        is_over = looking.done()
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)

    assert not is_over
    assert caplog.messages == ["the figures of the ledger could not be read: ZeroDivisionError"]


async def test_a_worker_that_cannot_say_what_it_is_at_goes_on_looking(caplog: pytest.LogCaptureFixture) -> None:
    (figures,), asked, fails = figures_of(), asyncio.Event(), iter([True])

    def waiting() -> int:
        if next(fails, False):
            raise ZeroDivisionError("a word of somebody's")
        asked.set()
        return 3

    async def at_once(_seconds: float) -> None:
        await asyncio.sleep(0)

    figures.waiting = waiting
    looking = asyncio.create_task(figures.keep_looking(at_once))
    await asyncio.wait({looking, asyncio.create_task(asked.wait())}, return_when=asyncio.FIRST_COMPLETED)
    is_over = looking.done()
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)

    assert not is_over
    assert page_of(figures)("remit_ledger_waiting_operations") == 3
    assert caplog.messages == ["a worker could not say what it is at: ZeroDivisionError"]


@pytest.mark.parametrize("version", ["abc", "1.x"])
def test_a_scraper_that_asks_for_what_cannot_be_read_gets_text(version: str) -> None:
    (figures,), accept = figures_of(), f"application/openmetrics-text;version={version}"

    body, content_type = Telling(figures.cells, figures.catalogue)(accept)

    assert content_type.startswith("text/plain; version=0.0.4")
    assert b"remit_build_info{" in body


async def test_checkpoints_are_counted_by_what_came_of_them() -> None:
    (figures,), point = figures_of(), Checkpoint(7, "ab" * 32, NOON)

    class Places:
        """A place that takes one checkpoint and no other: a real one would have to be broken in between."""

        taken = 0

        async def __call__(self, _checkpoint: Checkpoint, /) -> None:
            self.taken += 1
            if self.taken > 1:
                raise Undelivered("full")

    keep = CountedCheckpoints(Places(), figures)
    await keep(point)
    with pytest.raises(Undelivered):
        await keep(replace(point, count=9, time=NOON + timedelta(minutes=1)))

    page = page_of(figures)
    assert [page("remit_audit_checkpoints_total", outcome=outcome) for outcome in ("kept", "failed")] == [1, 1]
    assert page("remit_audit_checkpoint_records") == 7
    assert page("remit_audit_checkpoint_timestamp_seconds") == NOON.timestamp()


def test_a_process_says_how_much_memory_it_has() -> None:
    (figures,) = figures_of()

    figures.look()

    assert page_of(figures)("process_resident_memory_bytes", worker="1") > 1_000_000
