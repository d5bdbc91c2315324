"""`remit-server policy publish`: gives a gateway a bundle, to be replayed and activated."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from remit_server.cli.finding_words import told_finding
from remit_server.cli.output import complain
from remit_server.cli.policy.app import DEFAULT_BUNDLE, BundleFolder, app, refused_by
from remit_server.cli.policy.naming.desk import AsJson, archive_of, short
from remit_server.cli.policy.naming.whom import asks_a_desk

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.cli.policy.naming.desk import Desk

Archive = Annotated[
    Path | None,
    typer.Argument(metavar="[ARCHIVE]", help="A bundle in one file (.tar.gz) instead of a folder.", dir_okay=False),
]


@app.command("publish")
@asks_a_desk
def publish_policy(
    desk: "Desk", *, archive: Archive = None, bundle: BundleFolder = DEFAULT_BUNDLE, as_json: AsJson = False
) -> None:
    """Publishes a bundle: from then on every replica knows it. It decides once it is activated.

    The same files are the same revision, however often they are published.
    """
    from remit_server.adapters.policy.findings import BundleRefused
    from remit_server.transport.grpc.operator_calls import as_json as json_of

    try:
        content = archive_of(bundle, archive)
    except BundleRefused as refused:
        raise refused_by(refused) from refused
    published = desk.publish(content)
    if as_json:
        typer.echo(json_of(published))
        return
    for finding in published.advice:
        complain(f"advice: {told_finding(finding)}")
    revision = published.revision
    news = "is published" if published.created else "was published before"
    state = (
        "decides now"
        if revision.active
        else f"decides nothing yet: remit-server policy activate {short(revision.revision)} --why '...'"
    )
    typer.echo(f"revision {revision.revision} {news}; it {state}")
