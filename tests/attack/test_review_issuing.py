"""Issuing under attack: outages at the worst moment, callers who hang up, patterns that cost."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.fakes import READ_REPORTS, ROLES, World, given, permission, world

from remit_server.application.planning.ceilings import Ceilings
from remit_server.application.planning.deliberation import Deliberation, is_small
from remit_server.application.sweep import Sweep
from remit_server.domain.decision import Allow
from remit_server.domain.errors import InvalidRequest, Outage, Reason, RemitError
from remit_server.domain.grant import GrantState
from remit_server.domain.permission import Permission
from remit_server.domain.task import TaskId


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


class FailingLedger:
    """A real ledger that fails in some verbs: a disk cannot be made to fail between two writes on demand."""

    def __init__(self, ledger: object, error: Exception, *verbs: str) -> None:
        self._ledger = ledger
        self._error = error
        self._verbs = verbs

    def __getattr__(self, verb: str) -> Any:
        if verb in self._verbs:
            return self._fails
        return getattr(self._ledger, verb)

    async def _fails(self, *_: object, **__: object) -> None:
        raise self._error


LEDGER_DOWN = Outage(Reason.LEDGER_UNAVAILABLE, "the gateway cannot record this now")


async def test_credentials_that_were_made_but_not_recorded_are_never_called_failed(gateway: World) -> None:
    failing: Any = FailingLedger(gateway.ledger, LEDGER_DOWN, "issue")
    request = gateway.request()

    with pytest.raises(Outage) as raised:
        await replace(gateway.issue, ledger=failing)(request)

    before = await gateway.ledger.remembered(gateway.copilot.actor_id, request.request_id)
    assert raised.value.reason is Reason.LEDGER_UNAVAILABLE
    assert before is not None
    assert before.grant is not None
    assert before.grant.state is GrantState.REVOKING
    assert not before.may_be_tried_again


async def test_a_refusal_that_cannot_be_recorded_is_an_outage_and_no_answer(gateway: World) -> None:
    failing: Any = FailingLedger(gateway.ledger, LEDGER_DOWN, "refuse")

    with pytest.raises(Outage) as raised:
        await replace(gateway.issue, ledger=failing)(
            gateway.request(permission("s3:GetObject", "arn:aws:s3:::payroll/*"))
        )

    assert raised.value.reason is Reason.LEDGER_UNAVAILABLE


async def test_a_caller_who_hangs_up_while_the_authorisation_is_written_leaves_no_orphan(gateway: World) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    class SlowLedger:
        """Holds the caller up between the commit and its answer."""

        def __getattr__(self, verb: str) -> Any:
            return getattr(gateway.ledger, verb)

        async def authorize(self, authorization: Any) -> None:
            await gateway.ledger.authorize(authorization)
            reached.set()
            await go_on.wait()

    slow: Any = SlowLedger()
    issue = replace(gateway.issue, ledger=slow)
    call = asyncio.create_task(issue(gateway.request()))
    await reached.wait()

    call.cancel()
    with suppress(asyncio.CancelledError):
        await call
    go_on.set()
    await issue.to_the_end.settled()

    assert await gateway.trail() == ["task_started", "grant_authorized", "credentials_issued"]


async def test_a_stop_waits_for_what_follows_an_authorisation_whose_caller_hung_up(gateway: World) -> None:
    gateway.sts.gate = asyncio.Event()
    call = asyncio.create_task(gateway.issue(gateway.request()))
    await gateway.sts.called.wait()
    call.cancel()
    with suppress(asyncio.CancelledError):
        await call
    stop = asyncio.create_task(gateway.issue.to_the_end.settled())

    gateway.sts.gate.set()
    await stop

    assert (await gateway.trail())[-1] == "credentials_issued"


async def test_credentials_are_not_said_to_outlive_what_sts_gave(gateway: World) -> None:
    skewed = 300
    answer = gateway.sts.__call__

    async def shorter(order: Any, /, *, deadline: float) -> Any:
        session = await answer(order, deadline=deadline)
        end = session.credentials.expire_time.timestamp() - skewed
        sooner = session.credentials.expire_time.fromtimestamp(end, session.credentials.expire_time.tzinfo)
        return replace(session, credentials=replace(session.credentials, expire_time=sooner))

    issued = given(await replace(gateway.issue, assume_role=shorter)(gateway.request()))

    assert issued.credentials.expire_time == issued.grant.issuances[-1].expire_time
    assert issued.credentials.expire_time < issued.grant.expire_time


def _wide(count: int, unit: str, length: int) -> Permission:
    return permission(
        "s3:GetObject", [f"arn:aws:s3:::reports/{(unit * length)[:length]}{number}" for number in range(count)]
    )


@pytest.mark.parametrize("wide", [_wide(24, "*a?b", 960), _wide(24, "ab?c", 80), _wide(24, "abcd", 960)])
def test_a_few_patterns_are_not_planned_on_the_loop_when_they_are_long_or_full_of_wildcards(wide: Permission) -> None:
    ordinary = permission(["s3:GetObject", "s3:List*"], [f"arn:aws:s3:::reports/2026/{n}/*" for n in range(12)])

    assert is_small([ordinary])
    assert not is_small([wide])


async def test_an_intent_full_of_wildcards_is_an_invalid_request(gateway: World) -> None:
    with pytest.raises(InvalidRequest):
        await gateway.issue(gateway.request(_wide(24, "*a?b", 960)))

    assert gateway.policy.questions == []


async def test_an_actor_whose_caller_hung_up_keeps_its_turn_until_the_thread_is_done() -> None:
    deliberate = Deliberation(Ceilings.of(ROLES, (), "c" * 64))
    loop, started, release, order = asyncio.get_running_loop(), asyncio.Event(), threading.Event(), list[str]()

    def long_work() -> None:
        loop.call_soon_threadsafe(started.set)
        release.wait()
        order.append("first ended")

    first = asyncio.create_task(deliberate.beside_the_loop("corp:copilot", long_work))
    await started.wait()
    second = asyncio.create_task(deliberate.beside_the_loop("corp:copilot", lambda: order.append("second began")))
    first.cancel()
    await deliberate.beside_the_loop("corp:other", lambda: None)

    release.set()
    await second
    with suppress(asyncio.CancelledError):
        await first
    deliberate.close()

    assert order == ["first ended", "second began"]


async def test_a_failure_nobody_thought_of_is_on_record_when_a_task_is_ended(gateway: World) -> None:
    failing: Any = FailingLedger(gateway.ledger, ZeroDivisionError("the secret cause"), "end_task")
    caller = gateway.admitted()

    with pytest.raises(ZeroDivisionError):
        await replace(gateway.end, ledger=failing)(caller, TaskId("a" * 26))

    (event,) = await gateway.events()
    assert event.kind == "request_refused"
    assert '"reason":"INTERNAL"' in event.body_text
    assert "secret cause" not in event.body_text


async def test_the_sweep_survives_a_failure_nobody_thought_of(gateway: World) -> None:
    turns = asyncio.Semaphore(0)

    class BrokenLedger:
        """Fails in a way that no port promises."""

        async def sweep(self, _: object) -> int:
            turns.release()
            raise ZeroDivisionError

    broken: Any = BrokenLedger()
    sweep = Sweep(broken, gateway.rejections, gateway.clock, every=timedelta(milliseconds=1))
    task = asyncio.create_task(sweep())

    await turns.acquire()
    await turns.acquire()

    assert not task.done()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_repeat_is_proven_on_todays_ceilings_beside_the_loop_and_refused_when_they_shrank(
    gateway: World,
) -> None:
    request = gateway.request()
    await gateway.issue(request)
    smaller = replace(ROLES[0], ceiling=ROLES[1].ceiling)
    ceilings = Ceilings.of((smaller, ROLES[1]), (), "d" * 64)
    hearing = replace(gateway.issue.hearing, deliberate=Deliberation(ceilings))

    with pytest.raises(RemitError) as raised:
        await replace(gateway.issue, hearing=hearing)(request)

    assert raised.value.reason is Reason.GRANT_NOT_LIVE
    assert len(gateway.sts.orders) == 1
    assert Allow((READ_REPORTS,)) == gateway.policy.answer


async def test_a_repeat_that_fails_is_not_recorded_as_the_end_of_its_grant(gateway: World) -> None:
    request = gateway.request()
    await gateway.issue(request)
    gateway.sts.failure = Outage(Reason.STS_UNAVAILABLE, "STS is away", credentials_may_exist=True)

    with pytest.raises(Outage):
        await gateway.issue(request)

    (failed,) = [event for event in await gateway.events() if event.kind == "issuance_failed"]
    assert '"state":"ISSUED"' in failed.body_text


async def test_the_record_of_a_refusal_names_the_ceilings_it_was_judged_by(gateway: World) -> None:
    with pytest.raises(RemitError):
        await gateway.issue(gateway.request(permission("s3:GetObject", "arn:aws:s3:::payroll/*")))

    (event,) = await gateway.events()
    assert f'"ceiling_digest":"{gateway.issue.hearing.ceilings.digest}"' in event.body_text
