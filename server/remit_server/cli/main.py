"""Puts the command groups together."""

from importlib.metadata import version
from typing import Annotated

import typer

from remit_server.cli import approvals, audit, aws, config, database, events, grants, issuer, policy
from remit_server.cli.audit_erase import erase
from remit_server.cli.audit_explain import explain
from remit_server.cli.audit_export import export
from remit_server.cli.audit_watch import watch
from remit_server.cli.probe.command import probe
from remit_server.cli.serve import serve


def _tell_version(wanted: bool) -> None:
    """Prints the version of the distribution."""
    if wanted:
        typer.echo(version("remit"))
        raise typer.Exit


app = typer.Typer(
    name="remit-server",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # NOTE: pretty tracebacks show local variables, secrets among them
)
app.command()(serve)
app.command()(probe)


@app.callback()
def _remit_server(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """The gateway that gives an AI agent cloud credentials for one task."""


app.add_typer(config.app, name="config", help="Check a configuration.")
app.add_typer(policy.app, name="policy", help="Check, test, publish and replay policies.")
audit.app.command("erase")(erase)
audit.app.command("explain")(explain)
audit.app.command("export")(export)
audit.app.command("watch")(watch)
app.add_typer(audit.app, name="audit", help="Read, verify, explain and export the audit trail.")
app.add_typer(grants.app, name="grants", help="See what agents hold, and end it.")
app.add_typer(aws.app, name="aws", help="Write and check the set-up of AWS accounts.")
app.add_typer(approvals.app, name="approvals", help="See what people are asked, and decide it.")
app.add_typer(events.app, name="events", help="Set up and verify streams of security events.")
app.add_typer(database.app, name="database", help="Migrate the database, and grant a role what a gateway needs.")
app.add_typer(issuer.app, name="issuer", help="Keys and documents of the gateway's own issuer.")
