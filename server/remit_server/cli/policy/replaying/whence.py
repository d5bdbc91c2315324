"""Gives the command the options that say where the history is: in a ledger that can be read, or at a gateway."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, Final, ParamSpec, Protocol

import typer

from remit_server.cli.audit import PasswordFile
from remit_server.cli.policy.replaying.wanted import Wanted
from remit_server.cli.remote import OPTIONS, failure, on_a_gateway, with_options

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.application.policy.replaying.report import Report

P = ParamSpec("P")
Ledger = Annotated[
    str,
    typer.Option(
        "--database",
        "-d",
        envvar="REMIT_DATABASE",
        help="The ledger or a copy of it: sqlite:////path, its path, or postgresql://role@host/database.",
    ),
]
_gateway, _ = OPTIONS["gateway"]
_OPTIONS: Final[dict[str, tuple[Any, Any]]] = {
    "database": (Ledger, ""),
    "password_file": (PasswordFile, None),
    **OPTIONS,
    "gateway": (_gateway, ""),
}


class Replayer(Protocol):
    """Who replays."""

    def __call__(self, wanted: Wanted, /) -> "Report":
        """Returns the report, once everything is replayed."""
        ...


def asks_a_replayer(command: "Callable[Concatenate[Replayer, P], None]") -> Callable[..., None]:
    """Gives a command the options in place of its first parameter, and tells how a gateway's call failed."""
    return with_options(command, _OPTIONS, _with_replayer)


def _as_written(database: str, gateway: str) -> tuple[str, str]:
    """Returns which of the two counts where both are known: the one written as an option, rather than in a variable."""
    import os

    if database and gateway:
        is_option = (database != os.environ.get("REMIT_DATABASE"), gateway != os.environ.get("REMIT_GATEWAY"))
        if is_option == (True, False):
            return database, ""
        if is_option == (False, True):
            return "", gateway
    return database, gateway


def _with_replayer(given: dict[str, Any], act: "Callable[[Replayer], None]") -> None:
    """Acts with whom the options describe; ends the command when they describe nobody, or two."""
    database, password_file = given.pop("database"), given.pop("password_file")
    database, given["gateway"] = _as_written(database, given["gateway"])
    if bool(database) is bool(given["gateway"]):
        raise failure(
            "Say where the history is, in one way: --database (or REMIT_DATABASE) for a ledger or a copy of one, "
            "--gateway HOST:PORT (or REMIT_GATEWAY) for a gateway that replays a published revision."
        )
    if database:
        from remit_server.cli.policy.replaying.local import LocalReplayer

        act(LocalReplayer(database, password_file))
        return
    from remit_server.cli.policy.replaying.remote import RemoteReplayer

    on_a_gateway(given, lambda client: act(RemoteReplayer(client)))
