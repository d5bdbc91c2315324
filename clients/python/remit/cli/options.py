"""The options by which every command says what a task needs."""

from types import MappingProxyType
from typing import Annotated

import typer

from remit.local.wishes import Options

Profile = Annotated[
    str | None, typer.Option("--profile", "-p", help="A profile of the settings, by name; other options go over it.")
]
Purpose = Annotated[str | None, typer.Option(help="What it is for, in words for people: it decides nothing.")]
Allow = Annotated[
    list[str] | None,
    typer.Option(
        help="What is needed; again for more. 's3:GetObject=arn:aws:s3:::reports/2026/*', "
        "'s3.read_prefix bucket=reports prefix=2026/', 'read s3://reports/2026/*', JSON, or @FILE with JSON.",
        metavar="INTENT",
    ),
]
Duration = Annotated[
    str | None,
    typer.Option(help="How long, as 900, 15m or 1h: the credentials then end. Without it they are renewed."),
]
Narrow = Annotated[bool, typer.Option("--narrow", help="Take the part that may be had instead of a refusal.")]
Label = Annotated[list[str] | None, typer.Option(help="key=value, for policies to read; again for more.")]
Region = Annotated[str | None, typer.Option(help="The AWS region, where the environment says none.")]
RequestId = Annotated[
    str | None, typer.Option(help="The request id of an approval that was pending: collects what was approved.")
]


def options(
    *,
    profile: str | None,
    purpose: str | None,
    allow: list[str] | None,
    duration: str | None,
    narrow: bool,
    label: list[str] | None,
    region: str | None,
    request_id: str | None,
) -> Options:
    """Returns the options as one value; raises typer.BadParameter for a label without a value."""
    pairs = [item.partition("=") for item in label or []]
    if not all(key and equals for key, equals, _ in pairs):
        raise typer.BadParameter("write labels as key=value", param_hint="--label")
    return Options(
        profile=profile,
        purpose=purpose,
        allow=tuple(allow or ()),
        duration=duration,
        narrow=narrow,
        labels=MappingProxyType({key: value for key, _, value in pairs}),
        region=region,
        request_id=request_id,
    )
