import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from remit_server.adapters.aws.http_posts import BrokenOff, NotReached, Posts

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Server:
    """Answers each request on a connection with the next of what it was given; None closes without an answer."""

    def __init__(self, answers: list[bytes | None], *, also: bytes = b"") -> None:
        self.answers = answers
        self.also = also  # is sent a moment after each answer, without having been asked for
        self.heads: list[bytes] = []
        self.connections = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while self.answers:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                await reader.readexactly(4)
                answer = self.answers.pop(0)
                if answer is None:
                    break
                writer.write(answer)
                if self.also:
                    await asyncio.sleep(0.02)
                    writer.write(self.also)
                if b"close" in answer:
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(*answers: bytes | None, also: bytes = b"") -> AsyncIterator[tuple[Server, Posts]]:
    served = Server(list(answers), also=also)
    listening = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    served.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    posts = Posts(ssl.create_default_context(), most=1000)
    async with listening:
        yield served, posts
        posts.close()


async def test_a_form_is_posted_with_its_headers_and_its_length() -> None:
    async with serving(OK) as (server, posts):
        answer = await posts(server.url, {"authorization": "signed"}, b"a=bc")

    assert (answer.status, answer.body) == (200, b"hi")
    assert server.heads[0].decode().split("\r\n") == [
        "POST / HTTP/1.1",
        f"host: {server.url.removeprefix('http://')}",
        "accept-encoding: identity",
        "user-agent: remit-server",
        "content-length: 4",
        "authorization: signed",
        "",
        "",
    ]


async def test_the_next_request_takes_the_connection_of_the_last() -> None:
    async with serving(OK, OK, OK) as (server, posts):
        for _ in range(3):
            await posts(server.url, {}, b"a=bc")

    assert server.connections == 1


async def test_requests_at_the_same_time_have_a_connection_each() -> None:
    async with serving(OK, OK) as (server, posts):
        await asyncio.gather(*(posts(server.url, {}, b"a=bc") for _ in range(2)))

    assert server.connections == 2


async def test_a_connection_that_the_server_closes_is_not_taken_again() -> None:
    closing = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    async with serving(closing, OK) as (server, posts):
        for _ in range(2):
            await posts(server.url, {}, b"a=bc")

    assert server.connections == 2


async def test_a_server_that_speaks_without_being_asked_is_not_listened_to() -> None:
    planted = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nplanted"
    async with serving(OK, OK, also=planted) as (server, posts):
        first = await posts(server.url, {}, b"a=bc")
        await asyncio.sleep(0.1)
        second = await posts(server.url, {}, b"a=bc")

    assert (first.body, second.body) == (b"hi", b"hi")
    assert server.connections == 2


@pytest.mark.parametrize("answer", [None, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", b"rubbish\r\n\r\n"])
async def test_what_is_no_whole_answer_was_broken_off(answer: bytes | None) -> None:
    async with serving(answer) as (server, posts):
        with pytest.raises(BrokenOff):
            await posts(server.url, {}, b"a=bc")


async def test_nothing_was_sent_where_nobody_listens() -> None:
    async with serving() as (server, _):
        url = server.url

    with pytest.raises(NotReached):
        await Posts(ssl.create_default_context(), most=1000)(url, {}, b"a=bc")


async def test_whoever_waits_no_longer_takes_the_connection_along() -> None:
    slow = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"
    async with serving(slow, OK) as (server, posts):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await posts(server.url, {}, b"a=bc")
        answer = await posts(server.url, {}, b"a=bc")

    assert answer.body == b"hi"
    assert server.connections == 2


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "\x00", "é\u2028"])
async def test_a_header_that_would_not_stay_one_is_not_sent(value: str) -> None:
    async with serving(OK) as (server, posts):
        with pytest.raises(ValueError, match=r"header|ascii"):
            await posts(server.url, {"authorization": value}, b"a=bc")

    assert server.connections == 0
