"""`remit serve-container`: one task's credentials for the other containers of a pod."""

import os
from pathlib import Path
from typing import Annotated

import typer

from remit.cli.app import app, failures_told
from remit.cli.options import Allow, Duration, Label, Narrow, Profile, Purpose, RequestId, options


@app.command("serve-container")
def serve_container(
    *,
    port: Annotated[int, typer.Option(help="The port on 127.0.0.1 to answer at.", min=1, max=65535)],
    token_file: Annotated[Path, typer.Option(help="Where to write the token that programs have to show.")],
    group_readable: Annotated[
        bool, typer.Option("--group-readable", help="Let the group of that file read it: other users' containers.")
    ] = False,
    profile: Profile = None,
    purpose: Purpose = None,
    allow: Allow = None,
    duration: Duration = None,
    narrow: Narrow = False,
    label: Label = None,
    request_id: RequestId = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for people who have to approve it.")] = False,
) -> None:
    """Serve one task's credentials to programs that share this loopback, as a sidecar in a pod does; end it at SIGTERM.

    They find it by AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:PORT/credentials and
    AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE, which names the file: whoever reads that has the task's credentials.
    """
    from remit.local.running.running import Wanted
    from remit.local.running.sidecar import Place, serve_task
    from remit.local.wishes import Caller, wish_of

    told = options(
        profile=profile,
        purpose=purpose,
        allow=allow,
        duration=duration,
        narrow=narrow,
        label=label,
        region=None,
        request_id=request_id,
    )
    with failures_told():
        caller = Caller.of(os.environ)
        wanted = Wanted((), wish_of(told, caller.settings, files=True), caller, waits=wait)
        place = Place(port, token_file.absolute(), group_readable)
        code = serve_task(wanted, place, say=lambda line: typer.echo(f"remit: {line}", err=True))
    raise typer.Exit(code)
