"""The HTTP server over real sockets: exact paths, bounds on size, time and number, and nothing told to strangers."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import uvloop
from aiohttp import web

from remit_sandbox.certificates import Authority
from remit_server.config.settings import HttpListenerSettings
from remit_server.transport.http import connections
from remit_server.transport.http.connections import Patience
from remit_server.transport.http.server import HttpServer

PLAIN = HttpListenerSettings("127.0.0.1:0")
SHORT = Patience(silent=0.3, request=0.3, taken=0.3)


async def hello(_request: web.Request) -> web.StreamResponse:
    return web.Response(text="hello", headers={"X-Custom": "1"})


async def echo(request: web.Request) -> web.StreamResponse:
    return web.Response(body=await request.read())


async def failing(_request: web.Request) -> web.StreamResponse:
    raise RuntimeError("an inner secret")


async def refusing(_request: web.Request) -> web.StreamResponse:
    raise web.HTTPForbidden(text="an inner secret")


async def hanging(_request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


ROUTES = [
    web.get("/hello", hello),
    web.post("/echo", echo),
    web.get("/failing", failing),
    web.get("/refusing", refusing),
    web.get("/hanging", hanging),
]


@dataclass(frozen=True)
class Answer:
    status: int
    head: str
    body: bytes


@asynccontextmanager
async def serving(
    listener: HttpListenerSettings = PLAIN, *, patience: Patience | None = None, look_every: float = 60
) -> AsyncIterator[int]:
    """Serves the routes, and yields the port."""
    server = HttpServer(listener, ROUTES, patience=patience, look_every=timedelta(seconds=look_every))
    address = await server.start()
    try:
        yield int(address.rpartition(":")[2])
    finally:
        await server.stop(timedelta())


async def asked(port: int, request: str | bytes, tls: ssl.SSLContext | None = None) -> Answer:
    """Sends these bytes on a connection of their own, and returns the first answer to them."""
    name = None if tls is None else "localhost"
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name)
    try:
        writer.write(request if isinstance(request, bytes) else request.encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        status = int(head.split(" ", 2)[1])
        length = next((int(line[15:]) for line in head.lower().split("\r\n") if line.startswith("content-length:")), 0)
        body = b"" if request[:4] in ("HEAD", b"HEAD") else await reader.readexactly(length)
        return Answer(status, head, body)
    finally:
        writer.close()


async def hung_up(reader: asyncio.StreamReader) -> bool:
    """Returns once the server has hung up; what it said before is passed over."""
    try:
        while await reader.read(65_536):
            pass
    except ConnectionError:
        pass
    return True


def get(path: str, method: str = "GET", more: str = "") -> str:
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "authority")


def listener_of(authority: Authority, folder: Path) -> HttpListenerSettings:
    """Puts a fresh certificate into the folder, in place of the one that may be there."""
    pair = authority.issue_server(["localhost"])
    return HttpListenerSettings(
        "127.0.0.1:0",
        (pair.certificate_path.rename(folder / "server.pem"), pair.key_path.rename(folder / "server.key")),
    )


async def test_a_route_is_answered_and_the_software_is_not_told() -> None:
    async with serving() as port:
        answer = await asked(port, get("/hello"))

    assert (answer.status, answer.body) == (200, b"hello")
    assert "X-Custom: 1" in answer.head
    assert "X-Content-Type-Options: nosniff" in answer.head
    assert "server:" not in answer.head.lower()


async def test_head_is_answered_as_get_without_a_body() -> None:
    async with serving() as port:
        answer = await asked(port, get("/hello", "HEAD"))

    assert answer.status == 200
    assert "Content-Length: 5" in answer.head


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get("/"), 404),
        (get("/hello/"), 404),
        (get("//hello"), 404),
        (get("/HELLO"), 404),
        (get("/hello/../echo"), 404),
        (get("/hello", "POST", "Content-Length: 0\r\n"), 405),
        (get("/hello", "OPTIONS"), 405),
        (get("/hello", "DELETE"), 405),
        (get("/echo"), 405),
        (get("/failing"), 500),
        (get("/refusing"), 403),
        ("nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (get("/hello", more=f"X: {'x' * 9000}\r\n"), 400),
        (get("/" + "x" * 9000), 400),
        (get("/hello", more="".join(f"X-{number}: x\r\n" for number in range(60))), 400),
        (get("/hello", more="Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), 400),
    ],
)
async def test_what_is_not_a_right_request_is_turned_away_without_a_word(
    request_: str | bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving() as port:
        answer = await asked(port, request_)

    assert (answer.status, answer.body) == (status, b"")
    assert "connection: close" in answer.head.lower() or answer.head.startswith("HTTP/1.0")
    assert "server:" not in answer.head.lower()
    assert "secret" not in caplog.text


async def test_who_sends_nonsense_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async with serving() as port:
        await asked(port, "nonsense\r\n\r\n")

    assert "nonsense" not in caplog.text


async def test_which_methods_there_are_is_told() -> None:
    async with serving() as port:
        answer = await asked(port, get("/hello", "PUT", "Content-Length: 0\r\n"))

    assert "Allow: GET, HEAD" in answer.head


@pytest.mark.parametrize(("size", "status"), [(65_536, 200), (65_537, 413)])
async def test_a_body_is_bounded(size: int, status: int) -> None:
    async with serving() as port:
        answer = await asked(port, get("/echo", "POST", f"Content-Length: {size}\r\n").encode() + b"x" * size)

    assert answer.status == status


async def test_a_chunked_body_is_bounded_too() -> None:
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"

    async with serving() as port:
        answer = await asked(
            port, get("/echo", "POST", "Transfer-Encoding: chunked\r\n").encode() + chunk * 3 + b"0\r\n\r\n"
        )

    assert answer.status == 413


async def test_a_compressed_body_is_not_unpacked() -> None:
    async with serving() as port:
        answer = await asked(
            port, get("/echo", "POST", "Content-Encoding: gzip\r\nContent-Length: 5\r\n").encode() + b"bombs"
        )

    assert (answer.status, answer.body) == (200, b"bombs")


@pytest.mark.parametrize("request_", [get("/hanging"), get("/echo", "POST", "Content-Length: 9\r\n")])
async def test_a_request_that_takes_too_long_is_ended(request_: str) -> None:
    async with serving(patience=SHORT) as port:
        answer = await asked(port, request_)

    assert answer.status == 408


@pytest.mark.parametrize("said", [b"", b"GET /hello HTTP/1.1\r\nHost: loc", get("/hello").encode()])
async def test_who_is_silent_is_hung_up_on(said: bytes) -> None:
    async with serving(patience=SHORT) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)

        assert await hung_up(reader)
        writer.close()


async def test_who_does_not_take_answers_is_hung_up_on() -> None:
    async with serving(patience=SHORT) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=16)  # reads little unasked
        body = b"x" * 65_536
        request = get("/echo", "POST", "Content-Length: 65536\r\n").encode() + body
        try:
            while True:  # the server stops reading when nobody takes its answers, and then hangs up
                writer.write(request)
                await writer.drain()
        except ConnectionError:
            pass

        assert await hung_up(reader)
        writer.close()


async def test_strangers_that_fill_the_server_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections.Connections.__init__, "__kwdefaults__", {"most": 4})

    async with serving() as port:
        strangers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(12)]
        answer = await asked(port, get("/hello"))
        gone = await asyncio.gather(*(hung_up(reader) for reader, _ in strangers[:8]))
        for _, writer in strangers:
            writer.close()

    assert answer.status == 200
    assert gone == [True] * 8


async def test_over_tls_strangers_that_begin_no_handshake_make_room_too(
    monkeypatch: pytest.MonkeyPatch, authority: Authority, tmp_path: Path
) -> None:
    monkeypatch.setattr(connections.Connections.__init__, "__kwdefaults__", {"most": 4})

    async with serving(listener_of(authority, tmp_path)) as port:
        strangers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(12)]
        answer = await asked(port, get("/hello"), authority.trust())
        gone = await asyncio.gather(*(hung_up(reader) for reader, _ in strangers[:8]))
        for _, writer in strangers:
            writer.close()

    assert answer.status == 200
    assert gone == [True] * 8


@pytest.mark.parametrize("said", [get("/hello"), get("/echo", "POST", "Content-Length: 9\r\nExpect: 100-continue\r\n")])
async def test_strangers_that_hold_places_idle_or_with_half_a_body_make_room_too(
    monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setattr(connections.Connections.__init__, "__kwdefaults__", {"most": 4})

    async with serving() as port:
        strangers = []
        for _ in range(12):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(said.encode())
            await reader.readuntil(b"\r\n\r\n")  # its answer, or 100 Continue
            strangers.append((reader, writer))
        answer = await asked(port, get("/hello"))
        gone = await asyncio.gather(*(hung_up(reader) for reader, _ in strangers[:8]))
        for _, writer in strangers:
            writer.close()

    assert answer.status == 200
    assert gone == [True] * 8


async def test_who_is_at_work_stays_while_silent_ones_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections.Connections.__init__, "__kwdefaults__", {"most": 3})

    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(get("/echo", "POST", "Content-Length: 2\r\nExpect: 100-continue\r\n").encode())
        await reader.readuntil(b"\r\n\r\n")  # 100 Continue: it is at work
        strangers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(12)]
        await asyncio.gather(*(hung_up(stranger) for stranger, _ in strangers[:8]))
        writer.write(b"ok")
        answer = await reader.readuntil(b"ok")
        for one in (writer, *(stranger for _, stranger in strangers)):
            one.close()

    assert answer.startswith(b"HTTP/1.1 200")


async def test_over_tls_who_does_not_finish_the_handshake_is_hung_up_on(authority: Authority, tmp_path: Path) -> None:
    async with serving(listener_of(authority, tmp_path), patience=SHORT) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x16\x03\x01")

        assert await hung_up(reader)
        writer.close()


async def test_a_new_certificate_is_served_without_a_restart(authority: Authority, tmp_path: Path) -> None:
    others = Authority.create(tmp_path / "others")

    async with serving(listener_of(authority, tmp_path), look_every=0.01) as port:
        before = await asked(port, get("/hello"), authority.trust())
        listener_of(others, tmp_path)
        after = await until_trusted(port, others.trust())

    assert (before.status, after.status) == (200, 200)


async def test_a_certificate_without_its_key_changes_nothing(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    others = Authority.create(tmp_path / "others")

    async with serving(listener_of(authority, tmp_path), look_every=0.01) as port:
        others.issue_server(["localhost"]).certificate_path.rename(tmp_path / "server.pem")
        async with asyncio.timeout(60):
            while "cannot be used yet" not in caplog.text:  # noqa: ASYNC110 - a log sets no event
                await asyncio.sleep(0.01)
        answer = await asked(port, get("/hello"), authority.trust())

    assert answer.status == 200
    assert caplog.text.count("cannot be used yet") == 1


async def until_trusted(port: int, trust: ssl.SSLContext) -> Answer:
    """Asks until the certificate is one of these authorities'."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await asked(port, get("/hello"), trust)
            except ssl.SSLCertVerificationError:
                await asyncio.sleep(0.01)


async def test_an_address_that_is_taken_is_told() -> None:
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]

    async with taken:
        server = HttpServer(HttpListenerSettings(f"127.0.0.1:{port}"), ROUTES)
        with pytest.raises(RuntimeError, match=r"listen\.http\.address .* cannot be listened on"):
            await server.start()


@pytest.mark.parametrize(
    "routes", [[web.get("/{name}", hello)], [web.get("/a", hello), web.get("/a", echo)], [web.route("*", "/a", hello)]]
)
def test_a_route_that_is_not_exact_is_refused_at_the_start(routes: list[web.RouteDef]) -> None:
    with pytest.raises(ValueError, match="path"):
        HttpServer(PLAIN, routes)


async def test_requests_that_run_end_before_the_server_does() -> None:
    server = HttpServer(PLAIN, ROUTES)
    port = int((await server.start()).rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(get("/echo", "POST", "Content-Length: 2\r\nExpect: 100-continue\r\n").encode())
    await reader.readuntil(b"\r\n\r\n")

    stopping = asyncio.create_task(server.stop(timedelta(seconds=10)))
    writer.write(b"ok")
    answer = await reader.readuntil(b"ok")
    await stopping
    writer.close()

    assert answer.startswith(b"HTTP/1.1 200")


def test_the_loop_that_gateways_run_on_serves_it_just_as_well(authority: Authority, tmp_path: Path) -> None:
    listener = listener_of(authority, tmp_path)

    async def answers() -> list[int]:
        async with serving() as port:
            plain = [await asked(port, get("/hello")), await asked(port, get("/nothing"))]
        async with serving(listener, patience=SHORT) as port:
            over_tls = await asked(port, get("/hello"), authority.trust())
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await hung_up(reader)
            writer.close()
        return [answer.status for answer in (*plain, over_tls)]

    assert uvloop.run(answers()) == [200, 404, 200]


def test_g6_connections_that_end_in_the_middle_of_their_handshake_leave_nothing_behind(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    listener = listener_of(authority, tmp_path)

    async def answers() -> int:
        async with serving(listener) as port:
            for said in (
                b"",
                b"\x16\x03\x01",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                b"GET / HTTP/1.1\r\n\r\n",
            ):
                for _ in range(50):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.write(said)
                    writer.transport.abort()
            return (await asked(port, get("/hello"), authority.trust())).status

    assert uvloop.run(answers()) == 200
    assert caplog.text == ""
