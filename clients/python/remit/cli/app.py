"""The group that all commands belong to, and how a failure leaves it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from remit._version import __version__
from remit.errors import RemitError
from remit.local.telling import exit_code, told

app = typer.Typer(
    name="remit",
    help="AWS credentials for one task: what it needs, no more, and gone when it is over.",
    epilog="Settings: ~/.config/remit/client.toml. Exit codes and every setting: docs/cli.md.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # NOTE: a traceback with its variables may show a token
)


@app.callback(invoke_without_command=True)
def main(*, version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False) -> None:
    """Says the version."""
    if version:
        typer.echo(f"remit {__version__}")
        raise typer.Exit


@contextmanager
def failures_told() -> Iterator[None]:
    """Tells a failure of the block on standard error, and leaves with its exit code."""
    try:
        yield
    except RemitError as error:
        typer.echo(told(error), err=True)
        raise typer.Exit(exit_code(error)) from None
