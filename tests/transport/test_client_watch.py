"""While a task runs it is watched: that keeps its lease, and drops its keys when the gateway says that it is over."""

import gc
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.scripted_gateway import (
    AGENT,
    GRANT,
    REPORTS,
    SECRET_KEY,
    SUBJECT_TOKEN,
    TASK_ID,
    ScriptedGateway,
    Stream,
    event,
    scripted_gateway,
)

import remit
from remit.v1 import types_pb2
from remit_server.domain.errors import Denied, Outage, Reason

SOON = 30  # seconds, after which a test that waits in vain fails
REVOKED = types_pb2.REVOKE_CAUSE_SECURITY_EVENT
LOST = types_pb2.REVOKE_CAUSE_LEASE_LOST


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedGateway]:
    with scripted_gateway(tmp_path) as server:
        yield server


@pytest.fixture
def begin(server: ScriptedGateway) -> Iterator[Callable[..., remit.TaskBlock]]:
    with server.connect() as gateway:
        yield lambda **more: gateway.task("summarise Q3", subject_token=SUBJECT_TOKEN, allow=REPORTS, **more)


Begin = Callable[..., remit.TaskBlock]


def stream_of(server: ScriptedGateway) -> Stream:
    """Plans the next stream and returns it."""
    stream = Stream()
    server.streams.append(stream)
    return stream


def watchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("remit-watch")]


def none_watches() -> None:
    for thread in watchers():
        thread.join(SOON)
        assert not thread.is_alive()


class Forgotten:
    """Holds what a boto3 session holds, and says when it is dropped."""

    def __init__(self, task: remit.Task) -> None:
        self.dropped = threading.Event()
        task._keyring.keep(self)

    def forget(self) -> None:
        self.dropped.set()


@pytest.mark.parametrize(
    ("given", "seconds"), [({}, 60), ({"lease": 300}, 300), ({"lease": timedelta(minutes=2)}, 120)]
)
def test_a_block_gives_its_task_a_lease(
    given: dict[str, object], seconds: int, begin: Begin, server: ScriptedGateway
) -> None:
    with begin(**given):
        assert server.watched.wait(SOON)

    (request,) = server.watches
    assert (request.task_id, request.disconnect_grace.seconds) == (TASK_ID, seconds)


def test_without_a_lease_the_task_is_watched_all_the_same(begin: Begin, server: ScriptedGateway) -> None:
    with begin(lease=None):
        assert server.watched.wait(SOON)

    assert not server.watches[0].HasField("disconnect_grace")


def test_a_block_that_joined_a_task_leaves_its_lease_as_it_is(begin: Begin, server: ScriptedGateway) -> None:
    with begin(task_id=TASK_ID):
        assert server.watched.wait(SOON)

    assert not server.watches[0].HasField("disconnect_grace")


@pytest.mark.parametrize("lease", [29, 86_401, 60.5])
def test_a_lease_out_of_bounds_is_refused_where_it_is_written(lease: float, begin: Begin) -> None:
    with pytest.raises(ValueError, match="lease must be whole seconds"):
        begin(lease=lease)


@pytest.mark.parametrize("kind", ["REVOKED", "ENDED"])
def test_keys_are_dropped_when_the_gateway_says_so_and_the_cause_is_told(
    kind: str, begin: Begin, server: ScriptedGateway
) -> None:
    stream = stream_of(server)
    with begin() as task:
        holder = Forgotten(task)
        stream.tell(event(kind, cause=REVOKED, grants=[GRANT] if kind == "REVOKED" else []))

        assert holder.dropped.wait(SOON)
        with pytest.raises(remit.TaskOver) as raised:
            task.credentials()

    assert raised.value.cause == "SECURITY_EVENT"
    assert "SECURITY_EVENT" in raised.value.message
    assert SECRET_KEY not in repr(vars(task._keyring))


async def test_keys_of_an_event_loops_task_are_dropped_too(begin: Begin, server: ScriptedGateway) -> None:
    stream = stream_of(server)
    async with begin() as task:
        dropped = threading.Event()

        class Holder:
            def forget(self) -> None:
                dropped.set()

        holder = Holder()
        task._keyring.keep(holder)
        stream.tell(event("ENDED", cause=LOST))
        assert dropped.wait(SOON)

        with pytest.raises(remit.TaskOver) as raised:
            await task.credentials()

    assert raised.value.cause == "LEASE_LOST"


def test_boto3_sessions_are_dead_once_the_grant_is_revoked(begin: Begin, server: ScriptedGateway) -> None:
    stream = stream_of(server)
    with begin() as task:
        credentials = task.boto3_session().get_credentials()
        assert credentials is not None
        holder = Forgotten(task)
        stream.tell(event("REVOKED", cause=REVOKED))
        assert holder.dropped.wait(SOON)

        with pytest.raises(remit.TaskOver, match="it was revoked"):
            credentials.get_frozen_credentials()


def test_another_grants_revoke_and_everything_else_leave_the_keys_alone(begin: Begin, server: ScriptedGateway) -> None:
    first, second = stream_of(server), stream_of(server)
    with begin() as task:
        others = [event(kind, grants=[GRANT]) for kind in ("HEARTBEAT", "ISSUED", "RENEWED", "NARROWED")]
        first.tell(*others, event("REVOKED", grants=[GRANT[:-1] + "c"]), event("APPROVAL_DECIDED"))
        first.end()
        assert second.opened.wait(SOON)  # all of the first was heard by then

        assert task.credentials().secret_access_key == SECRET_KEY


BREAKS = {
    "the gateway stops": Outage(Reason.STREAM_ENDED, "the gateway serves elsewhere: call again"),
    "nobody is there": Outage(Reason.LEDGER_UNAVAILABLE, "away"),
    "too many": Outage(Reason.OVERLOADED, "full", retry_after=timedelta(seconds=0.1)),
    "a rejected certificate": Denied(Reason.ACTOR_REJECTED, "who?"),
}


@pytest.mark.parametrize("failure", BREAKS.values(), ids=BREAKS)
def test_a_stream_that_breaks_is_opened_again_with_the_same_lease(
    failure: Exception, begin: Begin, server: ScriptedGateway
) -> None:
    first, second = stream_of(server), stream_of(server)
    with begin() as task:
        first.tell(failure)
        assert second.opened.wait(SOON)

        assert task.credentials().secret_access_key == SECRET_KEY

    assert [request.disconnect_grace.seconds for request in server.watches] == [60, 60]


def test_a_stream_that_cannot_be_opened_is_tried_again(begin: Begin, server: ScriptedGateway) -> None:
    server.streams += [Outage(Reason.LEDGER_UNAVAILABLE, "away")] * 2
    late = stream_of(server)

    with begin():
        assert late.opened.wait(SOON)

    assert len(server.watches) == 3


def test_that_a_task_cannot_be_watched_is_logged_and_holds_no_secret(
    begin: Begin, server: ScriptedGateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="remit")
    server.streams += [Outage(Reason.LEDGER_UNAVAILABLE, "away")] * 4
    late = stream_of(server)

    with begin():
        assert late.opened.wait(SOON)

    told = [record.getMessage() for record in caplog.records if record.name == "remit"]
    assert told == [f"task {TASK_ID} cannot be watched (LEDGER_UNAVAILABLE); it ends when that goes on for 60 s"]


def test_a_task_that_the_gateway_does_not_know_is_over(begin: Begin, server: ScriptedGateway) -> None:
    server.streams.append(Denied(Reason.NOT_FOUND, "no such task"))
    with begin() as task:
        none_watches()

        with pytest.raises(remit.TaskOver, match="no such task"):
            task.credentials()


def test_no_thread_outlives_its_block(begin: Begin, server: ScriptedGateway) -> None:
    stream = stream_of(server)
    with begin():
        assert stream.opened.wait(SOON)
        inside = watchers()

    none_watches()
    assert len(inside) == 1
    assert stream.gone.wait(SOON)


async def test_no_thread_outlives_its_block_in_an_event_loop(begin: Begin, server: ScriptedGateway) -> None:
    stream = stream_of(server)
    async with begin():
        assert stream.opened.wait(SOON)

    none_watches()


def test_a_task_that_nobody_holds_any_more_is_kept_no_longer(begin: Begin, server: ScriptedGateway) -> None:
    stream = stream_of(server)
    block = begin()
    block.__enter__()
    assert stream.opened.wait(SOON)

    del block
    gc.collect()
    stream.tell(event("HEARTBEAT"))

    none_watches()
    assert server.ends == []


def test_a_closed_gateway_is_watched_no_more(server: ScriptedGateway) -> None:
    stream = stream_of(server)
    gateway = server.connect()
    block = gateway.task("q3", subject_token=SUBJECT_TOKEN, allow=REPORTS)
    block.__enter__()
    assert stream.opened.wait(SOON)

    gateway.close()

    none_watches()


PROGRAM = """
import os, sys
import remit
gateway = remit.Gateway(sys.argv[1], ca_file=sys.argv[2], certificate_file=sys.argv[3], key_file=sys.argv[4])
block = gateway.task("q3", subject_token="t", allow=remit.Capability("s3.read_prefix", bucket="b"))
"""
WAYS_OUT = {
    "the end of the program": (PROGRAM + "block.__enter__()\n", 0, 0),
    "an exception in the block": (PROGRAM + "with block:\n    raise KeyError('mine')\n", 1, 1),
    "sys.exit in the block": (PROGRAM + "with block:\n    sys.exit(3)\n", 3, 1),
    "a fork that leaves the block": (
        PROGRAM
        + "with block:\n    if os.fork() == 0:\n        raise SystemExit(0)\n    os.wait()\n    print(len(sys.argv))\n",
        0,
        1,
    ),
}


@pytest.mark.parametrize(("program", "code", "ends"), WAYS_OUT.values(), ids=WAYS_OUT)
def test_a_program_ends_without_hanging_whatever_way_it_leaves(
    program: str, code: int, ends: int, server: ScriptedGateway
) -> None:
    pair = server.authority.issue_client(AGENT)
    files = [server.authority.bundle_path, pair.certificate_path, pair.key_path]

    finished = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program, server.mtls, *files],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "GRPC_VERBOSITY": "ERROR"},
    )

    assert finished.returncode == code, finished.stderr
    assert len(server.ends) == ends
