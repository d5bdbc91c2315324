"""`remit-server policy sign`: signs a bundle's folder in OPA's format."""

from pathlib import Path
from typing import Annotated

import typer

from remit_server.cli.policy.app import DEFAULT_BUNDLE, BundleFolder, app, refused_by
from remit_server.cli.policy.naming.releasing import BuiltTime, Scope, signer_of, time_of

Key = Annotated[Path, typer.Option("--key", help="The private key (PEM: P-256, RSA or Ed25519).", dir_okay=False)]
KeyId = Annotated[str, typer.Option("--key-id", help="The id under which gateways know the key.")]


@app.command("sign")
def sign_policy(
    key: Key,
    key_id: KeyId,
    bundle: BundleFolder = DEFAULT_BUNDLE,
    scope: Scope = "",
    built_time: BuiltTime = "",
) -> None:
    """Writes revision and time into .manifest and a signature over every file into .signatures.json.

    The last step before a bundle leaves: what is changed afterwards is refused by every gateway that knows the key.
    """
    from remit_server.adapters.policy.bundles.bundle import MANIFEST, SIGNATURES
    from remit_server.adapters.policy.bundles.bundle_files import read_files
    from remit_server.adapters.policy.findings import BundleRefused
    from remit_server.adapters.policy.sources.building import built

    signer = signer_of(key, key_id, scope)
    time = time_of(built_time)
    try:
        ready = built(read_files(bundle), time, signer)
    except BundleRefused as refused:
        raise refused_by(refused) from refused
    # NOTE: the old signature goes first, so that at no moment the folder holds one that does not fit.
    (bundle / SIGNATURES).unlink(missing_ok=True)
    for path in (MANIFEST, SIGNATURES):
        (bundle / path).write_bytes(ready.files[path])
    typer.echo(f"revision {ready.bundle.revision}: signed by {key_id}, built {time:%Y-%m-%dT%H:%M:%SZ}")
