"""Watching a task over real gRPC: what is told, to whom, and what keeps its lease."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from tests.approval_world import LEA, approving
from tests.fakes import NOON, World, world
from tests.transport.gateway_server import Failure, Served, as_agent, failure_of, issue_message, served

from remit.v1 import types_pb2
from remit.v1.credential_service_pb2 import (
    EndTaskRequest,
    RenewCredentialsRequest,
    TaskEventKind,
    WatchTaskRequest,
    WatchTaskResponse,
)
from remit_server.adapters.database.lifecycle.leases import DatabaseLeases
from remit_server.adapters.database.revoking.revocations import DatabaseRevocations
from remit_server.application.lifecycle.mailbox import MOST_UNREAD, Mailbox
from remit_server.application.revocation.revoke_grants import RevokeGrants
from remit_server.domain.errors import Outage, Reason
from remit_server.domain.revocation import RevokeCause, Target, TargetKind
from remit_server.domain.task import TaskId
from remit_server.domain.task_event import TaskEvent
from remit_server.domain.task_event import TaskEventKind as Kind

GRACE = Duration(seconds=60)


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Served]:
    async with world(tmp_path) as made, served(made, tmp_path) as running:
        yield running


class Unwritable(DatabaseLeases):
    """Leases in a ledger that can be read and not written: a real one cannot be so for one kind of write alone."""

    async def extend(self, task_ids: Collection[TaskId], /) -> Mapping[TaskId, datetime]:
        raise Outage(Reason.LEDGER_UNAVAILABLE, f"not now, for {len(task_ids)} tasks")


class Watcher:
    """One open stream."""

    def __init__(self, gateway: Served, task_id: str, agent: str = "copilot", **more: Any) -> None:
        self.call = gateway.stub.WatchTask(WatchTaskRequest(task_id=task_id, **more), metadata=as_agent(agent))
        self._events = aiter(self.call)

    async def next(self) -> WatchTaskResponse:
        """Returns the next event."""
        return await anext(self._events)

    async def happening(self, *but: str) -> WatchTaskResponse:
        """Returns the next event that is no heartbeat, nor of these kinds."""
        while kind(event := await self.next()) in {"HEARTBEAT", *but}:
            pass
        return event

    async def beat(self) -> WatchTaskResponse:
        """Returns the next heartbeat."""
        while kind(event := await self.next()) != "HEARTBEAT":
            pass
        return event

    async def failure(self) -> Failure:
        """Returns how it fails, at once."""
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await self.next()
        return failure_of(raised.value)

    async def is_over(self) -> bool:
        """Says whether it ended well after what was told."""
        try:
            await self.next()
        except StopAsyncIteration:
            return True
        return False


def kind(event: WatchTaskResponse) -> str:
    return TaskEventKind.Name(event.kind).removeprefix("TASK_EVENT_KIND_")


async def issued(gateway: Served, **more: Any) -> Any:
    return (await gateway.stub.IssueCredentials(issue_message(**more), metadata=as_agent())).grant


async def sweep(made: World) -> int:
    return await DatabaseLeases(made.ledger.store).sweep(made.clock.now())


async def serving_for(made: World, seconds: int) -> int:
    """Lets a gateway serve, and sweep, for so long; returns how many tasks lost their lease."""
    lost = 0
    for _ in range(seconds // 5):
        made.clock.advance(seconds=5)
        lost += await sweep(made)
    return lost


# What is told


async def test_a_stream_begins_with_a_heartbeat_that_says_when_the_lease_runs_out(gateway: Served) -> None:
    grant = await issued(gateway)

    watcher = Watcher(gateway, grant.task_id, disconnect_grace=GRACE)
    first = await watcher.next()

    assert kind(first) == "HEARTBEAT"
    assert first.lease_expire_time.ToDatetime(UTC) == NOON + timedelta(seconds=60)
    watcher.call.cancel()


async def test_without_a_lease_none_is_told(gateway: Served) -> None:
    grant = await issued(gateway)

    watcher = Watcher(gateway, grant.task_id)

    assert not (await watcher.next()).HasField("lease_expire_time")
    watcher.call.cancel()


async def test_issuing_and_renewing_are_told(gateway: Served) -> None:
    grant = await issued(gateway)
    watcher = Watcher(gateway, grant.task_id)
    await watcher.next()

    await gateway.stub.RenewCredentials(
        RenewCredentialsRequest(name=grant.name, subject_token="alice@copilot"), metadata=as_agent()
    )
    renewed = await watcher.happening("ISSUED")
    other = await issued(gateway, task_id=grant.task_id, request_id="4c1b7d52-3f0e-4a4e-9a3a-0f5f4e0c2b12")
    more = await watcher.happening()

    assert (kind(renewed), list(renewed.grants)) == ("RENEWED", [grant.name])
    assert (kind(more), list(more.grants)) == ("ISSUED", [other.name])
    watcher.call.cancel()


async def test_a_revoke_is_told_with_its_grants_and_its_cause(gateway: Served) -> None:
    grant = await issued(gateway)
    watcher = Watcher(gateway, grant.task_id)
    await watcher.next()

    await revoke(gateway.world, Target(TargetKind.GRANT, grant.name.rpartition("/")[2]))
    told = await watcher.happening("ISSUED")

    assert (kind(told), list(told.grants)) == ("REVOKED", [grant.name])
    assert told.cause == types_pb2.REVOKE_CAUSE_REQUESTED
    watcher.call.cancel()


async def test_a_revoke_of_a_user_is_told_to_whoever_works_for_them_and_to_nobody_else(gateway: Served) -> None:
    gateway.world.user("bob", gateway.world.copilot)
    grant = await issued(gateway)
    other = await issued(gateway, subject_token="bob@copilot", request_id="4c1b7d52-3f0e-4a4e-9a3a-0f5f4e0c2b12")
    watcher, bystander = Watcher(gateway, grant.task_id), Watcher(gateway, other.task_id)
    await watcher.next()
    await bystander.next()

    await revoke(gateway.world, Target(TargetKind.SUBJECT, "alice", "https://idp.example"))
    told = await watcher.happening("ISSUED")
    await gateway.stub.EndTask(EndTaskRequest(task_id=other.task_id), metadata=as_agent())
    nothing_but = await bystander.happening("ISSUED")

    assert (kind(told), list(told.grants)) == ("REVOKED", [grant.name])
    assert kind(nothing_but) == "ENDED"
    watcher.call.cancel()


async def test_the_end_is_told_and_is_the_end(gateway: Served) -> None:
    grant = await issued(gateway)
    watcher = Watcher(gateway, grant.task_id)
    await watcher.next()

    await gateway.stub.EndTask(EndTaskRequest(task_id=grant.task_id), metadata=as_agent())
    told = await watcher.happening("ISSUED")

    assert (kind(told), told.cause) == ("ENDED", types_pb2.REVOKE_CAUSE_TASK_ENDED)
    assert await watcher.is_over()


async def test_a_task_whose_time_is_over_has_ended(gateway: Served) -> None:
    grant = await issued(gateway)
    watcher = Watcher(gateway, grant.task_id)
    await watcher.next()

    gateway.world.clock.advance(hours=8)

    assert kind(await watcher.happening("ISSUED")) == "ENDED"
    assert await watcher.is_over()


async def test_whoever_comes_back_after_the_time_of_a_task_is_told_at_once_that_it_ended(gateway: Served) -> None:
    grant = await issued(gateway)
    gateway.world.clock.advance(hours=8)

    watcher = Watcher(gateway, grant.task_id, disconnect_grace=GRACE)
    events = [await watcher.next(), await watcher.next()]

    assert [kind(event) for event in events] == ["HEARTBEAT", "ENDED"]
    assert not events[0].HasField("lease_expire_time")
    assert await watcher.is_over()


async def test_whoever_watches_where_leases_cannot_be_extended_is_told_to_ask_elsewhere(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        broken = Unwritable(made.ledger.store)
        made.watch = replace(made.watch, watching=replace(made.watch.watching, leases=broken))
        async with served(made, tmp_path) as gateway:
            grant = await issued(gateway)
            watcher = Watcher(gateway, grant.task_id, disconnect_grace=GRACE)
            await watcher.next()

            made.clock.advance(seconds=41)  # two heartbeats were due
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await watcher.happening("ISSUED")

    assert failure_of(raised.value).info.reason == "STREAM_ENDED"


async def test_whoever_comes_back_is_told_what_was_revoked_meanwhile(gateway: Served) -> None:
    grant = await issued(gateway)
    await revoke(gateway.world, Target(TargetKind.GRANT, grant.name.rpartition("/")[2]))

    watcher = Watcher(gateway, grant.task_id)
    events = [await watcher.next(), await watcher.next()]

    assert [kind(event) for event in events] == ["HEARTBEAT", "REVOKED"]
    assert list(events[1].grants) == [grant.name]
    watcher.call.cancel()


async def test_whoever_comes_back_after_the_end_is_told_why_it_ended(gateway: Served) -> None:
    grant = await issued(gateway)
    await revoke(gateway.world, Target(TargetKind.TASK, grant.task_id))

    watcher = Watcher(gateway, grant.task_id, disconnect_grace=GRACE)
    events = [await watcher.next(), await watcher.next()]

    assert [kind(event) for event in events] == ["HEARTBEAT", "ENDED"]
    assert events[1].cause == types_pb2.REVOKE_CAUSE_REQUESTED
    assert await watcher.is_over()


async def test_what_people_decide_is_told_also_to_whoever_comes_back(tmp_path: Path) -> None:
    async with approving(tmp_path) as people, served(people.gateway, tmp_path) as gateway:
        pending = await people.asked()
        watcher = Watcher(gateway, pending.grant.task_id)
        await watcher.next()

        await people.says(LEA, pending.approval)
        told = await watcher.happening("ISSUED")
        back = Watcher(gateway, pending.grant.task_id)
        again = await back.happening()

        assert (kind(told), told.approval) == ("APPROVAL_DECIDED", pending.approval.name)
        assert told.approval_state == types_pb2.APPROVAL_STATE_APPROVED
        assert (kind(again), again.approval, again.approval_state) == (kind(told), told.approval, told.approval_state)
        watcher.call.cancel()
        back.call.cancel()


async def test_what_happens_in_another_process_is_told_too(tmp_path: Path) -> None:
    async with (
        world(tmp_path) as here,
        served(here, tmp_path) as gateway,
        world(tmp_path, clock=here.clock) as there,
    ):
        grant = await issued(gateway)
        watcher = Watcher(gateway, grant.task_id)
        await watcher.next()

        await there.end(there.admitted(), grant.task_id)

        assert kind(await watcher.happening("ISSUED")) == "ENDED"


# Who may, and how much


async def test_a10_a_strangers_watch_finds_nothing_and_is_on_record(gateway: Served) -> None:
    grant = await issued(gateway)
    gateway.world.agent("scribe")

    refused = await Watcher(gateway, grant.task_id, "scribe", disconnect_grace=GRACE).failure()

    assert (refused.code, refused.info.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
    assert (await gateway.world.trail())[-1] == "request_refused"


async def test_a_task_that_never_was_is_not_found(gateway: Served) -> None:
    refused = await Watcher(gateway, "a" * 26).failure()

    assert refused.info.reason == "NOT_FOUND"


@pytest.mark.parametrize("grace", [Duration(seconds=29), Duration(seconds=86_401), Duration(seconds=60, nanos=1)])
async def test_a_lease_is_whole_seconds_between_thirty_and_a_day(gateway: Served, grace: Duration) -> None:
    grant = await issued(gateway)

    refused = await Watcher(gateway, grant.task_id, disconnect_grace=grace).failure()

    assert (refused.code, list(refused.violations)) == (grpc.StatusCode.INVALID_ARGUMENT, ["disconnect_grace"])


async def test_a_watcher_that_reads_too_slowly_is_told_to_come_back_and_nothing_is_piled_up(gateway: Served) -> None:
    grant = await issued(gateway)
    leased = await DatabaseLeases(gateway.world.ledger.store).take(gateway.world.admitted(), grant.task_id, None)
    box = Mailbox(leased, 0)

    for _ in range(MOST_UNREAD + 1):
        box.put(TaskEvent(Kind.ISSUED, NOON))

    with pytest.raises(Exception, match="call again"):
        [_ async for _ in box.events()]


# Leases


async def test_a_task_that_nobody_keeps_ends_after_its_grace_with_its_grants(gateway: Served) -> None:
    grant = await issued(gateway)
    watcher = Watcher(gateway, grant.task_id, disconnect_grace=GRACE)
    await watcher.next()
    await sweep(gateway.world)
    watcher.call.cancel()
    await gone(gateway)

    early = await serving_for(gateway.world, 60)
    late = await serving_for(gateway.world, 10)

    back = Watcher(gateway, grant.task_id)
    await back.next()
    ended = await back.next()
    assert (early, late) == (0, 1)
    assert (kind(ended), ended.cause) == ("ENDED", types_pb2.REVOKE_CAUSE_LEASE_LOST)
    assert (await gateway.world.trail()).count("lease_taken") == 1


async def test_an_open_stream_keeps_the_lease_for_as_long_as_it_is_open(gateway: Served) -> None:
    grant = await issued(gateway)
    watcher = Watcher(gateway, grant.task_id, disconnect_grace=GRACE)
    await watcher.next()
    await sweep(gateway.world)

    for _ in range(10):
        gateway.world.clock.advance(seconds=20)
        beat = await watcher.beat()
        assert beat.lease_expire_time.ToDatetime(UTC) == gateway.world.clock.now() + timedelta(seconds=60)
        assert await serving_for(gateway.world, 10) == 0
    watcher.call.cancel()


@pytest.mark.parametrize("call", ["issue", "repeat", "renew", "preview"])
async def test_a_call_for_the_task_keeps_its_lease(gateway: Served, call: str) -> None:
    made, grant = gateway.world, await issued(gateway)
    leases = DatabaseLeases(made.ledger.store)
    await leases.take(made.admitted(), grant.task_id, timedelta(seconds=60))
    await sweep(made)
    await serving_for(made, 55)

    match call:
        case "issue":
            await made.issue(made.request(task_id=grant.task_id))
        case "repeat":
            await gateway.stub.IssueCredentials(issue_message(), metadata=as_agent())
        case "renew":
            request = RenewCredentialsRequest(name=grant.name, subject_token="alice@copilot")
            await gateway.stub.RenewCredentials(request, metadata=as_agent())
        case _:
            await made.preview(made.ask(task_id=grant.task_id))
    await made.watch.watching.turn()

    assert await serving_for(made, 60) == 0
    assert await serving_for(made, 15) == 1


async def test_a_lease_can_be_changed_and_both_are_on_record(gateway: Served) -> None:
    made, grant = gateway.world, await issued(gateway)
    leases = DatabaseLeases(made.ledger.store)

    await leases.take(made.admitted(), grant.task_id, timedelta(seconds=60))
    await leases.take(made.admitted(), grant.task_id, timedelta(seconds=60))
    changed = await leases.take(made.admitted(), grant.task_id, timedelta(seconds=300))
    kept = await leases.take(made.admitted(), grant.task_id, None)

    assert changed.lease_until == kept.lease_until == NOON + timedelta(seconds=300)
    assert (await made.trail()).count("lease_taken") == 2


async def test_time_without_a_gateway_does_not_count(gateway: Served) -> None:
    made, grant = gateway.world, await issued(gateway)
    leases = DatabaseLeases(made.ledger.store)
    await leases.take(made.admitted(), grant.task_id, timedelta(seconds=60))
    await sweep(made)

    before = (await made.trail()).count("leases_extended")
    made.clock.advance(hours=2)  # nobody serves, and nobody can be reached
    first = await sweep(made)
    early = await serving_for(made, 60)
    late = await serving_for(made, 10)

    assert (first, early, late) == (0, 0, 1)
    assert (await made.trail()).count("leases_extended") == before + 1


async def test_a_stream_on_one_replica_keeps_the_lease_that_another_sweeps(tmp_path: Path) -> None:
    async with (
        world(tmp_path) as here,
        served(here, tmp_path) as gateway,
        world(tmp_path, clock=here.clock) as there,
    ):
        grant = await issued(gateway)
        watcher = Watcher(gateway, grant.task_id, disconnect_grace=GRACE)
        await watcher.next()
        await sweep(there)

        here.clock.advance(seconds=20)
        await watcher.beat()
        kept = await serving_for(there, 50)
        watcher.call.cancel()
        await gone(gateway)
        lost = await serving_for(there, 80)

        assert (kept, lost) == (0, 1)


async def test_a_task_whose_time_was_over_first_is_not_said_to_be_lost(gateway: Served) -> None:
    made, grant = gateway.world, await issued(gateway)
    await DatabaseLeases(made.ledger.store).take(made.admitted(), grant.task_id, timedelta(days=1))
    await sweep(made)

    made.clock.advance(hours=8)
    await sweep(made)
    made.clock.advance(days=1, minutes=1)

    for _ in range(3):
        made.clock.advance(seconds=5)
        await sweep(made)
    assert "task_ended" not in await made.trail()


async def gone(gateway: Served) -> None:
    """Waits until nobody watches any more."""
    while gateway.world.watch.watching.is_watched:  # noqa: ASYNC110 - a client that hung up is told to nobody
        await asyncio.sleep(0.01)


async def revoke(made: World, target: Target) -> None:
    revoke_grants = RevokeGrants(DatabaseRevocations(made.ledger.store), made.issue.entropy)
    await revoke_grants(target, cause=RevokeCause.REQUESTED, by="corp:root", why="a test")
