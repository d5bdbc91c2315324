"""G3 and G6: frames in masses and frames that HTTP/2 forbids; the gateway stays up, serves, and does not grow."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    ExtensionFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from tests.attack.raw_http2 import headers, raw_connection
from tests.fakes import world
from tests.transport.gateway_server import Served, as_agent, issue_message, served

PAGE = 4096
MOST_GROWTH = 64 * 1024 * 1024
A_BATCH = 50  # so few that what this side has yet to send is little beside the bound


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Served]:
    async with world(tmp_path) as made, served(made, tmp_path) as running:
        yield running


def plainly() -> bytes:
    """Returns a stranger's headers as HPACK literals without index: the same bytes for every stream."""
    return b"".join(
        b"\x10" + bytes([len(name)]) + name + bytes([len(value)]) + value
        for name, value in headers(authorization=(b"Bearer stranger",))
    )


def whole(stream: int, block: bytes) -> HeadersFrame:
    """Returns headers that end with this frame, of a stream that goes on."""
    frame = HeadersFrame(stream, block)
    frame.flags.add("END_HEADERS")
    return frame


def first_then(first: Frame, then: Frame) -> Callable[[int], bytes]:
    """Returns a flood of one frame after another."""
    return lambda number: first.serialize() if number == 0 else then.serialize()


def rapid_reset(number: int) -> bytes:
    stream = 2 * number + 1
    return whole(stream, plainly()).serialize() + RstStreamFrame(stream, 8).serialize()


def indexed_bomb(number: int) -> bytes:
    """One large header in the table, named 16,000 times by each request."""
    large = b"\x40\x01z\x7f\xa1\x1e" + b"z" * 4000 if number == 0 else b""
    return whole(2 * number + 1, plainly() + large + b"\xbe" * 16_000).serialize()


FLOODS: dict[str, tuple[int, Callable[[int], bytes]]] = {
    "rapid reset": (10_000, rapid_reset),  # CVE-2023-44487
    "streams without end": (5_000, lambda number: whole(2 * number + 1, plainly()).serialize()),
    "continuation": (  # CVE-2024-27316 and its kin
        2_000,
        first_then(HeadersFrame(1, plainly()), ContinuationFrame(1, b"\x10\x01a\x7f\x81\x7c" + b"a" * 16_000)),
    ),
    "empty continuation": (20_000, first_then(HeadersFrame(1, plainly()), ContinuationFrame(1, b""))),
    "settings": (20_000, lambda number: SettingsFrame(0, settings={1: number % 4096}).serialize()),  # CVE-2019-9515
    "ping": (20_000, lambda _: PingFrame(0, b"12345678").serialize()),  # CVE-2019-9512
    "priority": (20_000, lambda number: PriorityFrame(2 * number + 1, depends_on=0, stream_weight=1).serialize()),
    "window": (20_000, lambda _: WindowUpdateFrame(0, window_increment=1).serialize()),
    "empty data": (20_000, first_then(whole(1, plainly()), DataFrame(1, b""))),  # CVE-2019-9518
    "reset of nothing": (20_000, lambda number: RstStreamFrame(2 * number + 1, 8).serialize()),
    "table bomb": (500, indexed_bomb),
    "huge table": (
        500,
        first_then(SettingsFrame(0, settings={1: 2**32 - 1}), whole(1, b"\x3f\xe1\xff\xff\xff\x0f" + plainly())),
    ),
    "unknown frames": (2_000, lambda _: ExtensionFrame(0xBB, stream_id=0, flag_byte=0, body=b"x" * 1000).serialize()),
    "stream zero": (500, lambda _: b"\0\0\0\1\4\0\0\0\0"),
    "even stream": (500, lambda _: whole(2, plainly()).serialize()),
    "frame of 16 MiB": (20, lambda _: b"\xff\xff\xff\0\0\0\0\0\1" + b"x" * 16_384),
    "http/1.1": (500, lambda _: b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
}


def resident() -> int:
    """Returns the bytes of this process, in which the gateway runs, that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


@pytest.mark.parametrize("name", FLOODS)
async def test_g6_a_flood_ends_its_own_connection_at_most_and_leaves_no_growth(gateway: Served, name: str) -> None:
    count, frames = FLOODS[name]
    await gateway.stub.IssueCredentials(issue_message(), metadata=as_agent())
    before = resident()
    async with raw_connection(gateway) as connection:
        reading = asyncio.ensure_future(connection.drain())
        for start in range(0, count, A_BATCH):
            await connection.send(b"".join(frames(number) for number in range(start, min(start + A_BATCH, count))))

        answer = await answered(gateway)

        assert answer
        assert resident() - before < MOST_GROWTH
        assert len(gateway.world.sts.orders) == 2
        reading.cancel()


async def answered(gateway: Served) -> bool:
    """Asks as an honest agent until there is a place: a flood of calls takes them for a moment."""
    message = issue_message(request_id="4c1b7d52-3f0e-4a4e-9a3a-000000000002")
    while True:
        try:
            return bool((await gateway.stub.IssueCredentials(message, metadata=as_agent())).grant.name)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
