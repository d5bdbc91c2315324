"""`remit-server audit erase`: what is kept of one user's decisions goes; the chain of records stays whole."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from remit_server.cli.audit import AsJson, Database, PasswordFile
from remit_server.cli.local_user import local_user
from remit_server.cli.output import CANNOT_START, complain

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.adapters.database.trail.erasing import OfSubject


def erase(
    database: Database,
    subject: Annotated[str, typer.Option("--subject", help="Whose: the `sub` of their tokens.")],
    issuer: Annotated[str, typer.Option("--issuer", help="The issuer (a URL) that knows them by it.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only says how many texts that would be.")] = False,
    *,
    as_json: AsJson = False,
    password_file: PasswordFile = None,
) -> None:
    """Erases the inputs, circumstances and decisions that are kept of one user, and records that.

    What their live grants rest on stays: end or revoke those first, then run this again. The records themselves (who,
    when, what was issued) are the chain and stay. A gateway may be running.
    """
    from remit_server.adapters.database.engine import DatabaseRefused
    from remit_server.domain.errors import RemitError

    try:
        found = _found(database, password_file, issuer, subject)
        erased = 0 if dry_run else asyncio.run(_erased(database, password_file, found, (issuer, subject)))
    except (DatabaseRefused, RemitError) as error:
        complain(str(error))
        raise typer.Exit(CANNOT_START) from error
    told = {"named": len(found.erasable), "erased": erased, "of_live_grants": len(found.live)}
    if as_json:
        typer.echo(json.dumps(told))
        return
    if dry_run:
        typer.echo(f"The records name {told['named']} texts about this user that would be erased.")
    else:
        typer.echo(f"{erased} texts about this user are erased; the records name {told['named']}.")
    if found.live:
        typer.echo(f"{len(found.live)} texts stay, as live grants rest on them: revoke those, then run this again.")


def _found(database: str, password_file: Path | None, issuer: str, subject: str) -> "OfSubject":
    """Returns the texts about this user; raises DatabaseRefused where there is no ledger."""
    from functools import partial

    from sqlalchemy.exc import DBAPIError

    from remit_server.adapters.database.engine import open_for_reading
    from remit_server.adapters.database.engine.unreadable import unreadable
    from remit_server.adapters.database.trail.erasing import texts_of_subject

    opened = open_for_reading(database, password_file=password_file)
    try:
        return opened.read_now(partial(texts_of_subject, issuer, subject))
    except DBAPIError as error:
        raise unreadable(error) from error
    finally:
        opened.close_now()


async def _erased(database: str, password_file: Path | None, found: "OfSubject", whose: tuple[str, str]) -> int:
    from remit_server.adapters.database.ledger import open_ledger
    from remit_server.adapters.database.trail.erasing import erase_texts
    from remit_server.adapters.system_clock import SystemClock
    from remit_server.domain.erasing_records import TextsErased

    record = TextsErased(0, subject_issuer=whose[0], subject_id=whose[1], by=local_user())
    async with open_ledger(database, SystemClock(), password_file=password_file) as ledger:
        return await erase_texts(ledger.store, found.erasable, record)
