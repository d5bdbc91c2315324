"""`remit-server audit explain`: answers for one grant, out of the ledger or a copy of it."""

import json
from typing import Annotated

import typer

from remit_server.cli.audit import AsJson, Database, PasswordFile
from remit_server.cli.audit_words import plain
from remit_server.cli.output import CANNOT_START, WRONG, complain


def explain(
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help="An access key id, a grant, a task, or the digest of a decision.")
    ],
    database: Database,
    as_json: AsJson = False,
    password_file: PasswordFile = None,
) -> None:
    """Says who had it, for whom, why, under what, what it could do, and when it ended; ends with 1 for a stranger."""
    from remit_server.adapters.database.engine import DatabaseRefused
    from remit_server.adapters.database.trail.evidence import evidence_of
    from remit_server.cli.explaining import explanation, words

    try:
        found = evidence_of(database, what, password_file=password_file)
    except (DatabaseRefused, ValueError) as error:
        complain(str(error))
        raise typer.Exit(CANNOT_START) from error
    if not found:
        complain(f"The ledger knows nothing of {plain(what)}: this gateway did not issue it, or not with this ledger.")
        raise typer.Exit(WRONG)
    for place, evidence in enumerate(found):
        told = explanation(evidence)
        if as_json:
            typer.echo(json.dumps(told, sort_keys=True))
            continue
        if place:
            typer.echo()
        for line in words(told):
            typer.echo(line)
    if not as_json:
        typer.echo("\nSo the records say; `remit-server audit verify` says whether they are as they were written.")
