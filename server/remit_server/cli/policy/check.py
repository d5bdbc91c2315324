"""`remit-server policy check`: all that is to be said of a bundle before it decides, with why and how to mend."""

import asyncio
import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from remit_server.cli.audit_words import plain
from remit_server.cli.output import CANNOT_START, WRONG, complain
from remit_server.cli.policy.app import DEFAULT_BUNDLE, BundleFolder, app

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.adapters.policy.checking.report import Report
    from remit_server.adapters.policy.findings import Finding
    from remit_server.config.settings import Settings


class Format(StrEnum):
    """How findings are printed."""

    TEXT = "text"
    JSON = "json"


@app.command("check")
def check_policy(
    bundle: BundleFolder = DEFAULT_BUNDLE,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="The gateway's remit.toml: its roles, ceilings, agents and issuers count."),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="text for people, json for programs.")] = Format.TEXT,
    *,
    strict: Annotated[bool, typer.Option("--strict", help="Ends with 1 when there is advice, too.")] = False,
) -> None:
    """Tells what is wrong with a bundle: 0 sound, 1 refused (or advice, with --strict), 2 could not be checked.

    docs/policy-check.md has every rule, and the JSON.
    """
    from remit_server.adapters.policy.bundles.bundle_files import read_files
    from remit_server.adapters.policy.checking.report import Report, check_files
    from remit_server.adapters.policy.findings import BundleRefused

    settings = _settings(config) if config is not None else None
    if not bundle.is_dir():
        complain(f"{bundle}: there is no such folder. Name the folder that holds .manifest with --bundle.")
        raise typer.Exit(CANNOT_START)
    try:
        report = asyncio.run(check_files(read_files(bundle), settings))
    except BundleRefused as refused:  # files that must not even be read
        report = Report("", refused.findings, 0, 0, 0)
    is_wrong = bool(report.errors or (strict and report.findings))
    if form is Format.JSON:
        typer.echo(json.dumps(_as_json(report, refused=is_wrong), indent=2))
    else:
        _print(report)
    if is_wrong:
        raise typer.Exit(WRONG)


def _settings(config: Path) -> "Settings":
    """Returns the gateway's configuration, or ends: a bundle cannot be held against one that is wrong itself."""
    from remit_server.config.loading import ConfigurationError, load

    try:
        return load(config)
    except ConfigurationError as error:
        complain(f"{error}\nThe bundle was not checked. Mend the configuration first: `remit-server config check`.")
        raise typer.Exit(CANNOT_START) from error


def _print(report: "Report") -> None:
    """Prints every finding to standard error, errors first, then one line on the whole."""
    for finding in (*report.errors, *report.advice):
        complain(_told(finding))
    if report.errors:
        complain(f"refused: {_counted(report)}")
        return
    typer.echo(
        f"revision {report.revision}: {report.rule_files} files of rules, {report.entitlements} entitlements, "
        f"{report.capabilities} capabilities; {_counted(report)}"
    )


def _told(finding: "Finding") -> str:
    """Returns a finding as a person reads it; nothing in it steers a terminal."""
    from remit_server.adapters.policy.findings import ended

    return (
        f"{finding.severity}: {plain(finding.place)}: {plain(finding.problem)} [{finding.rule}]\n"
        f"    why:  {ended(finding.why)}\n    mend: {plain(ended(finding.mend))}"
    )


def _counted(report: "Report") -> str:
    """Returns how many findings there are."""
    errors, advice = len(report.errors), len(report.advice)
    return f"{errors} {'error' if errors == 1 else 'errors'}, {advice} {'piece' if advice == 1 else 'pieces'} of advice"


def _as_json(report: "Report", *, refused: bool) -> dict[str, Any]:
    """Returns the report as docs/policy-check.md describes it; members are only ever added."""
    return {
        "format": 1,
        "refused": refused,
        "revision": report.revision,
        "counts": {
            "errors": len(report.errors),
            "advice": len(report.advice),
            "rule_files": report.rule_files,
            "entitlements": report.entitlements,
            "capabilities": report.capabilities,
        },
        "findings": [
            {
                "rule": finding.rule,
                "severity": finding.severity.value,
                "path": finding.path,
                "line": finding.line,
                "problem": finding.problem,
                "why": finding.why,
                "mend": finding.mend,
            }
            for finding in report.findings
        ],
    }
