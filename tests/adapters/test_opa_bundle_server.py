"""The bundle as the gateway serves it to OPA: whose bytes, to whom, and when."""

import asyncio
import io
import json
import shutil
import ssl
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.fake_opa import NONCE, settings_for
from tests.policy_bundles import DEFAULT_POLICIES, DENY_ALL, OBEDIENT, bundle_of
from tests.real_opa import run_opa

from remit_sandbox.certificates import Authority
from remit_server.adapters.opa.archive import Archive, archive_of
from remit_server.adapters.opa.bundle_server import MEDIA_TYPE, MOST_POLLS, PATH, BundleServer
from remit_server.adapters.opa.patience import MOST_CONNECTIONS
from remit_server.adapters.policy.bundles.bundle import read_bundle
from remit_server.domain.secret import Secret

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return archive_of(bundle_of(tmp_path / "bundle", OBEDIENT), NONCE)


@pytest.fixture
def another(tmp_path: Path) -> Archive:
    return archive_of(bundle_of(tmp_path / "another", DENY_ALL), NONCE)


@asynccontextmanager
async def serving(archive: Archive, **more: Any) -> AsyncIterator[tuple[BundleServer, aiohttp.ClientSession]]:
    """Serves an archive, and gives a client of it."""
    server = BundleServer(settings_for(NOWHERE, **more), archive)
    address = await server.start(share_port=False)
    scheme = "https" if "bundle_key_pair" in more else "http"
    async with aiohttp.ClientSession(f"{scheme}://{address}", auto_decompress=False) as client:
        try:
            yield server, client
        finally:
            await server.close()


def polling(etag: str, seconds: int = 60) -> dict[str, str]:
    """Returns the headers with which OPA polls."""
    return {"If-None-Match": etag, "Prefer": f"modes=snapshot,delta;wait={seconds}"}


# --- The archive ---


def test_equal_bundles_make_equal_bytes_whenever_and_wherever_they_are_read(tmp_path: Path) -> None:
    copy = shutil.copytree(DEFAULT_POLICIES, tmp_path / "copy")

    first, second = archive_of(read_bundle(DEFAULT_POLICIES), NONCE), archive_of(read_bundle(copy), NONCE)

    assert first == second
    assert first.etag.startswith('"')


def test_the_archive_holds_what_decides_and_no_tests() -> None:
    bundle = read_bundle(DEFAULT_POLICIES)

    with tarfile.open(fileobj=io.BytesIO(archive_of(bundle, NONCE).content), mode="r:gz") as tar:
        members = {member.name: member for member in tar.getmembers()}
        manifest = json.loads((tar.extractfile("/.manifest") or io.BytesIO()).read())

    names = {name.removeprefix("/") for name in members}
    assert names == {".manifest", "data.json", *(path for path, _ in bundle.rules)}
    assert not any("_test" in name for name in names)
    assert manifest == {"revision": f"{bundle.revision}.{NONCE}", "roots": ["remit"], "rego_version": 1}
    assert {(member.mtime, member.uid, member.uname) for member in members.values()} == {(0, 0, "")}


def test_opa_reads_the_archive_as_it_reads_the_folder(tmp_path: Path) -> None:
    packed = tmp_path / "bundle.tar.gz"
    packed.write_bytes(archive_of(read_bundle(DEFAULT_POLICIES), NONCE).content)

    catalogues = [
        json.loads(run_opa("eval", "--format", "json", "--bundle", str(source), "data.remit.catalog"))
        for source in (packed, DEFAULT_POLICIES)
    ]

    assert catalogues[0] == catalogues[1]


# --- The server ---


async def test_it_serves_the_archive_with_its_tag_and_says_that_it_can_be_polled(archive: Archive) -> None:
    async with serving(archive) as (_, client), client.get(PATH) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == MEDIA_TYPE
        assert answer.headers["ETag"] == archive.etag
        assert "Content-Encoding" not in answer.headers
        assert await answer.read() == archive.content


async def test_who_holds_it_and_does_not_wait_is_told_at_once(archive: Archive) -> None:
    async with serving(archive) as (_, client):
        async with client.get(PATH, headers={"If-None-Match": archive.etag}) as answer:
            assert answer.status == 304
            assert answer.headers["Content-Type"] == MEDIA_TYPE
        async with client.get(PATH, headers=polling(archive.etag, 0)) as answer:
            assert answer.status == 304


async def test_who_waits_gets_the_next_archive_when_it_is_there(archive: Archive, another: Archive) -> None:
    async with serving(archive) as (server, client):
        polls = [asyncio.create_task(fetched(client, polling(archive.etag))) for _ in range(5)]
        assert (await fetched(client, {}))[0] == 200
        assert not any(poll.done() for poll in polls)

        server.serve(another)

        assert await asyncio.gather(*polls) == [(200, another.content)] * 5


async def fetched(client: aiohttp.ClientSession, headers: dict[str, str]) -> tuple[int, bytes]:
    async with client.get(PATH, headers=headers) as answer:
        return answer.status, await answer.read()


@pytest.mark.parametrize("held", ["", '"another"', "*", '"another", {etag}', "W/{etag}"])
async def test_who_holds_something_else_gets_it_without_a_wait(archive: Archive, held: str) -> None:
    async with serving(archive) as (_, client):
        assert await fetched(client, polling(held.format(etag=archive.etag))) == (200, archive.content)


async def test_of_several_tags_only_the_first_is_what_opa_holds(archive: Archive) -> None:
    async with serving(archive) as (_, client):
        assert (await fetched(client, {"If-None-Match": f'{archive.etag}, "before"'}))[0] == 304


async def test_a_stop_does_not_wait_for_those_who_poll(archive: Archive) -> None:
    async with serving(archive) as (server, client):
        poll = asyncio.create_task(fetched(client, polling(archive.etag, 300)))
        assert (await fetched(client, {}))[0] == 200

        await server.close()

        outcome = (await asyncio.gather(poll, return_exceptions=True))[0]
        assert outcome == (304, b"") or isinstance(outcome, aiohttp.ClientError)


async def test_more_polls_than_one_opa_makes_are_turned_away(archive: Archive) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    server = BundleServer(settings_for(NOWHERE), archive)
    address = await server.start(share_port=False)
    async with aiohttp.ClientSession(f"http://{address}", connector=connector) as client:
        polls = [asyncio.create_task(fetched(client, polling(archive.etag))) for _ in range(MOST_POLLS + 1)]
        done, waiting = await asyncio.wait(polls, return_when=asyncio.FIRST_COMPLETED)
        await server.close()
        await asyncio.gather(*waiting, return_exceptions=True)

    assert [poll.result()[0] for poll in done] == [503]


@pytest.mark.parametrize(
    "shown", [None, "Bearer another", "bearer the-token", "Bearer the-token x", "the-token", "Basic dGhlLXRva2Vu"]
)
async def test_without_the_token_nobody_gets_the_bundle(archive: Archive, shown: str | None) -> None:
    headers = {} if shown is None else {"Authorization": shown}
    async with serving(archive, bundle_token=Secret("the-token")) as (_, client):
        status, body = await fetched(client, headers)

        assert (status, archive.content in body) == (401, False)
        assert (await fetched(client, {"Authorization": "Bearer the-token"}))[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", PATH, 405),
        ("PUT", PATH, 405),
        ("DELETE", PATH, 405),
        ("HEAD", PATH, 405),
        ("GET", "/", 404),
        ("GET", "/bundles/", 404),
        ("GET", "/bundles/../bundles/other.tar.gz", 404),
        ("GET", f"{PATH}/", 404),
    ],
)
async def test_there_is_nothing_else_to_be_had(archive: Archive, method: str, path: str, status: int) -> None:
    async with serving(archive) as (_, client), client.request(method, path) as answer:
        assert answer.status == status


async def test_beyond_loopback_it_is_served_over_tls(archive: Archive, tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "authority")
    pair = authority.issue_server(("localhost", "127.0.0.1"))
    files = (pair.certificate_path, pair.key_path)
    async with serving(archive, bundle_key_pair=files) as (_, client):
        trusting = ssl.create_default_context(cafile=str(authority.bundle_path))
        async with client.get(PATH, ssl=trusting) as answer:
            assert await answer.read() == archive.content

        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await fetched(client, {})


# --- Strangers who only hold connections ---

HALF = f"GET {PATH} HTTP/1.1\r\nHost: a\r\n".encode()


@pytest.mark.parametrize("said", [b"", HALF, HALF[:5], HALF + b"Authorization: Bearer the-token\r\n"])
async def test_who_does_not_send_a_whole_header_is_hung_up_on(archive: Archive, said: bytes) -> None:
    async with stranger(archive, patience_seconds=0.2) as (reader, writer):
        writer.write(said)

        assert await gone(reader)


async def test_who_drips_a_header_is_hung_up_on(archive: Archive) -> None:
    async with stranger(archive, patience_seconds=0.2) as (reader, writer):
        writer.write(HALF)
        dripping = asyncio.create_task(drip(writer))

        assert await gone(reader)

        dripping.cancel()


async def drip(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"X: 1\r\n")
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("next_said", [b"", HALF])
async def test_between_two_questions_nobody_is_waited_for_long(archive: Archive, next_said: bytes) -> None:
    async with stranger(archive, patience_seconds=0.2) as (reader, writer):
        writer.write(HALF + b"\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(archive.content))
        writer.write(next_said)

        assert head.startswith(b"HTTP/1.1 200")
        assert await gone(reader)


@pytest.mark.parametrize(
    ("asked", "status"),
    [(f"GET {PATH}", b"401"), ("GET /", b"404"), (f"POST {PATH}", b"405")],
)
async def test_who_is_turned_away_is_hung_up_on(archive: Archive, asked: str, status: bytes) -> None:
    async with stranger(archive, bundle_token=Secret("the-token")) as (reader, writer):
        writer.write(f"{asked} HTTP/1.1\r\nHost: a\r\n\r\n".encode())

        answer = await reader.read()  # to the end, which is there at once

        assert answer.startswith(b"HTTP/1.1 " + status)


async def test_a_poll_is_no_silence(archive: Archive, another: Archive) -> None:
    server = BundleServer(settings_for(NOWHERE), archive, patience_seconds=0.1)
    address = await server.start(share_port=False)
    async with aiohttp.ClientSession(f"http://{address}") as client:
        poll = asyncio.create_task(fetched(client, polling(archive.etag)))
        reader, writer = await asyncio.open_connection(*address.rsplit(":", 1))
        assert await gone(reader)  # who is silent is hung up on, later than the poll would be
        writer.close()
        assert not poll.done()

        server.serve(another)

        assert (await poll)[0] == 200
    await server.close()


async def test_strangers_that_fill_the_server_make_room_for_opa(archive: Archive) -> None:
    server = BundleServer(settings_for(NOWHERE), archive, patience_seconds=60.0)
    address = await server.start(share_port=False)
    host, _, port = address.rpartition(":")
    strangers = [await asyncio.open_connection(host, int(port)) for _ in range(MOST_CONNECTIONS + 8)]
    try:
        async with aiohttp.ClientSession(f"http://{address}") as client:
            assert (await fetched(client, {}))[0] == 200

        held = [asyncio.create_task(reader.read(1)) for reader, _ in strangers]
        await asyncio.wait(held[:9])
        assert [task.done() for task in held] == [True] * 9 + [False] * (MOST_CONNECTIONS - 1)
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)
    finally:
        for _, writer in strangers:
            writer.transport.abort()
        await server.close()


@asynccontextmanager
async def stranger(
    archive: Archive, *, patience_seconds: float = 60.0, **more: Any
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Serves an archive, and gives a bare connection to the server."""
    server = BundleServer(settings_for(NOWHERE, **more), archive, patience_seconds=patience_seconds)
    host, _, port = (await server.start(share_port=False)).rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await server.close()


async def gone(reader: asyncio.StreamReader) -> bool:
    """Says that the server hangs up without another word."""
    async with asyncio.timeout(30):
        try:
            return await reader.read() == b""
        except ConnectionError:
            return True
