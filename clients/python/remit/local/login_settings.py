"""How people sign in: a `[login]` table."""

from dataclasses import dataclass
from pathlib import Path

from remit.local.tables import Table


@dataclass(frozen=True, slots=True)
class LoginSettings:
    """How people sign in: the issuer, this client's id there, and which of its tokens is the subject token."""

    issuer: str
    client_id: str
    scopes: tuple[str, ...] = ("openid", "offline_access")
    audience: str | None = None
    token: str = "id_token"  # noqa: S105 - the name of a kind of token
    ca_file: Path | None = None


def login_settings(table: Table) -> LoginSettings:
    """Reads the table; raises InvalidSettings."""
    issuer, client_id = table.text("issuer"), table.text("client_id")
    if issuer is None or client_id is None:
        table.refuse(f"{table.name} needs issuer and client_id")
    usual = LoginSettings(issuer, client_id)
    settings = LoginSettings(
        issuer=issuer,
        client_id=client_id,
        scopes=table.texts("scopes") or usual.scopes,
        audience=table.text("audience"),
        token=table.choice("token", ("id_token", "access_token")),
        ca_file=table.path("ca_file"),
    )
    table.done()
    return settings
