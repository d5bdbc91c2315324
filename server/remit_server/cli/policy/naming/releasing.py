"""What `policy sign` and `policy build` share: who signs, and when the bundle was built."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from remit_server.cli.output import CANNOT_START, complain

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.adapters.policy.sources.building import Signer

Scope = Annotated[str, typer.Option("--scope", help="What the signature is for; gateways must want the same.")]
BuiltTime = Annotated[
    str,
    typer.Option("--built-time", help='When it was built, such as "2026-11-29T09:00:00Z".', show_default="now"),
]


def signer_of(key: Path, key_id: str, scope: str) -> "Signer":
    """Returns who signs; ends the command when the key or its id will not do."""
    from remit_server.adapters.policy.sources.building import Signer
    from remit_server.adapters.policy.sources.signing import SigningKey, UnfitSigningKey
    from remit_server.config.identity_rules import is_claim_name, is_key_id

    if not is_key_id(key_id):
        complain("--key-id must be 1 to 128 letters, digits, dots, _ or -: the id under policy.signing.keys.")
        raise typer.Exit(CANNOT_START)
    if scope and not is_claim_name(scope):
        complain("--scope must be printable ASCII without spaces, as policy.signing.scope is.")
        raise typer.Exit(CANNOT_START)
    try:
        return Signer(SigningKey.of(key), key_id, scope)
    except UnfitSigningKey as wrong:
        complain(f"{wrong}.")
        raise typer.Exit(CANNOT_START) from wrong


def time_of(text: str) -> datetime:
    """Returns the time that a text says, now where it is empty; ends the command when it says none."""
    from remit_server.adapters.policy.bundles.manifest import moment

    if not text:
        return datetime.now(UTC)
    time = moment(text)
    if time is None:
        complain('--built-time must be a time in UTC such as "2026-11-29T09:00:00Z".')
        raise typer.Exit(CANNOT_START)
    return time
