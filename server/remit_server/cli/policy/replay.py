"""`remit-server policy replay`: runs what was really asked on a candidate and says what would change."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from remit_server.cli.audit_words import counted
from remit_server.cli.output import CANNOT_START, WRONG, complain
from remit_server.cli.policy.app import app
from remit_server.cli.policy.replaying.rendering import Format, since_of
from remit_server.cli.policy.replaying.wanted import Wanted
from remit_server.cli.policy.replaying.whence import asks_a_replayer

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.application.policy.replaying.report import Report
    from remit_server.cli.policy.replaying.whence import Replayer

MOST = 1_000_000


@app.command("replay")
@asks_a_replayer
def replay_policy(
    replayer: "Replayer",
    *,
    against: Annotated[
        str,
        typer.Option(
            "--against",
            metavar="CANDIDATE",
            help="A bundle's folder, its archive, or the digest of a revision published in the database.",
        ),
    ],
    since: Annotated[
        str, typer.Option("--since", help="How far back: 30d, 12h, or a day (2026-11-01) or time, in UTC.")
    ] = "30d",
    most: Annotated[int, typer.Option("--most", min=1, max=MOST, help="At most so many, the newest.")] = MOST,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Replays under the roles of this remit.toml, not under those of the records."),
    ] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, max=64, help="Workers; one per core if unset.")] = None,
    form: Annotated[Format, typer.Option("--format", help="How to tell it.")] = Format.TEXT,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file to write it to.")] = None,
    ci: Annotated[
        bool, typer.Option("--ci", help="Ends with 1 when somebody may do more or is newly refused, unless allowed.")
    ] = False,
    allow_widening: Annotated[bool, typer.Option("--allow-widening", help="With --ci: more is meant.")] = False,
    allow_refusals: Annotated[bool, typer.Option("--allow-refusals", help="With --ci: refusals are meant.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Tells no progress.")] = False,
) -> None:
    """Runs what agents really asked on a candidate, and says in AWS permissions what would change.

    It reads the ledger, or a copy of it, and writes nothing to it; or a gateway does, for a published revision. With
    --ci it ends with 1 when somebody may do more (without --allow-widening), is newly refused or gets no decision
    (without --allow-refusals); with 2 when it could not replay.
    """
    from remit_server.cli.policy.replaying.rendering import rendered
    from remit_server.domain.errors import RemitError

    now = datetime.now(UTC)
    try:
        wanted = Wanted(against, since_of(since, now), now, most, config, jobs, quiet)
        report = replayer(wanted)
        text = rendered(report, form)
        if output is None:
            typer.echo(text, nl=False)
        else:
            output.write_text(text, encoding="utf-8")
            if not quiet:
                complain(f"written to {output}: {counted(len(report.groups), 'finding')}")
    except BrokenPipeError:
        raise
    except (RemitError, ValueError, OSError) as failed:
        complain(f"It could not be replayed: {failed}")
        raise typer.Exit(CANNOT_START) from failed
    if ci:
        _judge(report, allow_widening=allow_widening, allow_refusals=allow_refusals)


def _judge(report: "Report", *, allow_widening: bool, allow_refusals: bool) -> None:
    """Ends the command with 1 for what was not allowed, and with 2 where nothing on record could be compared."""
    if report.decisions and not report.compared:
        complain(f"NOT ACCEPTED: none of {report.decisions:,} decisions could be compared: the report says why")
        raise typer.Exit(CANNOT_START)
    refused = []
    if report.widens and not allow_widening:
        refused.append("somebody may do more: if that is meant, say --allow-widening")
    if report.refuses and not allow_refusals:
        refused.append("somebody is newly refused or gets no decision: if that is meant, say --allow-refusals")
    for reason in refused:
        complain(f"NOT ACCEPTED: {reason}")
    if refused:
        raise typer.Exit(WRONG)
