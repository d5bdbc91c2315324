"""What the commands of `remit-server policy` share: the group itself, the bundle's folder, and how a no is told."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from remit_server.cli.output import WRONG, complain

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.adapters.policy.findings import BundleRefused

app = typer.Typer(name="policy", help="Check, test, publish and replay policy bundles.", no_args_is_help=True)

BundleFolder = Annotated[
    Path, typer.Option("--bundle", "-b", help="The folder with .manifest and remit/.", file_okay=False)
]
DEFAULT_BUNDLE = Path("policies")


def refused_by(refused: "BundleRefused") -> typer.Exit:
    """Tells every fault on standard error and returns the exit that follows."""
    for finding in refused.findings:
        complain(str(finding))
    return typer.Exit(WRONG)
