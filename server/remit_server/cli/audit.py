"""`remit-server audit`: reads the audit trail and verifies its chain, without ever writing to the database."""

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.domain.audit import ChainedEvent

app = typer.Typer(name="audit", help="Reads the audit trail and verifies its chain.", no_args_is_help=True)

Database = Annotated[
    str,
    typer.Option(
        "--database", "-d", envvar="REMIT_DATABASE", help="The ledger or a copy of it: sqlite:////path, or its path."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Writes one JSON object to a line.")]
MAX_LISTED = 100_000


@app.command("list")
def list_events(
    database: Database,
    task: Annotated[str | None, typer.Option("--task", help="Only the records of this task.")] = None,
    kind: Annotated[str | None, typer.Option("--kind", help="Only records of this kind: credentials_issued.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=MAX_LISTED, help="The newest so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Shows the newest records, oldest first."""
    events = _newest(database, task, kind, limit)
    if as_json:
        for event in events:
            typer.echo(json.dumps(_as_json(event), sort_keys=True))
    elif sys.stdout.isatty():
        _print_table(events)
    else:
        for event in events:
            # NOTE: a record that was tampered with may hold anything, also what steers a terminal.
            body = event.body_text.encode("ascii", "backslashreplace").decode("ascii")
            typer.echo(f"{event.sequence}\t{event.time.isoformat()}\t{_plain(event.kind)}\t{body}")


@app.command("verify")
def verify_chain(database: Database, as_json: AsJson = False) -> None:
    """Verifies every record; ends with 1, and names the first bad one, when the chain is broken."""
    from remit_server.adapters.database.audit_log import verify
    from remit_server.adapters.database.engine import DatabaseRefused
    from remit_server.domain.audit import ChainIntact

    try:
        verdict = verify(database)
    except DatabaseRefused as error:
        raise _failure(str(error)) from error
    intact = isinstance(verdict, ChainIntact)
    if as_json:
        text = json.dumps(
            {"intact": True, "count": verdict.count, "head": verdict.head}
            if isinstance(verdict, ChainIntact)
            else {"intact": False, "record": verdict.sequence, "what": verdict.what}
        )
    elif isinstance(verdict, ChainIntact):
        text = f"The chain is intact: {verdict.count} records, head {verdict.head}."
    else:
        text = f"The chain is broken at record {verdict.sequence}: {verdict.what}."
    typer.echo(text)
    if not intact:
        raise typer.Exit(1)


def _newest(database: str, task: str | None, kind: str | None, limit: int) -> "list[ChainedEvent]":
    """Returns the newest records in their order."""
    from remit_server.adapters.database.audit_log import UnreadableRecord, events
    from remit_server.adapters.database.engine import DatabaseRefused

    try:
        return list(events(database, task_id=task, kind=kind, newest_first=True, limit=limit))[::-1]
    except DatabaseRefused as error:
        raise _failure(str(error)) from error
    except UnreadableRecord as error:
        raise _failure(f"{error}. Run `remit-server audit verify` on it.") from error


def _failure(message: str) -> typer.Exit:
    """Tells what failed on stderr and returns the exit that follows."""
    typer.echo(message, err=True)
    return typer.Exit(2)


def _as_json(event: "ChainedEvent") -> dict[str, Any]:
    return {
        "sequence": event.sequence,
        "time": event.time.isoformat(),
        "kind": event.kind,
        "event_hash": event.event_hash,
        "record": json.loads(event.body_text),
    }


def _print_table(events: "list[ChainedEvent]") -> None:
    """Shows the records to a person: who, for whom, and what the record adds."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("#", "time", "what", "actor", "subject", "details", box=None, header_style="bold")
    for event in events:
        record = json.loads(event.body_text)
        who = record.pop("who", {})
        details = " ".join(f"{key}={_plain(value)}" for key, value in record.items() if value not in ("", [], None))
        table.add_row(
            str(event.sequence),
            event.time.strftime("%H:%M:%S"),
            escape(_plain(event.kind)),
            escape(_plain(who.get("actor_id", ""))),
            escape(_plain(who.get("subject_id", ""))),
            escape(details if len(details) <= _SHOWN else f"{details[:_SHOWN]}..."),
        )
    Console().print(table)


def _plain(value: Any) -> str:
    """Returns a value as text that cannot steer a terminal: escaped as in JSON, without the quotes around a string."""
    text = json.dumps(value)
    return text[1:-1] if isinstance(value, str) else text


_SHOWN = 160
