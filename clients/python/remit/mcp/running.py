"""Runs the server: over pipes for the copilot that started it, or over HTTP."""

import os
import signal
import ssl
from typing import Final

import anyio
import httpx
import uvicorn

from remit.local.errors import InvalidSettings
from remit.local.wishes import Caller
from remit.mcp.serving import (
    MOST_BODY,
    WhoHasAToken,
    exchange_of,
    http_server_of,
    serving,
    socket_of,
    stdio_server_of,
    the_one_user,
    transport_security,
)

PATH: Final = "/mcp"
STOPS_WITHIN: Final = 10  # seconds


def run(*, name: str, http: bool) -> None:
    """Serves until the client goes (pipes) or the process is stopped (HTTP); raises RemitError."""
    caller = Caller.of(os.environ)
    if http:
        _over_http(caller, name)
    else:
        with serving(caller, the_one_user(caller), socket_of(name)) as tools:
            stdio_server_of(tools).run("stdio")


def _over_http(caller: Caller, name: str) -> None:
    settings = caller.settings.mcp
    verify = ssl.create_default_context(cafile=settings.ca_file)
    host, _, port = settings.listen.rpartition(":")
    if not host or not port.isdigit():
        raise InvalidSettings("mcp.listen is host:port", advice='write it as "127.0.0.1:8765"')
    with httpx.Client(verify=verify) as exchanging:
        who = WhoHasAToken(caller, exchange_of(settings, exchanging))
        with serving(caller, who, socket_of(name), is_shared=settings.exchange is not None) as tools:
            keys = httpx.AsyncClient(verify=verify, follow_redirects=False)
            app = http_server_of(tools, settings, keys).streamable_http_app(
                streamable_http_path=PATH,
                stateless_http=True,
                max_request_body_size=MOST_BODY,
                transport_security=transport_security(settings),
            )
            config = uvicorn.Config(
                app,
                host=host,
                port=int(port),
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=STOPS_WITHIN,
                limit_concurrency=256,
            )
            anyio.run(_served, uvicorn.Server(config), keys)


async def _served(server: uvicorn.Server, keys: httpx.AsyncClient) -> None:
    """Serves until a signal; uvicorn takes SIGINT and SIGTERM itself."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    async with keys:
        await server.serve()
