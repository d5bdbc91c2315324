"""What every command that calls a gateway shares: how it connects, and how it tells what went wrong.

Exit codes: 0 it is done, 1 the gateway said no, 2 it could not be asked or could not say.
"""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, Final, ParamSpec

import typer

from remit_server.cli.audit_words import plain
from remit_server.cli.finding_words import told_finding
from remit_server.cli.output import CANNOT_START, WRONG, complain

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.domain.secret import Secret
    from remit_server.transport.grpc.operator_client import CallFailed, Connection, OperatorClient

P = ParamSpec("P")
TOKEN_VARIABLE: Final = "REMIT_OPERATOR_TOKEN"  # noqa: S105 - a variable's name
MAX_TOKEN_BYTES: Final = 16 * 1024
_GROUP: Final = "Connection"

Gateway = Annotated[
    str,
    typer.Option(
        "--gateway", "-g", envvar="REMIT_GATEWAY", metavar="HOST:PORT", help="The gateway.", rich_help_panel=_GROUP
    ),
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file", envvar="REMIT_CA_FILE", dir_okay=False, help="Who vouches for it (PEM).", rich_help_panel=_GROUP
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        envvar="REMIT_OPERATOR_TOKEN_FILE",
        dir_okay=False,
        help=f"The file with your operator's token, read again for each call; without it: {TOKEN_VARIABLE}.",
        rich_help_panel=_GROUP,
    ),
]
CertificateFile = Annotated[
    Path | None,
    typer.Option(
        "--certificate",
        dir_okay=False,
        help="A certificate (PEM) instead of a token.",
        rich_help_panel=_GROUP,
    ),
]
KeyFile = Annotated[
    Path | None, typer.Option("--key", dir_okay=False, help="The certificate's key (PEM).", rich_help_panel=_GROUP)
]
OPTIONS: Final[dict[str, tuple[Any, Any]]] = {
    "gateway": (Gateway, inspect.Parameter.empty),
    "ca_file": (CaFile, None),
    "token_file": (TokenFile, None),
    "certificate": (CertificateFile, None),
    "key": (KeyFile, None),
}


def calls_a_gateway(command: "Callable[Concatenate[OperatorClient, P], None]") -> Callable[..., None]:
    """Gives a command the options of a connection in place of its first parameter, and tells how its call failed."""
    return with_options(command, OPTIONS, on_a_gateway)


def with_options(
    command: Callable[..., None],
    options: dict[str, tuple[Any, Any]],
    serve: Callable[[dict[str, Any], Callable[[Any], None]], None],
) -> Callable[..., None]:
    """Gives a command options (annotation and default by name) in place of its first parameter.

    `serve` gets what was given for them, and what runs the command with the first argument that it makes of that.
    """
    signature = inspect.signature(command)
    first, *own = signature.parameters.values()
    kind = inspect.Parameter.KEYWORD_ONLY
    shared = [
        inspect.Parameter(name, kind, default=default, annotation=annotation)
        for name, (annotation, default) in options.items()
    ]

    @functools.wraps(command)
    def run(**values: Any) -> None:
        given = {name: values.pop(name) for name in options}
        serve(given, lambda made: command(made, **values))

    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[parameter.replace(kind=kind) for parameter in own] + shared
    )
    run.__annotations__ = {
        **{name: value for name, value in command.__annotations__.items() if name != first.name},
        **{name: annotation for name, (annotation, _) in options.items()},
    }
    return run


def on_a_gateway(given: dict[str, Any], act: "Callable[[OperatorClient], None]") -> None:
    """Acts on a connection to the gateway that the options describe; ends the command when that fails."""
    from remit_server.transport.grpc.operator_client import CallFailed, OperatorClient

    try:
        with OperatorClient(_connection(**given)) as client:
            act(client)
    except CallFailed as failed:
        raise told(failed) from None
    except BrokenPipeError:  # who reads has gone: nothing is wrong, and typer ends the command quietly
        raise
    except (OSError, ValueError) as wrong:
        raise failure(str(wrong)) from None
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def told(failed: "CallFailed") -> typer.Exit:
    """Tells on standard error what failed and what to do, and returns the exit that follows."""
    if failed.findings:
        complain(f"{failed.reason}: this bundle may not decide:")
        for finding in failed.findings:
            complain(f"  {told_finding(finding)}")
    else:
        complain(f"{failed.reason}: {failed.message if failed.message.isprintable() else plain(failed.message)}")
    if failed.remedy:
        complain(f"what to do: {failed.remedy}")
    return typer.Exit(WRONG if failed.is_no else CANNOT_START)


def _connection(
    gateway: str, ca_file: Path | None, token_file: Path | None, certificate: Path | None, key: Path | None
) -> "Connection":
    """Returns the connection that the options describe; ends the command when they describe none."""
    from remit_server.transport.grpc.operator_client import Connection
    from remit_server.transport.grpc.own_files import check_target

    check_target(gateway)
    if (certificate is None) != (key is None):
        raise failure("--certificate and --key belong together: give both, or neither.")
    if certificate is not None:
        if token_file is not None:
            raise failure("Give either --token-file or --certificate with --key, not both: you are one caller.")
        return Connection(gateway, ca_file, certificate_file=certificate, key_file=key)
    token = functools.partial(_token, token_file)
    token()  # so that a missing one is told at once
    return Connection(gateway, ca_file, token=token)


def _token(file: Path | None) -> "Secret":
    """Returns the operator's token, from the file or from the environment; ends the command where there is none."""
    import os

    from remit_server.domain.secret import Secret

    if file is None:
        text = os.environ.get(TOKEN_VARIABLE, "")
        if not text:
            raise failure(
                f"Nothing says who you are. Give --token-file FILE, set {TOKEN_VARIABLE} to a token for the gateway's "
                "operators, or give --certificate and --key (docs/operators.md)."
            )
    else:
        try:
            with file.open("rb") as opened:
                text = opened.read(MAX_TOKEN_BYTES + 1).decode("ascii").strip()
        except (OSError, UnicodeDecodeError) as wrong:
            raise failure(f"{file} cannot be read as a token: {wrong}.") from wrong
    token = text.strip()
    if not token or len(token) > MAX_TOKEN_BYTES or any(character <= " " or character > "~" for character in token):
        raise failure(f"{file or TOKEN_VARIABLE} holds no token: it must be one line, such as `eyJ...`.")
    return Secret(token)


def failure(message: str) -> typer.Exit:
    """Tells why the command could not do its work and returns the exit that follows."""
    complain(message)
    return typer.Exit(CANNOT_START)
