"""Gives a command about published revisions the options that say whom it asks."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, Final, ParamSpec

import typer

from remit_server.cli.remote import OPTIONS, failure, on_a_gateway, with_options

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.cli.policy.naming.desk import Desk
    from remit_server.transport.grpc.operator_client import OperatorClient

P = ParamSpec("P")
_gateway, _ = OPTIONS["gateway"]
_GROUP: Final = "Without a gateway"
Offline = Annotated[
    bool,
    typer.Option("--offline", help="Do it on the database itself, when no gateway answers.", rich_help_panel=_GROUP),
]
Database = Annotated[
    str,
    typer.Option(
        "--database",
        "-d",
        envvar="REMIT_DATABASE",
        help="Its database: sqlite:////path, or postgresql://role@host/database.",
        rich_help_panel=_GROUP,
    ),
]
PasswordFile = Annotated[
    Path | None,
    typer.Option("--password-file", dir_okay=False, help="The file with the role's password.", rich_help_panel=_GROUP),
]
_OPTIONS: Final[dict[str, tuple[Any, Any]]] = {
    **OPTIONS,
    "gateway": (_gateway, ""),
    "offline": (Offline, False),
    "database": (Database, ""),
    "password_file": (PasswordFile, None),
}


Named = Annotated[
    str, typer.Option("--gateway", "-g", metavar="HOST:PORT", help="Asks this gateway.", rich_help_panel="Connection")
]
_NAMED: Final[dict[str, tuple[Any, Any]]] = {**OPTIONS, "gateway": (Named, "")}


def may_ask_a_gateway(command: "Callable[Concatenate[OperatorClient | None, P], None]") -> Callable[..., None]:
    """Gives a command that needs no gateway the options of a connection: it gets one only where --gateway is given.

    The variable REMIT_GATEWAY does not count here: whoever set it for other commands still works on files.
    """

    def serve(given: dict[str, Any], act: "Callable[[OperatorClient | None], None]") -> None:
        if given["gateway"]:
            on_a_gateway(given, act)
        else:
            act(None)

    return with_options(command, _NAMED, serve)


def asks_a_desk(command: "Callable[Concatenate[Desk, P], None]") -> Callable[..., None]:
    """Gives a command the options of a connection in place of its first parameter, and tells how its call failed."""
    return with_options(command, _OPTIONS, _at_a_desk)


def _at_a_desk(given: dict[str, Any], act: "Callable[[Desk], None]") -> None:
    """Acts at the desk that the options describe; ends the command when they describe none."""
    from remit_server.cli.policy.naming.desk import GatewayDesk
    from remit_server.cli.policy.naming.offline import at_the_database

    offline, url, password_file = (given.pop(name) for name in ("offline", "database", "password_file"))
    if offline:
        if not url:
            raise failure("Say which database: --offline --database URL (or REMIT_DATABASE).")
        at_the_database(url, password_file, act)
        return
    if not given["gateway"]:
        raise failure("Say whom to ask: --gateway HOST:PORT (or REMIT_GATEWAY).")
    on_a_gateway(given, lambda client: act(GatewayDesk(client)))
