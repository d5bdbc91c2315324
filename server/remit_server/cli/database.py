"""`remit-server database`: what the owner of a database does for the gateways that use it."""

from typing import Annotated

import typer

from remit_server.cli.audit import Database, PasswordFile
from remit_server.cli.output import CANNOT_START, complain

app = typer.Typer(name="database", help="Migrates the database, and tells its grants.", no_args_is_help=True)


@app.command("migrate")
def migrate(database: Database, password_file: PasswordFile = None) -> None:
    """Creates or migrates the tables, all of them or none; a database of this version is left as it is.

    A gateway does the same at its start. Where its role may not, the owner of the tables runs this first.
    """
    from remit_server.adapters.database.engine import DatabaseRefused
    from remit_server.adapters.database.migrations import upgrade

    try:
        before, after = upgrade(database, password_file=password_file)
    except DatabaseRefused as error:
        complain(str(error))
        raise typer.Exit(CANNOT_START) from error
    if before == after:
        typer.echo(f"Nothing was to do: the tables are of this version already ({after}).")
    elif before is None:
        typer.echo(f"The tables were created, of this version ({after}).")
    else:
        typer.echo(f"The tables were migrated from {before} to this version ({after}).")


@app.command("grants")
def grants(
    role: Annotated[str, typer.Argument(help="The role that gateways log in with.")],
    reader: Annotated[
        bool, typer.Option("--reader", help="For a role that only reads and explains the audit trail.")
    ] = False,
) -> None:
    """Prints the least that a PostgreSQL role needs, as SQL: `remit-server database grants remit | psql ...`."""
    from remit_server.adapters.database.writing.privileges import statements

    for statement in statements(role, only_audit=reader):
        typer.echo(statement)
