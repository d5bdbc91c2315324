"""Gives a command about published revisions the options that say whom it asks."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec

from remit_server.cli.remote import OPTIONS, failure, on_a_gateway, with_options

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.cli.policy.desk import Desk

P = ParamSpec("P")
_gateway, _ = OPTIONS["gateway"]
_OPTIONS: Final[dict[str, tuple[Any, Any]]] = {**OPTIONS, "gateway": (_gateway, "")}


def asks_a_desk(command: "Callable[Concatenate[Desk, P], None]") -> Callable[..., None]:
    """Gives a command the options of a connection in place of its first parameter, and tells how its call failed."""
    return with_options(command, _OPTIONS, _at_a_desk)


def _at_a_desk(given: dict[str, Any], act: "Callable[[Desk], None]") -> None:
    """Acts at the desk that the options describe; ends the command when they describe none."""
    from remit_server.cli.policy.desk import GatewayDesk

    if not given["gateway"]:
        raise failure("Say whom to ask: --gateway HOST:PORT (or REMIT_GATEWAY).")
    on_a_gateway(given, lambda client: act(GatewayDesk(client)))
