"""Lets a command name published revisions beside folders and archives, and ask a gateway for them only then."""

from collections.abc import Callable
from typing import Any, Concatenate, Final, ParamSpec

import typer

from remit_server.cli.output import CANNOT_START
from remit_server.cli.remote import OPTIONS, failure, on_a_gateway, with_options

P = ParamSpec("P")
Published = Callable[[str], tuple[str, bytes]]
"""Returns the digest and the archive of a revision, by its digits; of the active one for none."""

_gateway, _ = OPTIONS["gateway"]
_OPTIONS: Final[dict[str, tuple[Any, Any]]] = {**OPTIONS, "gateway": (_gateway, "")}


def may_ask_for_revisions(command: Callable[Concatenate[Published, P], None]) -> Callable[..., None]:
    """Gives a command the options of a connection in place of its first parameter, which asks by them."""
    return with_options(command, _OPTIONS, lambda given, act: act(lambda revision: _download(given, revision)))


def _download(given: dict[str, Any], revision: str) -> tuple[str, bytes]:
    """Returns a revision; a gateway's no ends the command as what could not be done, for it is no answer of policy."""
    from remit_server.cli.policy.naming.desk import GatewayDesk

    if not given["gateway"]:
        raise failure("A revision is asked of a gateway: say which by --gateway HOST:PORT (or REMIT_GATEWAY).")
    found: list[tuple[str, bytes]] = []
    try:
        on_a_gateway(given, lambda client: found.append(GatewayDesk(client).download(revision)))
    except typer.Exit:
        raise typer.Exit(CANNOT_START) from None
    return found[0]
