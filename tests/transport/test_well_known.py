"""The issuer's documents over HTTP, as AWS and caches ask for them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from tests.signing_key_files import fresh_key, put_key
from tests.web_identity_world import DISCOVERY, KEY_SET, URL, IssuerFolder

from remit_server.adapters.issuer.signing_keys import SigningKeys
from remit_server.config.settings import HttpListenerSettings
from remit_server.transport.http.server import HttpServer
from remit_server.transport.http.well_known import well_known_routes


@asynccontextmanager
async def serving(keys: SigningKeys) -> AsyncIterator[aiohttp.ClientSession]:
    server = HttpServer(HttpListenerSettings("127.0.0.1:0"), well_known_routes(keys))
    address = await server.start()
    try:
        async with aiohttp.ClientSession(f"http://{address}") as client:
            yield client
    finally:
        await server.stop(timedelta())


@pytest.mark.parametrize("path", [DISCOVERY, KEY_SET])
@pytest.mark.parametrize("prefix", ["", "/issuers/remit"])
async def test_a_document_is_served_below_the_url_with_its_tag(tmp_path: Path, prefix: str, path: str) -> None:
    keys = IssuerFolder.create(tmp_path, url=URL + prefix).keys()

    async with serving(keys) as client, client.get(prefix + path) as answer:
        body = await answer.read()

    assert answer.status == 200
    assert body == keys.documents[path]()
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "public, max-age=300"


@pytest.mark.parametrize("held", ["{tag}", '"another", {tag}', "W/{tag}", "*"])
async def test_who_holds_the_document_is_not_sent_it_again(tmp_path: Path, held: str) -> None:
    async with serving(IssuerFolder.create(tmp_path).keys()) as client:
        async with client.head(KEY_SET) as first:
            tag = first.headers["ETag"]
        async with client.get(KEY_SET, headers={"If-None-Match": held.format(tag=tag)}) as second:
            body = await second.read()

    assert (second.status, body) == (304, b"")
    assert second.headers["ETag"] == tag


async def test_another_key_is_another_tag(tmp_path: Path) -> None:
    folder = IssuerFolder.create(tmp_path)

    async with serving(folder.keys()) as client, client.get(KEY_SET) as before:
        pass
    put_key(folder.coming, fresh_key())
    headers = {"If-None-Match": before.headers["ETag"]}
    async with serving(folder.keys()) as client, client.get(KEY_SET, headers=headers) as after:
        pass

    assert after.status == 200
    assert after.headers["ETag"] != before.headers["ETag"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_they_can_only_be_read(tmp_path: Path, method: str) -> None:
    async with serving(IssuerFolder.create(tmp_path).keys()) as client, client.request(method, KEY_SET) as answer:
        pass

    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
