"""HTTP/2 headers and messages as no client writes them: each oddity is refused, or read as it stands.

Whatever is not answered with OK reached no STS. What only Remit is held to stands in `test_rows_2e_grpc.py`.
"""

import gzip
from collections.abc import Callable

import pytest
from tests.attack.black_box.broker import Scene
from tests.attack.black_box.wire import OK, Call, Headers
from tests.attack.raw_http2 import framed_message, raw_connection


async def called(call: Call, headers: Headers, raw: bytes | None = None) -> str:
    """Makes one call with these headers and bytes; returns its status."""
    async with raw_connection(call) as connection:
        body = framed_message(call.message) if raw is None else raw
        return (await connection.call(headers, body, framed=False)).status


# --- headers ---

# What may be answered with OK is what the library takes although RFC 9113 8.3 does not: it changes nothing.
HEADERS: dict[str, tuple[Callable[[Call], Headers], set[str]]] = {
    "two methods": (lambda call: call.headers(more=[(b":method", b"POST")]), {OK}),
    "two schemes": (lambda call: call.headers(more=[(b":scheme", b"https")]), {OK}),
    "two authorities": (lambda call: call.headers(more=[(b":authority", b"localhost")]), set()),
    "two paths": (lambda call: call.headers(more=[(b":path", call.path.encode())]), {OK}),
    "no method": (lambda call: call.headers(without=":method"), set()),
    "no scheme": (lambda call: call.headers(without=":scheme"), set()),
    "no path": (lambda call: call.headers(without=":path"), set()),
    "no authority": (lambda call: call.headers(without=":authority"), set()),
    "an answer's pseudo header": (lambda call: call.headers(more=[(b":status", b"200")]), {OK}),
    "a pseudo header that nobody knows": (lambda call: call.headers(more=[(b":user", b"root")]), set()),
    "a pseudo header after the others": (
        lambda call: [*call.headers(without=":path"), (b":path", call.path.encode())],
        {OK},
    ),
    "CONNECT with a protocol": (
        lambda call: [*call.with_header(":method", b"CONNECT"), (b":protocol", b"websocket")],
        set(),
    ),
    "upper case": (lambda call: call.headers(more=[(b"X-Actor", b"root")]), set()),
    "upper case of what is looked at": (
        lambda call: [(b"Authorization" if name == b"authorization" else name, v) for name, v in call.headers()],
        set(),
    ),
    "no te": (lambda call: call.headers(without="te"), {OK}),
    "another te": (lambda call: call.with_header("te", b"gzip, chunked"), {OK}),
    "http as the scheme": (lambda call: call.with_header(":scheme", b"http"), {OK}),
    "a scheme that is none": (lambda call: call.with_header(":scheme", b"file:///etc/passwd?"), {OK}),
    "another authority": (lambda call: call.with_header(":authority", b"admin.internal"), {OK}),
    "an authority with a user and a path": (lambda call: call.with_header(":authority", b"root@localhost/x"), {OK}),
    "a host that differs": (lambda call: call.headers(more=[(b"host", b"admin.internal")]), {OK}),
    "connection": (lambda call: call.headers(more=[(b"connection", b"close, authorization")]), {OK}),
    "transfer-encoding": (lambda call: call.headers(more=[(b"transfer-encoding", b"chunked")]), {OK}),
    "a content-length that is too short": (lambda call: call.headers(more=[(b"content-length", b"3")]), {OK}),
    "a content-length that is too long": (lambda call: call.headers(more=[(b"content-length", b"99999")]), {OK}),
    "an empty name": (lambda call: call.headers(more=[(b"", b"x")]), set()),
    "a name with a line break": (lambda call: call.headers(more=[(b"x\r\nauthorization", b"x")]), set()),
    "a value with a line break": (lambda call: call.headers(more=[(b"x", b"a\r\nauthorization: Bearer root")]), {OK}),
    "a name with a colon": (lambda call: call.headers(more=[(b"authorization:", b"Bearer root")]), set()),
    "a deadline that is no time": (lambda call: call.headers(more=[(b"grpc-timeout", b"-1S")]), {OK}),
    "a deadline that is over": (lambda call: call.headers(more=[(b"grpc-timeout", b"0n")]), set()),
    "a deadline of centuries": (lambda call: call.headers(more=[(b"grpc-timeout", b"99999999H")]), {OK}),
    "a method that grpc tunnels": (
        lambda call: call.headers(more=[(b"x-http-method-override", b"DELETE")]),
        {OK},
    ),
    "two encodings": (
        lambda call: call.headers(more=[(b"grpc-encoding", b"identity"), (b"grpc-encoding", b"gzip")]),
        {OK},
    ),
    "the encoding of another world": (lambda call: call.headers(more=[(b"grpc-encoding", b"../../x")]), {OK}),
    "a thousand small headers": (lambda call: call.headers(more=[(b"x", b"")] * 1000), set()),
    "a request that begins with an answer's trailers": (lambda call: call.headers(more=[(b"grpc-status", b"0")]), {OK}),
}


@pytest.mark.parametrize("name", HEADERS)
async def test_g2_odd_headers_are_refused_or_change_nothing(call: Call, scene: Scene, name: str) -> None:
    made, harmless = HEADERS[name]
    before = len(scene.sts_log())

    status = await called(call, made(call))

    assert len(scene.sts_log()) - before == (status == OK)
    assert status != OK or OK in harmless


@pytest.mark.parametrize("methods", [(b"POST", b"GET"), (b"GET", b"POST")], ids=["POST first", "GET first"])
async def test_g1_of_two_methods_one_counts_and_only_post_is_a_call(
    call: Call, scene: Scene, methods: tuple[bytes, bytes]
) -> None:
    before = len(scene.sts_log())

    status = await called(call, [*call.with_header(":method", methods[0]), (b":method", methods[1])])

    assert len(scene.sts_log()) - before == (status == OK)
    assert status != OK or methods[1] == b"POST"


# --- messages ---


def prefixed(flag: int, length: int, message: bytes) -> bytes:
    """Returns a message with any flag and any length before it."""
    return bytes([flag]) + length.to_bytes(4) + message


# Not among them: a whole message and half of another, which the library drops; what is read is the whole one.
MESSAGES: dict[str, tuple[Callable[[bytes], bytes | None], Headers]] = {
    "no message at all": (lambda _: None, []),
    "an empty body": (lambda _: b"", []),
    "half a prefix": (lambda _: b"\0\0\0", []),
    "a prefix and nothing": (lambda message: prefixed(0, len(message), b""), []),
    "a length that is one too long": (lambda message: prefixed(0, len(message) + 1, message), []),
    "a length that is one too short": (lambda message: prefixed(0, len(message) - 1, message), []),
    "a length of four gigabytes": (lambda message: prefixed(0, 2**32 - 1, message), []),
    "two messages": (lambda message: framed_message(message) * 2, []),
    "an honest message and an empty one": (lambda message: framed_message(message) + framed_message(b""), []),
    "an empty message and an honest one": (lambda message: framed_message(b"") + framed_message(message), []),
    "the compressed flag without an encoding": (lambda message: prefixed(1, len(message), message), []),
    "the compressed flag with identity": (
        lambda message: prefixed(1, len(message), message),
        [(b"grpc-encoding", b"identity")],
    ),
    "plain under the name of gzip": (
        lambda message: prefixed(1, len(message), message),
        [(b"grpc-encoding", b"gzip")],
    ),
    "gzip under the name of deflate": (
        lambda message: prefixed(1, len(gzip.compress(message)), gzip.compress(message)),
        [(b"grpc-encoding", b"deflate")],
    ),
    "a flag of 2": (lambda message: prefixed(2, len(message), message), []),
    "a flag of 128, a trailer of grpc-web": (lambda message: prefixed(128, len(message), message), []),
    "JSON": (lambda _: framed_message(b'{"requestId":"x"}'), []),
}


@pytest.mark.parametrize("name", MESSAGES)
async def test_g4_a_message_that_is_not_framed_as_one_is_refused(call: Call, scene: Scene, name: str) -> None:
    made, more = MESSAGES[name]
    before = len(scene.sts_log())

    async with raw_connection(call) as connection:
        status = (await connection.call(call.headers(more=more), made(call.message), framed=False)).status

    assert len(scene.sts_log()) == before
    assert status != OK
