"""Puts the command groups together."""

import typer

from remit_server.cli import audit, config, policy
from remit_server.cli.serve import serve

app = typer.Typer(
    name="remit-server",
    help="The gateway that gives an AI agent cloud credentials for one task.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # NOTE: pretty tracebacks show local variables, secrets among them
)
app.command()(serve)
app.add_typer(config.app, name="config", help="Check a configuration.")
app.add_typer(policy.app, name="policy", help="Check and test a policy bundle.")
app.add_typer(audit.app, name="audit", help="Read and verify the audit trail.")
