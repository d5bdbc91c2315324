"""The client where people have to approve: it says whom to ask, waits politely, and comes back afterwards."""

import asyncio
import pickle
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.approval_world import ASKING, LEA, Approving, approving
from tests.fakes import NOON, FakeClock
from tests.ledger_values import asked as look
from tests.transport.gateway_server import served

import remit
from remit.calling import waiting
from remit_server.application.approvals.ports import Place
from remit_server.domain.approval import ApprovalState

READ = remit.Permission(["s3:GetObject"], ["arn:aws:s3:::reports/2026/q3/*"])


@asynccontextmanager
async def client(folder: Path) -> AsyncIterator[tuple[Approving, remit.Gateway]]:
    """Gives a gateway that asks leads, and the real client of the copilot; both live at the real time."""
    clock = FakeClock(datetime.now(UTC).replace(microsecond=0))
    async with approving(folder, ASKING, clock=clock) as people:
        await _at_the_real_time(people)
        async with served(people.gateway, folder) as running:
            with remit.Gateway(running.address, root_certificates=running.roots, bearer_token="copilot") as gateway:
                yield people, gateway


async def _at_the_real_time(people: Approving) -> None:
    """Has tokens that were issued just now."""
    subjects, now = people.gateway.identity.subjects, people.gateway.clock.now()
    for token, delegation in subjects.items():
        subjects[token] = replace(
            delegation, token_issue_time=now, token_expire_time=now + (delegation.token_expire_time - NOON)
        )


def task(gateway: remit.Gateway, **more: Any) -> remit.TaskBlock:
    return gateway.task("summarise Q3", subject_token="alice@copilot", allow=[READ], lease=None, **more)


async def entered(block: remit.TaskBlock) -> remit.Task:
    """Enters a block in a thread, as a caller without an event loop would."""
    return await asyncio.to_thread(block.__enter__)


async def pending_of(block: remit.TaskBlock) -> remit.ApprovalPending:
    with pytest.raises(remit.ApprovalPending) as raised:
        await entered(block)
    return raised.value


async def approve(people: Approving) -> None:
    """Approves what waits, once something does."""
    while True:
        waits = await people.gateway.approvals.listed(waiting=True, after=None, at_most=1)
        if waits:
            await people.says(LEA, waits[0])
            return
        await asyncio.sleep(0.01)


async def until(people: Approving, query: str) -> None:
    """Returns once the ledger answers the query with something."""
    while True:
        if look(people.gateway.database, query):
            return
        await asyncio.sleep(0.01)


async def test_what_waits_is_told_with_whom_to_ask_and_how_to_come_back(tmp_path: Path) -> None:
    async with client(tmp_path) as (people, gateway):
        pending = await pending_of(task(gateway))

        kept = await people.gateway.approvals.approval(pending.approval.removeprefix("approvals/"))
        assert kept is not None
        assert (pending.digest, pending.task_id, pending.groups) == (kept.digest, kept.task_id, ("leads",))
        assert pending.lapse_time == kept.lapse_time
        assert (pending.reason, pending.remedy) == ("APPROVAL_PENDING", remit.Remedy.ASK_APPROVAL)
        assert f"1 of leads must approve {pending.approval}" in str(pending)
        assert f"request_id={pending.request_id!r}" in str(pending)
        assert str(pickle.loads(pickle.dumps(pending))) == str(pending)  # noqa: S301 - our own


async def test_what_was_approved_is_collected_by_coming_back(tmp_path: Path) -> None:
    async with client(tmp_path) as (people, gateway):
        pending = await pending_of(task(gateway))
        again = await pending_of(task(gateway, request_id=pending.request_id))
        await approve(people)

        block = task(gateway, request_id=pending.request_id)
        collected = await entered(block)

        assert again.approval == pending.approval
        assert collected.id == pending.task_id
        assert collected.grant.approval == pending.approval
        assert collected.credentials().access_key_id.startswith("ASIA")
        await asyncio.to_thread(block.__exit__, None, None, None)


@pytest.mark.parametrize("in_a_loop", [False, True])
async def test_one_that_is_told_to_wait_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, in_a_loop: bool
) -> None:
    caplog.set_level("INFO", "remit")
    monkeypatch.setattr(waiting, "FIRST_PAUSE", 0.01)
    async with client(tmp_path) as (people, gateway):
        block = task(gateway, approval="wait", approval_timeout=timedelta(seconds=60))
        approver = asyncio.create_task(approve(people))

        got = await (block.__aenter__() if in_a_loop else entered(block))

        await approver
        assert got.grant.state is remit.GrantState.ISSUED
        (told,) = [record.getMessage() for record in caplog.records if "waiting for people" in record.getMessage()]
        assert told.startswith(f"waiting for people to approve {got.grant.approval} (leads, until ")
        query = "SELECT state FROM approvals"
        assert look(people.gateway.database, query) == [(ApprovalState.USED.value,)]
        await (block.__aexit__(None, None, None) if in_a_loop else asyncio.to_thread(block.__exit__, None, None, None))


async def test_one_that_waited_long_enough_says_what_it_waited_for(tmp_path: Path) -> None:
    async with client(tmp_path) as (people, gateway):
        pending = await pending_of(task(gateway, approval="wait", approval_timeout=0.2))

        page = await people.show.listed(LEA, waiting=True, after=Place(NOON.replace(year=2100), "z"), at_most=5)
        assert [one.name for one in page.approvals] == [pending.approval]  # it can still be approved and collected


async def test_a_refusal_ends_the_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "FIRST_PAUSE", 0.01)
    async with client(tmp_path) as (people, gateway):
        pending = await pending_of(task(gateway))
        kept = await people.gateway.approvals.approval(pending.approval.removeprefix("approvals/"))
        assert kept is not None
        await people.says(LEA, kept, yes=False)

        with pytest.raises(remit.Refused) as raised:
            await entered(task(gateway, request_id=pending.request_id, approval="wait"))

        assert raised.value.reason == "APPROVAL_REFUSED"


async def test_waiting_that_is_cancelled_ends_the_task_that_nobody_will_come_back_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "FIRST_PAUSE", 0.01)
    async with client(tmp_path) as (people, gateway):
        asked, again = [1], threading.Event()

        def token() -> str:
            """Tells when it is asked for once more, which is after the first answer."""
            if not asked:
                again.set()
            asked.clear()
            return "alice@copilot"

        block = gateway.task("summarise Q3", subject_token=token, allow=[READ], approval="wait")
        entering = asyncio.create_task(block.__aenter__())
        await asyncio.to_thread(again.wait)

        entering.cancel()
        await asyncio.wait([entering])

        await until(people, "SELECT 1 FROM tasks WHERE state = 'ENDED'")
        assert look(people.gateway.database, "SELECT state FROM approvals") == [("LAPSED",)]


async def test_a_preview_says_that_people_would_be_asked(tmp_path: Path) -> None:
    async with client(tmp_path) as (_, gateway):
        outcome = await gateway.preview_async("summarise Q3", subject_token="alice@copilot", allow=[READ])

        assert isinstance(outcome, remit.WouldIssue)
        assert outcome.needs_approval


def test_another_word_than_wait_is_refused(tmp_path: Path) -> None:
    pem = tmp_path / "roots.pem"
    pem.write_text("")
    with pytest.raises(ValueError, match="approval must be"):
        remit.Gateway.task(
            object.__new__(remit.Gateway),
            "x",
            subject_token="t",
            allow=[READ],
            approval="block",  # type: ignore[arg-type] # the mistake
        )


def test_pauses_grow_and_never_pass_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    patience, pending, pauses = waiting.Patience(timedelta(minutes=1)), remit.ApprovalPending("wait"), list[float]()

    while now[0] < 60:
        pauses.append(patience.pause(pending))
        now[0] += pauses[-1]

    with pytest.raises(remit.ApprovalPending):
        patience.pause(pending)
    assert sum(pauses) == pytest.approx(60)
    assert max(pauses) <= 10
    assert len(pauses) < 20
