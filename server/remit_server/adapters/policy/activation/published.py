"""Reads a published revision out of the database: what comes back must be what was published."""

from collections.abc import Collection

from remit_server.adapters.policy.bundles.bundle import Bundle
from remit_server.adapters.policy.findings import BundleRefused
from remit_server.adapters.policy.reading.apart import read_apart
from remit_server.application.policy.ports import Revisions
from remit_server.domain.errors import Denied, Reason


async def published_bundle(revisions: Revisions, revision: str, roles: Collection[str] | None = None) -> Bundle:
    """Returns the bundle of a revision; with `roles` one that names another is refused.

    Raises Denied(NOT_FOUND) for what was not published, Denied(REVISION_REFUSED) for what this gateway cannot read or
    what is another bundle than its digest says, and Outage.
    """
    archive = await revisions.archive(revision)
    if archive is None:
        raise Denied(Reason.NOT_FOUND, "there is no published revision of that digest: publish it first")
    try:
        read = await read_apart(archive, roles)
    except BundleRefused as refused:
        raise not_for_here(refused) from refused
    if read.bundle.revision != revision:
        message = (
            f"the database holds another bundle under this digest ({read.bundle.revision[:12]}...): it was changed "
            "there. Publish the revision to a sound database"
        )
        raise Denied(Reason.REVISION_REFUSED, message)
    return read.bundle


def not_for_here(refused: BundleRefused) -> Denied:
    """Returns the refusal of a revision that may not decide, with the first of the reasons and their number."""
    first, *more = refused.findings
    others = f" ({len(more)} more: run `remit-server policy check`)" if more else ""
    return Denied(Reason.REVISION_REFUSED, f"this revision may not decide here: {first}{others}")
