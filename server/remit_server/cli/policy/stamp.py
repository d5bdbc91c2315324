"""`remit-server policy stamp`: writes a bundle's revision into its manifest."""

from datetime import UTC, datetime

import typer

from remit_server.cli.policy.app import DEFAULT_BUNDLE, BundleFolder, app, refused_by


@app.command("stamp")
def stamp_policy(bundle: BundleFolder = DEFAULT_BUNDLE) -> None:
    """Writes the revision of the files and the time into .manifest, after every intended change to them."""
    from remit_server.adapters.policy.bundles.bundle import read_bundle, stamp
    from remit_server.adapters.policy.findings import BundleRefused

    try:
        revision = stamp(bundle, datetime.now(UTC))
        read_bundle(bundle)
    except BundleRefused as refused:
        raise refused_by(refused) from refused
    typer.echo(f"revision {revision}")
