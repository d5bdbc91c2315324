"""The figures over HTTP: at one path, for those who show the token where there is one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import aiohttp
import pytest
from tests.metrics_world import figures_of

from remit_server.adapters.metrics.telling import Telling
from remit_server.config.settings import HttpListenerSettings
from remit_server.domain.secret import Secret
from remit_server.transport.http.metrics import metrics_routes
from remit_server.transport.http.server import HttpServer

TOKEN = Secret("a-token-for-scrapers")


@asynccontextmanager
async def serving(token: Secret | None = None) -> AsyncIterator[aiohttp.ClientSession]:
    (figures,) = figures_of()
    routes = metrics_routes(Telling(figures.cells, figures.catalogue), figures.look, token)
    server = HttpServer(HttpListenerSettings("127.0.0.1:0", None, "listen.metrics"), routes)
    address = await server.start()
    try:
        async with aiohttp.ClientSession(f"http://{address}") as client:
            yield client
    finally:
        await server.stop(timedelta())


async def test_the_page_is_text_that_is_not_kept() -> None:
    async with serving() as client, client.get("/metrics") as answer:
        body = await answer.text()

    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "remit_build_info{" in body


@pytest.mark.parametrize("path", ["/", "/metrics/", "/Metrics", "/debug"])
async def test_nothing_else_is_there(path: str) -> None:
    async with serving() as client, client.get(path) as answer:
        pass

    assert answer.status == 404


async def test_whoever_shows_the_token_is_told() -> None:
    shown = {"Authorization": f"Bearer {TOKEN.reveal()}"}

    async with serving(TOKEN) as client, client.get("/metrics", headers=shown) as answer:
        body = await answer.text()

    assert answer.status == 200
    assert TOKEN.reveal() not in body


@pytest.mark.parametrize(
    "shown",
    [
        [],
        [("Authorization", TOKEN.reveal())],
        [("Authorization", "Bearer another")],
        [("Authorization", f"bearer {TOKEN.reveal()}")],
        [("Authorization", f"Bearer {TOKEN.reveal()}x")],
        [("Authorization", f"Bearer {TOKEN.reveal()}"), ("Authorization", f"Bearer {TOKEN.reveal()}")],
    ],
)
async def test_nobody_else_is_told_where_there_is_a_token(shown: list[tuple[str, str]]) -> None:
    async with serving(TOKEN) as client, client.get("/metrics", headers=shown) as answer:
        body = await answer.text()

    assert (answer.status, body) == (401, "")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
