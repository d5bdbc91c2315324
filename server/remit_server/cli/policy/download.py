"""`remit-server policy download`: fetches a published bundle, as an archive or into a folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from remit_server.cli.output import CANNOT_START, complain
from remit_server.cli.policy.app import app, refused_by
from remit_server.cli.policy.naming.whom import asks_a_desk
from remit_server.cli.policy.show import Revision

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.cli.policy.naming.desk import Desk


@app.command("download")
@asks_a_desk
def download_revision(
    desk: "Desk",
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A file that does not exist yet (.tar.gz), or an empty folder.")
    ],
    revision: Revision = "",
) -> None:
    """Downloads a bundle: byte for byte as it was published into a file, or its files into a folder."""
    from remit_server.adapters.policy.findings import BundleRefused
    from remit_server.cli.policy.naming.received import received_files

    into_folder = output.is_dir()
    if (into_folder and any(output.iterdir())) or (output.exists() and not into_folder):
        complain(f"{output} is there already: name a file that is not, or an empty folder.")
        raise typer.Exit(CANNOT_START)
    digest, archive = desk.download(revision)
    try:
        files = received_files(digest, archive)
    except BundleRefused as refused:
        raise refused_by(refused) from refused
    if into_folder:
        _write(files, output)
    else:
        with output.open("xb") as opened:
            opened.write(archive)
    typer.echo(f"revision {digest}: {len(files)} files, {len(archive)} bytes packed, in {output}")


def _write(files: Mapping[str, bytes], folder: Path) -> None:
    """Writes files into an empty folder; their paths are plain steps below it."""
    for path, content in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("xb") as opened:
            opened.write(content)
