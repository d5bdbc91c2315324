"""`remit-server aws`: writes what the AWS accounts of a configuration must hold, and checks what they do hold."""

import json
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from remit_server.cli.audit_words import counted
from remit_server.cli.output import CANNOT_START, WRONG, complain

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.adapters.aws.setup.findings import Finding
    from remit_server.config.settings import Settings

app = typer.Typer(name="aws", help="Set up and check AWS accounts.", no_args_is_help=True)

ConfigFile = Annotated[
    Path,
    typer.Option("--config", "-c", envvar="REMIT_SERVER_CONFIG", help="The configuration file, such as remit.toml."),
]


class Format(StrEnum):
    """What a plan is written for."""

    TERRAFORM = "terraform"
    CLOUDFORMATION = "cloudformation"


@app.callback()
def aws() -> None:
    """Set up and check the AWS accounts of a configuration."""


@app.command("plan")
def plan(
    config: ConfigFile,
    output: Annotated[
        Format, typer.Option("--format", "-f", help="What to write it for.", case_sensitive=False)
    ] = Format.TERRAFORM,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The folder to write to; absent: standard output.")
    ] = None,
) -> None:
    """Writes the set-up of every account and role: trust, revocation policies, remit-revoker, the gateway's rights.

    Nothing is changed at AWS, and nothing is asked of it.
    """
    from remit_server.adapters.aws.setup.cloudformation import templates
    from remit_server.adapters.aws.setup.plan import plan_of
    from remit_server.adapters.aws.setup.terraform import modules
    from remit_server.bootstrap.revocation import names_of

    settings = _settings(config)
    issuer = settings.own_issuer
    made = plan_of(settings.roles, names_of(settings), None if issuer is None else issuer.url)
    files = modules(made) if output is Format.TERRAFORM else templates(made)
    if settings.revocation is None:
        complain("note: [revocation] is absent from the configuration: without it the gateway writes no denies")
    for account in made.accounts:
        for role in account.roles:
            if role.ceiling is None:
                complain(f"note: the ceiling of {role.name} is too long for an inline policy: its own stay as they are")
    _write(files, out)


@app.command("doctor")
def doctor(
    config: ConfigFile,
    *,
    profile: Annotated[
        list[str] | None,
        typer.Option("--profile", "-p", help="An AWS profile that may read IAM; once for each account."),
    ] = None,
    gateway: Annotated[
        str | None, typer.Option("--gateway", help="The ARN of the gateway's own role or user, where it is not found.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Compares the live accounts with the configuration: what is missing, what is wrong, what is too wide.

    It only reads. Without --profile it looks with the gateway's own credentials. Ends with 1 when there is a fault.
    """
    from remit_server.adapters.aws.setup.connecting import Connecting, NotConnected
    from remit_server.adapters.aws.setup.doctor import examine
    from remit_server.adapters.aws.setup.findings import Weight
    from remit_server.bootstrap.revocation import names_of

    settings = _settings(config)
    connecting = Connecting(settings, names_of(settings))
    try:
        accounts = connecting.accounts(profile or [])
        examined = connecting.examined(accounts, has_profiles=bool(profile), gateway=gateway)
    except NotConnected as failed:
        complain(str(failed))
        raise typer.Exit(CANNOT_START) from failed
    findings = examine(replace(examined, mark=_own_mark(settings)), accounts)
    _tell(findings, as_json=as_json, revocation=settings.revocation is not None)
    if any(finding.weight is Weight.FAULT for finding in findings):
        raise typer.Exit(WRONG)


def _tell(findings: "list[Finding]", *, as_json: bool, revocation: bool) -> None:
    """Prints the findings, faults first."""
    from remit_server.adapters.aws.setup.findings import Weight, as_json_values

    ordered = sorted(findings, key=lambda finding: finding.weight is Weight.NOTE)
    if as_json:
        typer.echo(json.dumps(as_json_values(ordered), indent=2))
        return
    for finding in ordered:
        typer.echo(str(finding))
    if not revocation:
        typer.echo("note: [revocation] is absent from the configuration: what it needs was not looked at")
    faults = sum(finding.weight is Weight.FAULT for finding in findings)
    typer.echo(f"{counted(faults, 'fault')}, {counted(len(findings) - faults, 'note')}")


def _own_mark(settings: "Settings") -> str | None:
    """Returns the mark of the configured ledger; None where it cannot be read from here, or has no record yet."""
    from remit_server.adapters.database.engine import DatabaseRefused
    from remit_server.adapters.database.trail.audit_log import UnreadableRecord, events
    from remit_server.application.revocation.texts import mark_of_ledger

    try:
        first = next(events(settings.database_url, password_file=settings.database_password_file, limit=1), None)
    except (DatabaseRefused, UnreadableRecord):
        return None
    return None if first is None else mark_of_ledger(first.event_hash)


def _settings(config: Path) -> "Settings":
    """Returns the configuration, or tells its mistakes and ends with 1."""
    from remit_server.config.loading import ConfigurationError, load

    try:
        return load(config)
    except ConfigurationError as error:
        complain(str(error))
        raise typer.Exit(WRONG) from error


def _write(files: dict[str, str], out: Path | None) -> None:
    """Writes the files below the folder, or all of them to standard output, each below a line with its path."""
    for path, text in files.items():
        if out is None:
            typer.echo(f"# ==> {path} <==\n{text}")
            continue
        try:
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            (out / path).write_text(text, encoding="utf-8")
        except OSError as error:
            complain(f"{out / path} cannot be written: {error.strerror}. Name a folder that may be written to.")
            raise typer.Exit(CANNOT_START) from error
        typer.echo(str(out / path))
