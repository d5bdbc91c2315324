"""`remit-server policy schemas`: writes the JSON Schemas of the policy contract, for editors and for `opa check`."""

from pathlib import Path
from typing import Annotated

import typer

from remit_server.cli.output import CANNOT_START, complain
from remit_server.cli.policy.app import app


@app.command("schemas")
def write_policy_schemas(
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write them into.", file_okay=False)],
) -> None:
    """Writes this gateway's schemas of input, decision and catalogue; what has their names there is replaced."""
    from remit_server.adapters.policy.checking.schemas import write_schemas

    try:
        written = write_schemas(output)
    except OSError as wrong:
        complain(f"{output}: cannot be written: {wrong.strerror}. Name a folder that you may write to.")
        raise typer.Exit(CANNOT_START) from wrong
    for path in written:
        typer.echo(str(path))
