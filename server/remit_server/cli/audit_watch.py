"""`remit-server audit watch`: follows the audit trail of a running gateway, from any place on and without a gap."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from remit_server.cli.audit_words import about, plain
from remit_server.cli.remote import calls_a_gateway

if TYPE_CHECKING:
    from remit_server.transport.grpc.operator_client import OperatorClient


@calls_a_gateway
def watch(
    client: "OperatorClient",
    *,
    from_sequence: Annotated[
        int, typer.Option("--from", min=0, help="Begin with this record; 0: with those to come.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Writes records as `audit export` does.")] = False,
) -> None:
    """Shows records as they are written, until Ctrl-C. Streams that end are opened again where they were."""
    from remit_server.transport.grpc.operator_calls import watch_events

    for event in watch_events(client, from_sequence):
        time = event.time.ToDatetime()
        if not as_json:
            told = about(json.loads(event.body))
            typer.echo(f"{event.sequence}  {time:%F %T}  {plain(event.kind)}  {told}")
            continue
        line = {"sequence": event.sequence, "time": f"{time.isoformat(timespec='microseconds')}+00:00"}
        line |= {"kind": event.kind, "body": event.body}
        line |= {"previous_hash": event.previous_hash, "event_hash": event.event_hash}
        typer.echo(json.dumps(line, sort_keys=True))
