"""HTTP/2 frames as no client writes them, one at a time and in masses, at a broker in a process of its own.

Each ends its stream or its connection or is passed over; others are served meanwhile, and memory stays bounded. What
only Remit is held to stands in `test_rows_2e_places.py` and `test_rows_2e_floods.py`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.attack.black_box.broker import COPILOT, CRAWLER, Broker, Given, Scene
from tests.attack.black_box.wire import ASK, OK, Call, Headers
from tests.attack.raw_http2 import RawConnection, framed_message, raw_connection, raw_socket

PAGE = 4096
MOST_GROWTH = 64 * 1024 * 1024

# --- frames ---


def raw(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    """Returns a frame that no library would write."""
    return len(body).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + body


def literally(headers: Headers) -> bytes:
    """Returns headers as HPACK literals without index: they mean the same on every connection."""

    def text(value: bytes) -> bytes:
        return (bytes([len(value)]) if len(value) < 127 else b"\x7f" + varint(len(value) - 127)) + value

    return b"".join(b"\x10" + text(name) + text(value) for name, value in headers)


def varint(number: int) -> bytes:
    """Returns a number as HPACK goes on with it (RFC 7541 5.1)."""
    return bytes([number & 127 | 128]) + varint(number >> 7) if number > 127 else bytes([number])


OddFrames = Callable[[Call, int], bytes]
# Each is sent after the headers of an honest call, on its stream, before its message.
FRAMES: dict[str, OddFrames] = {
    "a window that is opened by nothing": lambda _, stream: raw(8, 0, stream, b"\0\0\0\0"),
    "the connection's window, opened by nothing": lambda _, __: raw(8, 0, 0, b"\0\0\0\0"),
    "a window past 2^31": lambda _, stream: raw(8, 0, stream, b"\x7f\xff\xff\xff") * 2,
    "the connection's window past 2^31": lambda _, __: raw(8, 0, 0, b"\x7f\xff\xff\xff") * 2,
    "a window update of three bytes": lambda _, stream: raw(8, 0, stream, b"\0\0\1"),
    "initial windows past 2^31": lambda _, __: raw(4, 0, 0, b"\0\4\xff\xff\xff\xff"),
    "frames of one byte": lambda _, __: raw(4, 0, 0, b"\0\5\0\0\0\1"),
    "settings of a stream": lambda _, stream: raw(4, 0, stream, b""),
    "settings of five bytes": lambda _, __: raw(4, 0, 0, b"\0\1\0\0\0"),
    "an acknowledgement that says something": lambda _, __: raw(4, 1, 0, b"\0\1\0\0\0\0"),
    "an acknowledgement of nothing": lambda _, __: raw(4, 1, 0, b""),
    "a ping of seven bytes": lambda _, __: raw(6, 0, 0, b"1234567"),
    "a ping of a stream": lambda _, stream: raw(6, 0, stream, b"12345678"),
    "a stream that depends on itself": lambda _, stream: raw(2, 0, stream, stream.to_bytes(4) + b"\0"),
    "a promise by a client": lambda call, stream: raw(5, 4, stream, b"\0\0\0\2" + literally(call.headers())),
    "a continuation of nothing": lambda _, stream: raw(9, 4, stream, b""),
    "headers of no stream": lambda call, _: raw(1, 5, 0, literally(call.headers())),
    "headers of an even stream": lambda call, _: raw(1, 5, 2, literally(call.headers())),
    "data of no stream": lambda call, _: raw(0, 1, 0, framed_message(call.message)),
    "data of a stream that is not open": lambda call, _: raw(0, 1, 9999, framed_message(call.message)),
    "a reset of a stream that is not open": lambda _, __: raw(3, 0, 9999, b"\0\0\0\x08"),
    "a reset of three bytes": lambda _, stream: raw(3, 0, stream, b"\0\0\x08"),
    "padding that is longer than the frame": lambda _, stream: raw(0, 8, stream, b"\xff\0\0\0"),
    "padding in an empty frame": lambda _, stream: raw(0, 8, stream, b""),
    "headers that are padded past their end": lambda _, __: raw(1, 0x0D, 9999, b"\xff\x82"),
    "headers cut by another stream's frame": lambda call, _: (
        raw(1, 0, 9999, literally(call.headers())) + raw(6, 0, 0, b"12345678")
    ),
    "an index into nothing": lambda _, __: raw(1, 5, 9999, b"\x80"),
    "an index past the table": lambda _, __: raw(1, 5, 9999, b"\xff\xff\xff\xff\x7f"),
    "a number without end": lambda _, __: raw(1, 5, 9999, b"\x7f" + b"\xff" * 64),
    "a table larger than was agreed": lambda _, __: raw(1, 5, 9999, b"\x3f" + varint(2**31)),
    "a string longer than the block": lambda _, __: raw(1, 5, 9999, b"\x10\x7f\xff\xff\xff\x7fx"),
    "Huffman padding of zeros": lambda _, __: raw(1, 5, 9999, b"\x10\x81\x00\x01x"),
    "a frame of a kind that nobody knows": lambda _, stream: raw(0xEE, 0xFF, stream, b"x" * 100),
    "flags that nobody knows": lambda _, stream: raw(0, 0xF6, stream, b""),
    "a farewell": lambda _, __: raw(7, 0, 0, b"\0\0\0\0\0\0\0\0so long"),
}


@pytest.mark.parametrize("name", FRAMES)
async def test_g6_an_odd_frame_ends_its_stream_or_its_connection_or_is_passed_over(
    broker: Broker, call: Call, scene: Scene, name: str
) -> None:
    before = len(scene.sts_log())

    async with raw_connection(call) as connection:
        number = connection.open_stream(call.headers())
        await connection.flush()
        await connection.send(FRAMES[name](call, number))
        await connection.send(raw(0, 1, number, framed_message(call.message)))
        answer = await connection.answer(number)

    reached = len(scene.sts_log()) - before
    assert answer.over or connection.gone
    assert reached == (answer.status == OK) or (connection.gone and reached <= 1)
    assert isinstance(await asyncio.to_thread(broker.exchange, COPILOT, scene.of_user("alice"), ASK), Given)


# --- in masses ---


def opened(call: Call, number: int) -> bytes:
    """Returns the headers of an honest call that goes on, on the stream of that number."""
    return raw(1, 4, 2 * number + 1, literally(call.headers()))


def whole(call: Call, number: int) -> bytes:
    """Returns an honest call, whole."""
    return opened(call, number) + raw(0, 1, 2 * number + 1, framed_message(call.message))


Flood = Callable[[Call, int], bytes]
FLOODS: dict[str, tuple[int, Flood]] = {
    # CVE-2025-8671: what is wrong enough for the server to end the stream by itself, and not the connection
    "made you reset, by a window": (
        2_000,
        lambda call, number: opened(call, number) + raw(8, 0, 2 * number + 1, b"\0\0\0\0"),
    ),
    "made you reset, by too much window": (
        2_000,
        lambda call, number: opened(call, number) + raw(8, 0, 2 * number + 1, b"\x7f\xff\xff\xff") * 2,
    ),
    "made you reset, by data after the end": (
        2_000,
        lambda call, number: raw(1, 5, 2 * number + 1, literally(call.headers())) + raw(0, 1, 2 * number + 1, b"x"),
    ),
    "made you reset, by headers after the end": (
        2_000,
        lambda call, number: raw(1, 5, 2 * number + 1, literally(call.headers())) + opened(call, number),
    ),
    "whole calls that are reset at once": (  # CVE-2023-44487, by somebody who may call
        300,
        lambda call, number: whole(call, number) + raw(3, 0, 2 * number + 1, b"\0\0\0\x08"),
    ),
    "padding": (  # CVE-2019-9518 and its kin: frames that count, and hold nothing
        5_000,
        lambda call, number: (opened(call, 0) if number == 0 else b"") + raw(0, 8, 1, b"\xff" + b"\0" * 255),
    ),
    "headers without names": (2_000, lambda _, number: raw(1, 5, 2 * number + 1, b"\x10\0\0" * 100)),  # CVE-2019-9516
    "large settings": (2_000, lambda _, __: raw(4, 0, 0, b"\0\3\0\0\0\1" * 2_000)),
    "settings of a window that moves": (
        5_000,
        lambda call, number: (
            (opened(call, 0) if number == 0 else b"") + raw(4, 0, 0, b"\0\4" + (number % 2 * 65_535).to_bytes(4))
        ),
    ),
    "farewells": (5_000, lambda _, __: raw(7, 0, 0, b"\0\0\0\0\0\0\0\0so long")),
    "promises": (2_000, lambda call, number: raw(5, 4, 1, (2 * number + 2).to_bytes(4) + literally(call.headers()))),
    "table sizes": (2_000, lambda _, number: raw(1, 5, 2 * number + 1, b"\x3f\xe1\x1f\x20" * 200)),
}


def resident(broker: Broker) -> int:
    """Returns the bytes of the broker's process that are in memory; 0 for a broker that has none here."""
    return int(Path(f"/proc/{broker.process}/statm").read_text().split()[1]) * PAGE if broker.process else 0


@asynccontextmanager
async def unread(call: Call) -> AsyncIterator[RawConnection]:
    """Opens a connection on which whatever comes back is read and forgotten."""
    async with raw_socket(call) as connection:
        connection.h2.initiate_connection()
        await connection.flush()
        reading = asyncio.ensure_future(connection.drain())
        yield connection
        reading.cancel()


@pytest.mark.parametrize("name", FLOODS)
async def test_g6_a_flood_of_somebody_who_may_call_leaves_others_served_and_memory_bounded(
    broker: Broker, call: Call, scene: Scene, name: str
) -> None:
    count, frames = FLOODS[name]
    other = scene.of_user("alice", CRAWLER)
    before, sent = resident(broker), len(scene.sts_log())

    async with unread(call) as connection:
        for start in range(0, count, 50):
            await connection.send(b"".join(frames(call, number) for number in range(start, min(start + 50, count))))
        others = await asyncio.to_thread(broker.exchange, CRAWLER, other, ASK)

    assert isinstance(others, Given), others
    assert resident(broker) - before < MOST_GROWTH
    grants = {request.tags["remit:grant"] for request in scene.sts_log()[sent:]}
    assert len(grants) <= 2  # that of the one request of all those calls, and the other agent's
    while not isinstance(await asyncio.to_thread(broker.exchange, COPILOT, scene.of_user("bob"), ASK), Given):
        pass  # its own places are free again once its calls are over
