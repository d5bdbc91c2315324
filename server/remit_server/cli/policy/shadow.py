"""`remit-server policy shadow`: a candidate that decides beside the active revision, answers untouched."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from remit_server.cli.audit_words import plain
from remit_server.cli.output import complain
from remit_server.cli.policy.app import app
from remit_server.cli.policy.naming.desk import AsJson, short
from remit_server.cli.policy.show import Revision
from remit_server.cli.remote import calls_a_gateway
from remit_server.cli.tables import print_table

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.transport.grpc.operator_client import OperatorClient

shadow = typer.Typer(
    name="shadow", help="Has a candidate decide beside the active revision, and counts.", no_args_is_help=True
)
app.add_typer(shadow)


@shadow.command("start")
@calls_a_gateway
def start_shadow(
    client: "OperatorClient",
    revision: Annotated[str, typer.Argument(metavar="REV", help="Its digest, or the first 8 or more digits.")],
    as_json: AsJson = False,
) -> None:
    """Puts a published revision into shadow on every replica, in place of the one that was."""
    from remit_server.transport.grpc.policy import calls

    started = calls.start_shadow(client, revision)
    typer.echo(json.dumps({"revision": started}) if as_json else f"revision {short(started)} is in shadow.")


@shadow.command("stop")
@calls_a_gateway
def stop_shadow(client: "OperatorClient", as_json: AsJson = False) -> None:
    """Ends the shadow. What was counted stays."""
    from remit_server.transport.grpc.policy import calls

    stopped = calls.stop_shadow(client)
    if as_json:
        typer.echo(json.dumps({"revision": stopped}))
    else:
        typer.echo(f"revision {short(stopped)} is in shadow no more." if stopped else "No revision was in shadow.")


@shadow.command("show")
@calls_a_gateway
def show_shadow(client: "OperatorClient", revision: Revision = "", as_json: AsJson = False) -> None:
    """Shows how often a candidate differed, and how; without REV the one in shadow, else the last one."""
    from remit_server.transport.grpc.policy import calls

    shown = calls.shadow(client, revision)
    if as_json:
        typer.echo(calls.as_json(shown))
        return
    if not shown.revision:
        complain("Nothing was counted: no revision is in shadow, or this one never was.")
        return
    since = f"{shown.start_time.ToDatetime():%F %T} UTC" if shown.HasField("start_time") else ""
    typer.echo(f"revision {short(shown.revision)} is in shadow {f'since {since}' if since else 'no more'}.")
    rows = [
        (plain(one.difference), str(one.count), short(one.active_revision), f"{one.last_time.ToDatetime():%F %T}")
        for one in shown.counts
    ]
    if rows:
        print_table(("difference", "times", "active", "last (UTC)"), rows)
    for one in shown.counts:
        if one.example:
            typer.echo(f"such as, {plain(one.difference)}:")
            for line in example_lines(one.example):
                typer.echo(f"  {line}")


def example_lines(example: str) -> Iterator[str]:
    """Yields the example of a count as people read it: what was kept as JSON, a line for each thing."""
    try:
        told = json.loads(example)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        yield plain(example)
        return
    yield f"{plain(str(told.get('subject_id', '')))} through {plain(str(told.get('actor_id', '')))}"
    for name in ("purpose", "role_arn", "time"):
        if value := told.get(name):
            yield f"{name.removesuffix('_arn')}: {plain(str(value))}"
    for name, sign in (("gained", "+"), ("lost", "-"), ("reasons", " "), ("shown", " ")):
        for line in told.get(name) or ():
            yield f"{sign} {plain(str(line))}"
    if digest := told.get("input_digest"):
        yield f"remit-server audit explain {plain(str(digest))}"
