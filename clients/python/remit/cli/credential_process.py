"""`remit credential-process`: what an AWS profile's `credential_process` names."""

from typing import Annotated

import typer

from remit.cli.app import app
from remit.cli.options import Allow, Duration, Label, Narrow, Profile, Purpose, Region, RequestId, options


@app.command("credential-process")
def credential_process(
    *,
    profile: Profile = None,
    purpose: Purpose = None,
    allow: Allow = None,
    duration: Duration = None,
    narrow: Narrow = False,
    label: Label = None,
    region: Region = None,
    request_id: RequestId = None,
    socket: Annotated[str | None, typer.Option(help="The socket to ask, instead of the endpoint's.")] = None,
    handle: Annotated[str | None, typer.Option(help="A task that the process at the socket holds already.")] = None,
) -> None:
    """Print credentials as AWS tools read them from a profile.

    In ~/.aws/config, for the profile `reports`: credential_process = remit credential-process --profile reports

    While `remit endpoint` runs, everybody who asks for the same shares one task. Without it every call begins a task of
    its own, whose credentials work until their end.
    """
    from remit.cli.short_way import deliver

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
    values = {name: getattr(told, name) for name in ("profile", "purpose", "duration", "region", "request_id")}
    given = {name: value for name, value in values.items() if value is not None}
    extra = {name: value for name, value in {"socket": socket, "handle": handle}.items() if value is not None}
    lists = {"allow": list(told.allow), "labels": dict(told.labels), "narrow": told.narrow}
    raise typer.Exit(deliver({**given, **lists, **extra}))
