"""`remit-server policy build`: makes one archive of a bundle, byte for byte what the folder holds."""

from pathlib import Path
from typing import Annotated

import typer

from remit_server.cli.output import CANNOT_START, complain
from remit_server.cli.policy.app import DEFAULT_BUNDLE, BundleFolder, app, refused_by
from remit_server.cli.policy.naming.releasing import BuiltTime, Scope, signer_of, time_of

Output = Annotated[Path, typer.Option("--output", "-o", help="The archive to write.", dir_okay=False)]
Key = Annotated[Path | None, typer.Option("--key", help="Signs with this private key (PEM).", dir_okay=False)]
KeyId = Annotated[str, typer.Option("--key-id", help="The id under which gateways know the key.")]


@app.command("build")
def build_policy(  # noqa: PLR0917 - typer passes all of them by name
    bundle: BundleFolder = DEFAULT_BUNDLE,
    output: Output = Path("bundle.tar.gz"),
    key: Key = None,
    key_id: KeyId = "",
    scope: Scope = "",
    built_time: BuiltTime = "",
) -> None:
    """Writes an archive that OPA and gateways read, under the folder's revision; the folder stays as it is.

    Equal files, time and no signature make equal bytes.
    """
    from remit_server.adapters.policy.bundles.archive import archive_of_files
    from remit_server.adapters.policy.bundles.bundle_files import read_files
    from remit_server.adapters.policy.findings import BundleRefused
    from remit_server.adapters.policy.sources.building import built

    if key is None and (key_id or scope):
        complain("--key-id and --scope belong to a signature: name its key with --key.")
        raise typer.Exit(CANNOT_START)
    signer = signer_of(key, key_id, scope) if key is not None else None
    time = time_of(built_time)
    try:
        ready = built(read_files(bundle), time, signer)
    except BundleRefused as refused:
        raise refused_by(refused) from refused
    archive = archive_of_files(ready.files)
    unfinished = output.with_name(f"{output.name}.unfinished")
    try:
        unfinished.write_bytes(archive)
        unfinished.replace(output)  # whoever serves it never serves half of it
    except OSError as wrong:
        complain(f"{output} cannot be written: {wrong.strerror}. Name a file in a folder that you may write to.")
        raise typer.Exit(CANNOT_START) from wrong
    how = f"signed by {key_id}" if signer is not None else "not signed"
    typer.echo(f"revision {ready.bundle.revision}: {output}, {len(archive)} bytes, {how}")
