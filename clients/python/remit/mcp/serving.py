"""One MCP server on this machine: the tools, the broker behind them, and the socket at which AWS tools ask."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from weakref import WeakValueDictionary

import httpx
from mcp.server import MCPServer
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.settings import AuthSettings
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import AnyHttpUrl

from remit._version import __version__
from remit.errors import Unauthenticated
from remit.local.broker import Broker, Keeping
from remit.local.errors import InvalidSettings
from remit.local.mcp_settings import McpSettings
from remit.local.sharing.answers import Answers
from remit.local.sharing.place import socket_path
from remit.local.sharing.serving import SocketServer
from remit.local.wishes import Caller
from remit.mcp.arguments import Server
from remit.mcp.authorizing import VerifyAccessToken
from remit.mcp.confirming import Confirmation
from remit.mcp.confirming.approvals import Approvals
from remit.mcp.desk import Desk, Owner
from remit.mcp.exchanging import ExchangeToken
from remit.mcp.key_sets import KeySet
from remit.mcp.profiles import NewestToo, Profiles
from remit.mcp.tools import Tools
from remit.secret import Secret

INSTRUCTIONS: Final = (
    "Gives AWS access for one task at a time, as an AWS profile. Ask for what the task needs and no more, use the "
    "profile with any AWS tool, end the task when it is done. A denial is no error of yours: read what stopped it and "
    "what to ask for instead."
)
USER_TOKEN: Final = "REMIT_MCP_USER_TOKEN"  # noqa: S105 - the name of a variable
MOST_BODY: Final = 64 * 1024
Who = Callable[[], tuple[Owner, Caller]]


@contextmanager
def serving(caller: Caller, who: Who, socket: Path, *, is_shared: bool = False) -> Iterator[Tools]:
    """Holds tasks and answers AWS tools at the socket while the block runs; ends every task when it is left.

    `is_shared` says that several users' tasks are held.
    """
    settings = caller.settings.mcp
    with ExitStack() as stack:
        broker = stack.enter_context(Broker(Keeping(ends_idle=False, stays_warm=True)))
        profiles = Profiles(socket, is_shared)
        stack.callback(profiles.close)
        answers = NewestToo(Answers(broker, takes_wishes=False), profiles)
        stack.enter_context(SocketServer(socket, answers))
        confirmation = None
        if settings.confirm is not None:
            approvals = Approvals(settings.confirm.gateway, caller.settings.gateway.ca_file)
            confirmation = Confirmation(approvals, settings.confirm.login)
            stack.callback(confirmation.close)
        yield Tools(Desk(broker), profiles, who, confirmation)


def socket_of(name: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Returns where a server of this name answers AWS tools: beside the endpoint's socket."""
    if not name.isascii() or not name.replace("-", "").isalnum() or len(name) > 32:  # noqa: PLR2004 - sockets' paths are short
        raise InvalidSettings("a server's name is 1 to 32 letters, digits and hyphens", advice="give another --name")
    return Path(socket_path(environ)).with_name(f"mcp-{name}.sock")


def stdio_server_of(tools: Tools) -> "MCPServer[Any]":
    """Returns the server for one user's copilot, which starts it and talks to it by pipes."""
    server = Server("remit", title="Remit", instructions=INSTRUCTIONS, version=__version__)
    tools.offer(server)
    return server


def http_server_of(tools: Tools, settings: McpSettings, keys: httpx.AsyncClient) -> "MCPServer[Any]":
    """Returns the server for whoever has an access token for it; raises InvalidSettings for half a set-up."""
    if settings.resource is None or settings.issuer is None:
        raise InvalidSettings(
            "over HTTP it must be known whose tokens are taken", advice="write resource and issuer under [mcp]"
        )
    server = Server(
        "remit",
        title="Remit",
        instructions=INSTRUCTIONS,
        version=__version__,
        token_verifier=VerifyAccessToken(settings.issuer, settings.resource, KeySet(settings.issuer, keys)),
        auth=AuthSettings(
            issuer_url=AnyHttpUrl(settings.issuer),
            resource_server_url=AnyHttpUrl(settings.resource),
            validate_token_resource=True,
        ),
    )
    tools.offer(server)
    return server


def transport_security(settings: McpSettings) -> TransportSecuritySettings:
    """Returns which hosts and origins may be named: those of the resource and of the address it listens at."""
    url = AnyHttpUrl(settings.resource or f"http://{settings.listen}")
    host = f"{url.host}:{url.port}" if url.port not in {80, 443, None} else str(url.host)
    origins = [f"{url.scheme}://{host}", f"http://{settings.listen}"]
    return TransportSecuritySettings(allowed_hosts=[host, settings.listen], allowed_origins=origins)


def the_one_user(caller: Caller) -> Who:
    """Returns who calls over pipes: always the user whose process this is."""
    return lambda: (Owner(), caller)


class UserTokens(Mapping[str, str]):
    """The environment of one caller over HTTP, in which that caller's token for the gateway is a variable.

    It is exchanged when it is read, for the access token that the caller came with last.
    """

    def __init__(self, exchange: ExchangeToken, environ: Mapping[str, str]) -> None:
        self._exchange = exchange
        self._environ = environ
        self.access_token: Secret[str] = Secret("")

    def __getitem__(self, name: str) -> str:
        return self._exchange(self.access_token).reveal() if name == USER_TOKEN else self._environ[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._environ)

    def __len__(self) -> int:
        return len(self._environ)


class WhoHasAToken:
    """Says who calls over HTTP, by the access token that was verified, and on which token the gateway is asked.

    With `exchange` each caller's own; without it the one of this process, and only for the user named in [mcp].
    """

    def __init__(self, caller: Caller, exchange: ExchangeToken | None) -> None:
        self._caller = caller
        self._exchange = exchange
        self._users: WeakValueDictionary[Owner, UserTokens] = WeakValueDictionary()  # while a task or a call needs them

    def __call__(self) -> tuple[Owner, Caller]:
        """Returns whose tasks they are, and the settings to ask on; raises Unauthenticated."""
        token = get_access_token()
        if token is None or not token.subject:
            raise Unauthenticated("no access token came with this call", reason="ACTOR_REJECTED")
        owner = Owner(str((token.claims or {}).get("iss", "")), token.subject, token.client_id)
        if self._exchange is None:
            if token.subject != self._caller.settings.mcp.user:
                raise Unauthenticated(
                    "this server works for one user, and the access token is another's", reason="SUBJECT_TOKEN_REJECTED"
                )
            return owner, self._caller
        user = self._users.setdefault(owner, UserTokens(self._exchange, self._caller.environ.reveal()))
        user.access_token = Secret(token.token)
        return owner, Caller(replace(self._caller.settings, subject_token=f"env:{USER_TOKEN}"), Secret(user))


def exchange_of(settings: McpSettings, client: httpx.Client) -> ExchangeToken | None:
    """Returns how users' tokens are exchanged, None where they are not; raises InvalidSettings."""
    told = settings.exchange
    if told is None:
        return None
    try:
        secret = Secret(told.client_secret_file.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError):
        raise InvalidSettings(
            "mcp.exchange.client_secret_file cannot be read", advice="write the client's secret there, mode 0600"
        ) from None
    return ExchangeToken(told.token_endpoint, told.client_id, secret, told.audience, client)
