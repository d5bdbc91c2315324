"""`remit-server policy show`: one published revision, when it decided, and what is in it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from remit_server.cli.audit_words import plain
from remit_server.cli.policy.app import app, refused_by
from remit_server.cli.policy.naming.desk import AsJson, short
from remit_server.cli.policy.naming.whom import asks_a_desk

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.cli.policy.naming.desk import Desk
    from remit_server.transport.grpc.policy.calls import GetRevisionResponse, PolicyActivation

Revision = Annotated[
    str, typer.Argument(metavar="[REV]", help="Its digest, or the first 8 or more digits; without it the active one.")
]


@app.command("show")
@asks_a_desk
def show_revision(
    desk: "Desk",
    *,
    revision: Revision = "",
    files: Annotated[bool, typer.Option("--files", help="Also names its files, with their bytes.")] = False,
    as_json: AsJson = False,
) -> None:
    """Shows one revision: who published it, what is in it, and when it decided."""
    from remit_server.adapters.policy.findings import BundleRefused
    from remit_server.transport.grpc.operator_calls import as_json as json_of

    shown = desk.shown(revision)
    if as_json:
        typer.echo(json_of(shown))
        return
    for label, text in _told(shown):
        typer.echo(f"{label:<14} {text}")
    if files:
        try:
            _tell_files(desk, shown.revision.revision)
        except BundleRefused as refused:
            raise refused_by(refused) from refused


def _told(shown: "GetRevisionResponse") -> Iterator[tuple[str, str]]:
    """Yields what a revision is, label by label."""
    from remit_server.transport.grpc.policy.calls import source_name

    revision = shown.revision
    yield "revision", plain(revision.revision)
    yield "decides", "now" if revision.active else "no"
    if revision.block:
        block = plain(revision.block)
        yield "blocked", f"by {block}; to lift it: remit-server grants unblock {block} --why '...'"
    published = f"{revision.publish_time.ToDatetime():%F %T} UTC"
    yield "published", f"{published} by {plain(revision.publisher)} ({source_name(revision)})"
    if revision.HasField("built_time"):
        yield "built", f"{revision.built_time.ToDatetime():%F %T} UTC, as its manifest says"
    yield "signed by", plain(revision.signed_by) or "nobody"
    holds = f"{revision.entitlements} entitlements, {revision.capabilities} capabilities"
    yield "holds", f"{holds}, {revision.rule_files} files of rules; {revision.size} bytes"
    for activation in shown.activations:
        yield "activated", _told_activation(activation)


def _told_activation(activation: "PolicyActivation") -> str:
    """Returns when a revision began to decide, and by whom."""
    from remit_server.transport.grpc.policy.calls import kind_name

    when = f"{activation.time.ToDatetime():%F %T} UTC"
    revoked = f"; it went with revocation {plain(activation.revocation)}" if activation.revocation else ""
    why = f": {plain(activation.why)}" if activation.why else ""
    return f"{when}, {kind_name(activation)} by {plain(activation.by)}{why}{revoked}"


def _tell_files(desk: "Desk", revision: str) -> None:
    """Names the files of a revision; raises BundleRefused for what the gateway sends in place of it."""
    from remit_server.cli.policy.naming.received import received_files

    files = received_files(*desk.download(revision))
    typer.echo(f"its {len(files)} files ({short(revision)}):")
    for path, content in sorted(files.items()):
        typer.echo(f"{len(content):>10}  {path}")
