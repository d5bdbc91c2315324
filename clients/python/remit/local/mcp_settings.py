"""The `[mcp]` table of the client's settings: how it is served over HTTP, and how users confirm in person."""

from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from remit.local.login_settings import LoginSettings, login_settings
from remit.local.tables import Table

DEFAULT_LISTEN: Final = "127.0.0.1:8765"


@dataclass(frozen=True, slots=True)
class ExchangeSettings:
    """How this server gets a user's token for the gateway: by RFC 8693 at the issuer, as a client of its own."""

    token_endpoint: str
    client_id: str
    client_secret_file: Path
    audience: str


@dataclass(frozen=True, slots=True)
class ConfirmSettings:
    """Where people confirm: the gateway's listener for bearer tokens, and the sign-in of its operators."""

    gateway: str
    login: LoginSettings


@dataclass(frozen=True, slots=True)
class McpSettings:
    """All of it. `resource` is the URL of this server as its clients know it, and the audience of their tokens."""

    listen: str = DEFAULT_LISTEN
    resource: str | None = None
    issuer: str | None = None
    ca_file: Path | None = None
    user: str | None = None
    exchange: ExchangeSettings | None = None
    confirm: ConfirmSettings | None = None


def mcp_settings(table: Table) -> McpSettings:
    """Reads the table; raises InvalidSettings."""
    exchange, confirm = table.table("exchange"), table.table("confirm")
    settings = McpSettings(
        listen=table.text("listen") or DEFAULT_LISTEN,
        resource=table.text("resource"),
        issuer=table.text("issuer"),
        ca_file=table.path("ca_file"),
        user=table.text("user"),
        exchange=_exchange(exchange) if exchange else None,
        confirm=_confirm(confirm) if confirm else None,
    )
    table.done()
    for name, url in (("issuer", settings.issuer), ("resource", settings.resource)):
        if url is not None and not (url.startswith("https://") or (name == "resource" and _is_on_loopback(url))):
            table.refuse(f"mcp.{name} must be https: tokens and keys to check them with go there")
    return settings


def _is_on_loopback(url: str) -> bool:
    """Says whether it is an http URL of this machine, by its literal address or by localhost."""
    with suppress(ValueError):
        parts = urlsplit(url)
        host = parts.hostname or ""
        return parts.scheme == "http" and (host == "localhost" or ip_address(host).is_loopback)
    return False


def _exchange(table: Table) -> ExchangeSettings:
    endpoint, client_id = table.text("token_endpoint"), table.text("client_id")
    secret, audience = table.path("client_secret_file"), table.text("audience")
    table.done()
    if endpoint is None or client_id is None or secret is None or audience is None:
        table.refuse("[mcp.exchange] needs token_endpoint, client_id, client_secret_file and audience")
    if not endpoint.startswith("https://"):
        table.refuse("mcp.exchange.token_endpoint must be https")
    return ExchangeSettings(endpoint, client_id, secret, audience)


def _confirm(table: Table) -> ConfirmSettings:
    gateway, login = table.text("gateway"), table.table("login")
    table.done()
    if gateway is None or login is None:
        table.refuse("[mcp.confirm] needs gateway and a table [mcp.confirm.login]")
    return ConfirmSettings(gateway, login_settings(login))
