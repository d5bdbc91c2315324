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
from tests.fake_opa import settings_for
from tests.policy_bundles import DEFAULT_POLICIES, DENY_ALL, OBEDIENT, bundle_of
from tests.real_opa import run_opa

from remit_sandbox.certificates import Authority
from remit_server.adapters.opa.archive import Archive, archive_of
from remit_server.adapters.opa.bundle_server import MEDIA_TYPE, MOST_POLLS, PATH, BundleServer
from remit_server.adapters.policy.bundle import read_bundle
from remit_server.domain.secret import Secret

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return archive_of(bundle_of(tmp_path / "bundle", OBEDIENT))


@pytest.fixture
def another(tmp_path: Path) -> Archive:
    return archive_of(bundle_of(tmp_path / "another", DENY_ALL))


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

    first, second = archive_of(read_bundle(DEFAULT_POLICIES)), archive_of(read_bundle(copy))

    assert first == second
    assert first.etag.startswith('"')


def test_the_archive_holds_what_decides_and_no_tests() -> None:
    bundle = read_bundle(DEFAULT_POLICIES)

    with tarfile.open(fileobj=io.BytesIO(archive_of(bundle).content), mode="r:gz") as tar:
        members = {member.name: member for member in tar.getmembers()}
        manifest = json.loads((tar.extractfile("/.manifest") or io.BytesIO()).read())

    names = {name.removeprefix("/") for name in members}
    assert names == {".manifest", "data.json", *(path for path, _ in bundle.rules)}
    assert not any("_test" in name for name in names)
    assert manifest == {"revision": bundle.revision, "roots": ["remit"], "rego_version": 1}
    assert {(member.mtime, member.uid, member.uname) for member in members.values()} == {(0, 0, "")}


def test_opa_reads_the_archive_as_it_reads_the_folder(tmp_path: Path) -> None:
    packed = tmp_path / "bundle.tar.gz"
    packed.write_bytes(archive_of(read_bundle(DEFAULT_POLICIES)).content)

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
