"""What the commands about published revisions share: whom they ask, how they read a bundle, how they say a digest."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Protocol

import typer

from remit_server.cli.audit_words import plain
from remit_server.cli.output import CANNOT_START, complain

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.transport.grpc.operator_client import OperatorClient
    from remit_server.transport.grpc.policy.calls import (
        ActivateRevisionResponse,
        GetRevisionResponse,
        PolicyRevision,
        PublishRevisionResponse,
    )

AsJson = Annotated[bool, typer.Option("--json", help="Writes JSON, with whole digests.")]
Why = Annotated[str, typer.Option("--why", help="Why, for the record.")]
RevokeIssued = Annotated[
    bool, typer.Option("--revoke-issued", help="Also end what the revision before issued, and block that revision.")
]
Expected = Annotated[
    str, typer.Option("--expect", metavar="REV", help="Do it only if this revision is active now (64 hex digits).")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
SHORT: Final = 12
MAX_ARCHIVE: Final = 64 * 1024 * 1024


class Desk(Protocol):
    """Where published revisions are seen and changed: a gateway, or its database without one."""

    def publish(self, archive: bytes) -> "PublishRevisionResponse":
        """Publishes a bundle."""
        ...

    def listed(self, limit: int) -> "Iterator[PolicyRevision]":
        """Yields revisions, newest first, at most so many."""
        ...

    def shown(self, revision: str) -> "GetRevisionResponse":
        """Returns a revision, the active one for no digits."""
        ...

    def activate(
        self, revision: str, why: str, *, revoke_issued: bool, expected: str, rollback: bool
    ) -> "ActivateRevisionResponse":
        """Makes a revision the one that decides."""
        ...

    def download(self, revision: str) -> tuple[str, bytes]:
        """Returns the digest and the archive of a revision."""
        ...

    def live_grants(self, revision: str, at_most: int) -> int | None:
        """Returns how many live grants a revision has, counted up to so many; None where that cannot be seen."""
        ...


class GatewayDesk:
    """Asks a gateway."""

    def __init__(self, client: "OperatorClient") -> None:
        self._client = client

    def publish(self, archive: bytes) -> "PublishRevisionResponse":
        """Publishes a bundle."""
        from remit_server.transport.grpc.policy import calls

        return calls.publish(self._client, archive)

    def listed(self, limit: int) -> "Iterator[PolicyRevision]":
        """Yields revisions, newest first, at most so many."""
        from remit_server.transport.grpc.policy import calls

        return calls.list_revisions(self._client, limit)

    def shown(self, revision: str) -> "GetRevisionResponse":
        """Returns a revision, the active one for no digits."""
        from remit_server.transport.grpc.policy import calls

        return calls.get(self._client, revision)

    def activate(
        self, revision: str, why: str, *, revoke_issued: bool, expected: str, rollback: bool
    ) -> "ActivateRevisionResponse":
        """Makes a revision the one that decides."""
        from remit_server.transport.grpc.policy import calls

        return calls.activate(
            self._client, revision, why, revoke_issued=revoke_issued, expected=expected, rollback=rollback
        )

    def download(self, revision: str) -> tuple[str, bytes]:
        """Returns the digest and the archive of a revision."""
        from remit_server.transport.grpc.policy import calls

        return calls.download(self._client, revision)

    def live_grants(self, revision: str, at_most: int) -> int | None:
        """Returns how many live grants a revision has, counted up to so many; None where that cannot be seen."""
        from remit_server.transport.grpc.operator_calls import list_grants
        from remit_server.transport.grpc.operator_client import CallFailed

        wanted = f'policy_revision = "{revision}" AND state = ISSUED'
        try:
            return sum(1 for _ in list_grants(self._client, wanted, at_most))
        except CallFailed:
            return None


def archive_of(bundle: Path, archive: Path | None) -> bytes:
    """Returns the bundle in a folder, or an archive of one, as it is sent.

    Raises BundleRefused for what must not even be read, OSError for what cannot be.
    """
    from remit_server.adapters.policy.bundles.archive import archive_of_files
    from remit_server.adapters.policy.bundles.bundle_files import read_files

    if archive is None:
        return archive_of_files(read_files(bundle))
    with archive.open("rb") as opened:
        content = opened.read(MAX_ARCHIVE + 1)
    if len(content) > MAX_ARCHIVE:
        complain(f"{archive} has over {MAX_ARCHIVE} bytes, which no bundle has.")
        raise typer.Exit(CANNOT_START)
    return content


def short(digest: str) -> str:
    """Returns the first digits of a digest, as people are shown it."""
    return plain(digest[:SHORT])
