"""`remit run`: a command with the credentials of one task, which ends with it."""

import os
from typing import Annotated

import typer

from remit.cli.app import app, failures_told
from remit.cli.options import Allow, Duration, Label, Narrow, Profile, Purpose, Region, RequestId, options


@app.command(context_settings={"allow_interspersed_args": False})
def run(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND [ARGUMENTS]...", show_default=False)],
    *,
    profile: Profile = None,
    purpose: Purpose = None,
    allow: Allow = None,
    duration: Duration = None,
    narrow: Narrow = False,
    label: Label = None,
    region: Region = None,
    request_id: RequestId = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for people who have to approve it.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing of what was got.")] = False,
) -> None:
    """Run a command with credentials for one task, and end the task with it.

    remit run --purpose 'read Q3' --allow 'read s3://reports/2026/q3/*' -- aws s3 cp s3://reports/2026/q3/summary.md -

    The command finds no other AWS credentials: not the shell's, no profile's, no machine's. This exits as it does.
    """
    from remit.local.running.running import Wanted, run_command
    from remit.local.wishes import Caller, wish_of

    told = options(
        profile=profile,
        purpose=purpose,
        allow=allow,
        duration=duration,
        narrow=narrow,
        label=label,
        region=region,
        request_id=request_id,
    )
    with failures_told():
        caller = Caller.of(os.environ)
        wish = wish_of(told, caller.settings, files=True)
        wanted = Wanted(tuple(command), wish, caller, waits=wait)
        code = run_command(wanted, say=lambda line: None if quiet else typer.echo(f"remit: {line}", err=True))
    raise typer.Exit(code)
