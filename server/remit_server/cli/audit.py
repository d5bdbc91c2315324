"""`remit-server audit`: reads the audit trail and verifies its chain, without ever writing to the database."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from remit_server.cli.audit_words import about, plain
from remit_server.cli.output import CANNOT_START, WRONG, complain

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.adapters.database.trail.kept_texts import InputsKept, Kept
    from remit_server.domain.audit import ChainedEvent

app = typer.Typer(name="audit", help="Reads the audit trail and verifies its chain.", no_args_is_help=True)

Database = Annotated[
    str,
    typer.Option(
        "--database",
        "-d",
        envvar="REMIT_DATABASE",
        help="The ledger or a copy of it: sqlite:////path, its path, or postgresql://role@host/database.",
    ),
]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file", help="The file with the password of a PostgreSQL role; else PGPASSWORD or PGPASSFILE."
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
    *,
    as_json: AsJson = False,
    password_file: PasswordFile = None,
) -> None:
    """Shows the newest records, oldest first: a line each, or whole with --json."""
    from remit_server.domain.audit_kinds import audit_kinds

    kinds = audit_kinds()
    if kind is not None and kind not in kinds:
        raise _failure(f"There is no kind of record called {plain(kind)}. The kinds are {', '.join(kinds)}.")
    events = _newest(database, password_file, task, kind, limit)
    if not events:
        of_task = f" of task {plain(task)}" if task is not None else ""
        complain(f"There are no records{of_task}{f' of kind {kind}' if kind is not None else ''}.")
    elif as_json:
        for event in events:
            typer.echo(json.dumps(_as_json(event), sort_keys=True))
    else:
        _print_table(events)


@app.command("verify")
def verify_chain(
    database: Database,
    as_json: AsJson = False,
    password_file: PasswordFile = None,
    checkpoints: Annotated[
        Path | None, typer.Option("--checkpoints", help="A file of checkpoints that was kept elsewhere.")
    ] = None,
    public_key: Annotated[
        Path | None, typer.Option("--public-key", help="The key (PEM) that the checkpoints are signed with.")
    ] = None,
) -> None:
    """Verifies every audit record; ends with 1, and names the first bad one, when the chain is broken.

    With --checkpoints and --public-key also a chain that was computed anew is found out, up to the last checkpoint.

    The chain covers the audit records, and by its digest each input, circumstance, decision and ceiling that is kept
    beside them. They may be erased: how many are kept is told. It does not cover the working tables (tasks, grants):
    what is changed there is no change of what was recorded. Make a copy with `sqlite3 DB ".backup COPY"`: the file
    alone, without its -wal, may lack the newest records.
    """
    from remit_server.adapters.database.engine import DatabaseRefused
    from remit_server.adapters.database.trail.audit_log import verify_with_inputs
    from remit_server.domain.audit import ChainBroken

    try:
        known = _checkpoints(checkpoints, public_key)
        verdict, inputs = verify_with_inputs(database, password_file=password_file, checkpoints=known)
    except DatabaseRefused as error:
        raise _failure(str(error)) from error
    if isinstance(verdict, ChainBroken):
        fields = {"intact": False, "record": verdict.sequence, "what": verdict.what}
        text = f"The chain is broken at record {verdict.sequence}: {verdict.what}."
        typer.echo(json.dumps(fields) if as_json else text)
        raise typer.Exit(WRONG)
    if as_json:
        fields = {"intact": True, "count": verdict.count, "head": verdict.head}
        typer.echo(json.dumps(fields | (_counts(inputs) if inputs else {})))
    else:
        typer.echo(f"The chain is intact: {verdict.count} records, head {verdict.head}.")
        if known:
            typer.echo(f"It has the records that {len(known)} checkpoints name, up to record {max(known)}.")
        if inputs and inputs.named:
            typer.echo(_kept(inputs))
        if inputs and (others := [f"{it.kept} of {it.named} {sort}" for sort, it in _others(inputs)]):
            typer.echo(f"Of what else it takes to decide again, {', '.join(others)} are kept.")
        typer.echo(
            "It covers the audit records, not the working tables (tasks, grants): they may differ from it unseen."
        )


def _checkpoints(file: Path | None, public_key: Path | None) -> dict[int, str]:
    """Returns the hashes that checkpoints name, by place; ends the command for one that is not signed by the key."""
    from remit_server.adapters.checkpoints.signing import checkpoints_in, public_key_of

    if file is None and public_key is None:
        return {}
    if file is None or public_key is None:
        raise _failure("--checkpoints and --public-key belong together: unsigned lines prove nothing.")
    try:
        with file.open(encoding="utf-8") as lines:
            found = checkpoints_in(lines, public_key_of(public_key))
    except (OSError, ValueError) as error:
        raise _failure(f"{file} cannot be relied on: {error}.") from error
    if not found:
        raise _failure(f"{file} holds no checkpoint.")
    return {checkpoint.count: checkpoint.head for checkpoint in found}


def _counts(inputs: "InputsKept") -> dict[str, Any]:
    """Returns how many texts beside the chain there are, as JSON values."""
    told = {sort: {"named": it.named, "kept": it.kept} for sort, it in inputs.others.items()}
    return {"inputs": {"named": inputs.named, "kept": inputs.kept}, **told}


def _others(inputs: "InputsKept") -> "list[tuple[str, Kept]]":
    """Returns what there is beside inputs, in the plural."""
    plural = {"decision": "decisions"}
    return [(plural.get(sort, sort), it) for sort, it in inputs.others.items() if it.named]


def _kept(inputs: "InputsKept") -> str:
    """Says how many inputs of decisions are still there; erasing one breaks nothing."""
    erased = inputs.named - inputs.kept
    told = f", {erased} erased, which the chain allows" if erased else ", each as it was decided on"
    return f"{inputs.kept} of {inputs.named} inputs are kept{told}."


def _newest(
    database: str, password_file: Path | None, task: str | None, kind: str | None, limit: int
) -> "list[ChainedEvent]":
    """Returns the newest records in their order."""
    from remit_server.adapters.database.engine import DatabaseRefused
    from remit_server.adapters.database.trail.audit_log import UnreadableRecord, events

    try:
        found = events(database, password_file=password_file, task_id=task, kind=kind, newest_first=True, limit=limit)
        return list(found)[::-1]
    except DatabaseRefused as error:
        raise _failure(str(error)) from error
    except UnreadableRecord as error:
        raise _failure(f"{error}. Run `remit-server audit verify` on it.") from error


def _failure(message: str) -> typer.Exit:
    """Tells what failed on stderr and returns the exit that follows."""
    complain(message)
    return typer.Exit(CANNOT_START)


def _as_json(event: "ChainedEvent") -> dict[str, Any]:
    return {
        "sequence": event.sequence,
        "time": event.time.isoformat(),
        "kind": event.kind,
        "event_hash": event.event_hash,
        "record": json.loads(event.body_text),
    }


def _print_table(events: "list[ChainedEvent]") -> None:
    """Shows a person one line for each record: its number, time and kind, and what it is about."""
    rows = [("#", "time (UTC)", "kind", "about")]
    for event in events:
        told = about(json.loads(event.body_text))
        cut = told if len(told) <= _SHOWN else f"{told[:_SHOWN]}..."
        rows.append((str(event.sequence), f"{event.time:%Y-%m-%d %H:%M:%S}", plain(event.kind), cut))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for number, time, kind, told in rows:
        typer.echo(f"{number:>{widths[0]}}  {time:{widths[1]}}  {kind:{widths[2]}}  {told}")


_SHOWN = 400
