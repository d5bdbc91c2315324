"""`remit-server audit export`: the audit trail for a SIEM, record by record, from any place on."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from remit_server.cli.audit import Database, PasswordFile
from remit_server.cli.output import CANNOT_START, WRONG, complain

if TYPE_CHECKING:
    from remit_server.domain.audit import ChainedEvent

_FORMS: Final = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S"]


class Format(StrEnum):
    """How a record is written."""

    JSONL = "jsonl"
    OCSF = "ocsf"


def export(
    *,
    database: Database,
    format_: Annotated[
        Format, typer.Option("--format", help="jsonl: as the chain holds it; ocsf: OCSF 1.3.0.")
    ] = Format.JSONL,
    after: Annotated[
        int, typer.Option("--after", min=0, help="Begin behind this record: where the last one ended.")
    ] = 0,
    since: Annotated[datetime | None, typer.Option("--since", formats=_FORMS, help="Only from then on (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option("--until", formats=_FORMS, help="Only before then (UTC).")] = None,
    password_file: PasswordFile = None,
) -> None:
    """Writes records to standard output, one JSON object to a line; says on standard error where it ended.

    It reads without holding up the gateway and holds one page in memory. There is no secret in it: none is on record.
    """
    from remit_server.adapters.database.engine import DatabaseRefused
    from remit_server.adapters.database.trail.audit_log import UnreadableRecord, events

    write = _writer(format_)
    last, count = after, 0
    try:
        for event in events(database, password_file=password_file, after=after or None):
            last = event.sequence
            if (since is None or event.time >= _utc(since)) and (until is None or event.time < _utc(until)):
                typer.echo(write(event))
                count += 1
    except BrokenPipeError:
        raise typer.Exit(0) from None
    except DatabaseRefused as error:
        complain(str(error))
        raise typer.Exit(CANNOT_START) from error
    except UnreadableRecord as error:
        complain(f"{error}. What stands before it was exported. Run `remit-server audit verify`.")
        raise typer.Exit(WRONG) from error
    complain(f"{count} records were exported; go on with --after {last}.")


def _utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC)


def _writer(format_: Format) -> "Callable[[ChainedEvent], str]":
    """Returns what writes a record."""
    from remit_server.cli.ocsf import ocsf_of

    if format_ is Format.OCSF:
        return lambda event: json.dumps(ocsf_of(event), sort_keys=True)
    return _line


def _line(event: "ChainedEvent") -> str:
    """Returns a record with its place in the chain; `body` is the very text that its hash covers."""
    return json.dumps(
        {
            "sequence": event.sequence,
            "time": event.time.isoformat(timespec="microseconds"),
            "kind": event.kind,
            "body": event.body_text,
            "previous_hash": event.previous_hash,
            "event_hash": event.event_hash,
        },
        sort_keys=True,
    )
