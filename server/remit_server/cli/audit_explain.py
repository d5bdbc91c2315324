"""`remit-server audit explain`: answers for one grant or one refusal, out of the ledger or a copy of it."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from remit_server.cli.audit import AsJson, Database, PasswordFile
from remit_server.cli.audit_words import plain
from remit_server.cli.output import CANNOT_START, WRONG, complain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from remit_server.adapters.database.trail.evidence import Evidence, Ruling


def explain(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="An access key id, a grant, a task, an approval, a request_id, a record (#123), a decision's digest.",
        ),
    ],
    database: Database,
    again: Annotated[
        bool, typer.Option("--again/--no-again", help="Decides it again by its own revision, and compares every byte.")
    ] = True,
    bundle: Annotated[
        list[Path] | None, typer.Option("--bundle", "-b", help="The folder of a revision that was never published.")
    ] = None,
    *,
    as_json: AsJson = False,
    password_file: PasswordFile = None,
) -> None:
    """Says who had it, for whom, why, under what, what it could do, and when it ended, or why it was refused.

    Every decision is made again by the revision that made it, from what was recorded. Ends with 1 for a stranger, and
    when a decision comes out otherwise than it is on record.
    """
    from remit_server.adapters.database.engine import DatabaseRefused
    from remit_server.adapters.database.trail.evidence import evidence_of

    try:
        found = evidence_of(database, what, password_file=password_file)
    except (DatabaseRefused, ValueError) as error:
        complain(str(error))
        raise typer.Exit(CANNOT_START) from error
    if not found:
        why = "it has no record of that number" if what.startswith("#") else "this gateway did not issue it"
        complain(f"The ledger knows nothing of {plain(what)}: {why}, or this is another ledger.")
        raise typer.Exit(WRONG)
    archives = _given(bundle or [])
    told = _told(found, archives, again=again)
    if as_json:
        for one in told:
            typer.echo(json.dumps(one, sort_keys=True))
    else:
        _say(told)
    if any(decision["verdict"] == "differs" for one in told for decision in one["again"]):
        raise typer.Exit(WRONG)


def _told(
    found: "Sequence[Evidence | Ruling]", archives: "Mapping[str, bytes]", *, again: bool
) -> list[dict[str, Any]]:
    """Returns what is known of each, and what came of deciding it again: all of them by one engine for a revision."""
    from remit_server.adapters.database.trail.evidence import Ruling
    from remit_server.adapters.rego.again import decided_again
    from remit_server.cli.again_words import told_again
    from remit_server.cli.explaining import explanation
    from remit_server.cli.explaining_rulings import ruling_explanation

    decisions, published = {}, dict(archives)
    for one in found:
        decisions.update({decision.sequence: decision for decision in one.decisions})
        published.update(one.archives)
    came = asyncio.run(decided_again(list(decisions.values()), published)) if again else ()
    return [
        (ruling_explanation(one) if isinstance(one, Ruling) else explanation(one))
        | {"again": told_again([it for it in came if it.sequence in {decision.sequence for decision in one.decisions}])}
        for one in found
    ]


def _given(folders: "Sequence[Path]") -> "Mapping[str, bytes]":
    """Returns the revisions in these folders; ends the command for a folder that holds none."""
    from remit_server.adapters.policy.bundles.archive import archive_of_files
    from remit_server.adapters.policy.bundles.bundle import revision_of
    from remit_server.adapters.policy.bundles.bundle_files import read_files
    from remit_server.adapters.policy.findings import BundleRefused

    try:
        read = [read_files(folder) for folder in folders]
    except BundleRefused as refused:
        complain(str(next(iter(refused.findings))))
        raise typer.Exit(CANNOT_START) from refused
    return {revision_of(files): archive_of_files(files) for files in read}


def _say(told: "Sequence[dict[str, Any]]") -> None:
    """Shows a person every explanation."""
    from remit_server.cli.again_words import again_words
    from remit_server.cli.explaining import words
    from remit_server.cli.explaining_rulings import ruling_words

    for place, one in enumerate(told):
        if place:
            typer.echo()
        for line in ruling_words(one) if "grant" not in one else words(one):
            typer.echo(line)
        for line in again_words(one["again"]):
            typer.echo(line)
    typer.echo("\nSo the records say; `remit-server audit verify` says whether they are as they were written.")
