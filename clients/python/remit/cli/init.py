"""`remit init`: settings, the AWS profile and shell completion of a machine."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from remit.cli.app import app, failures_told
from remit.cli.options import Allow, Duration, Narrow, Purpose, Region

if TYPE_CHECKING:
    from remit.local.setting_up import Answers, Edit


@app.command()
def init(
    profile: Annotated[str, typer.Argument(help="The name of a task, and of the AWS profile that stands for it.")],
    *,
    purpose: Purpose = None,
    allow: Allow = None,
    duration: Duration = None,
    narrow: Narrow = False,
    region: Region = None,
    aws_profile: Annotated[str | None, typer.Option(help="Another name for the AWS profile.")] = None,
    gateway: Annotated[str | None, typer.Option(help="host:port of the gateway.")] = None,
    ca_file: Annotated[Path | None, typer.Option(help="Whom to trust for the gateway (PEM).")] = None,
    certificate_file: Annotated[Path | None, typer.Option(help="This agent's certificate (PEM).")] = None,
    key_file: Annotated[Path | None, typer.Option(help="The key of that certificate (PEM).")] = None,
    bearer: Annotated[
        str | None, typer.Option(help="Where this agent's own token comes from, such as file:/...")
    ] = None,
    issuer: Annotated[str | None, typer.Option(help="Where people sign in, https://...")] = None,
    client_id: Annotated[str | None, typer.Option(help="This client's id at the issuer.")] = None,
    login_ca_file: Annotated[Path | None, typer.Option(help="Whom to trust for the issuer (PEM).")] = None,
    login_audience: Annotated[
        str | None, typer.Option(help="The audience to ask of the issuer, where it wants one.")
    ] = None,
    login_token: Annotated[
        str | None, typer.Option(help="id_token (usual) or access_token: which of the issuer's is yours here.")
    ] = None,
    completion: Annotated[
        str | None, typer.Option(help="bash, zsh, fish or none; that of $SHELL unless said.", metavar="SHELL")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be written, and write nothing.")] = False,
) -> None:
    """Write a task down, and the AWS profile by which unmodified tools get its credentials.

    What is in the files already stays as it is; what `remit init` writes stands between two marks, and is replaced when
    it is run again. Then: aws --profile PROFILE s3 ls s3://...
    """
    from remit.local.errors import InvalidSettings
    from remit.local.setting_up import Answers, apply

    task = {"purpose": purpose, "allow": tuple(allow or ()), "duration": duration, "narrow": narrow, "region": region}
    place = {
        "target": gateway,
        "ca_file": _path(ca_file),
        "certificate_file": _path(certificate_file),
        "key_file": _path(key_file),
        "bearer": bearer,
    }
    sign_in = {
        "issuer": issuer,
        "client_id": client_id,
        "ca_file": _path(login_ca_file),
        "audience": login_audience,
        "token": login_token,
    }
    answers = Answers(
        profile,
        task if any(task.values()) else {},
        place if gateway else {},
        sign_in,
    )
    with failures_told():
        if gateway is None and any(place.values()):
            raise InvalidSettings("options of the gateway are given without it", advice="give --gateway host:port too")
        edits = _edits(answers, aws_profile or profile, region, completion)
        kept = [] if dry_run else apply(edits)
    for edit in edits:
        _tell(edit, dry_run=dry_run)
    for copy in kept:
        typer.echo(f"what was there is kept as {copy}")


def _edits(answers: "Answers", aws_profile: str, region: str | None, completion: str | None) -> "list[Edit]":
    """Returns every edit; raises InvalidSettings before any is made."""
    from remit.local.setting_up import AwsProfile, completion_edits, with_aws_profile, with_settings
    from remit.local.setting_up.aws_profile import aws_config_file
    from remit.local.setting_up.completion import usual_shell
    from remit.local.settings import load_settings, settings_file

    settings = with_settings(answers, settings_file())
    if not answers.task:
        load_settings().profile(answers.profile)
    shell = completion or usual_shell(os.environ) or "none"
    return [
        *([settings] if settings else []),
        with_aws_profile(AwsProfile(aws_profile, answers.profile, region), aws_config_file()),
        *(completion_edits(shell, Path.home()) if shell != "none" else []),
    ]


def _tell(edit: "Edit", *, dry_run: bool) -> None:
    """Says what is written, or would be."""
    if not edit.changes:
        typer.echo(f"{edit.file} is as it should be")
        return
    typer.echo(f"{edit.file} {'would get' if dry_run else 'has'}\n")
    typer.echo("".join(f"  {line}\n" for line in edit.block.splitlines()))


def _path(file: Path | None) -> str | None:
    return None if file is None else str(file.expanduser().absolute())
