"""`--offline`: published revisions in the database itself, for when no gateway answers.

Whoever can write to the database could do more than this, so nobody is asked for a token. What is done is on record
with the name of the operating system's user, and running gateways obey it as any other activation.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import typer

from remit_server.cli.local_user import local_user
from remit_server.cli.output import CANNOT_START, WRONG, complain
from remit_server.cli.policy.app import refused_by

if TYPE_CHECKING:  # the rest is imported by the command that needs it, so that `--help` answers at once
    from remit_server.adapters.database.ledger import DatabaseLedger
    from remit_server.adapters.database.policies.revisions import DatabaseRevisions
    from remit_server.cli.policy.naming.desk import Desk
    from remit_server.domain.policy_revision import PublishedRevision
    from remit_server.transport.grpc.policy.calls import (
        ActivateRevisionResponse,
        GetRevisionResponse,
        PolicyRevision,
        PublishRevisionResponse,
    )

T = TypeVar("T")
_PAGE: Final = 500


def at_the_database(url: str, password_file: Path | None, act: "Callable[[Desk], None]") -> None:
    """Acts at the desk of a database, and tells what went wrong: 1 for a no, 2 for what could not be done."""
    from remit_server.adapters.database.engine import DatabaseRefused
    from remit_server.adapters.policy.findings import BundleRefused
    from remit_server.domain.errors import Denied, InvalidRequest, RemitError

    try:
        act(DatabaseDesk(url, password_file))
    except BundleRefused as refused:
        raise refused_by(refused) from refused
    except DatabaseRefused as refused:
        complain(str(refused))
        raise typer.Exit(CANNOT_START) from refused
    except RemitError as failed:
        complain(f"{failed.reason}: {failed.message}")
        is_no = isinstance(failed, Denied | InvalidRequest)
        raise typer.Exit(WRONG if is_no else CANNOT_START) from failed


@dataclass(frozen=True, slots=True)
class DatabaseDesk:
    """Publishes and activates in a database (implements `Desk`)."""

    url: str
    password_file: Path | None

    def publish(self, archive: bytes) -> "PublishRevisionResponse":
        """Publishes a bundle that refuses strangers; no gateway's roles are known here, and no signature is asked."""
        from remit_server.adapters.policy.reading.apart import read_apart
        from remit_server.adapters.rego.embedded import EmbeddedRego
        from remit_server.application.policy.ports import NewRevision
        from remit_server.application.policy.revisions.publish_revision import Published
        from remit_server.domain.policy_revision import RevisionSource
        from remit_server.transport.grpc.policy.mapping import publish_response

        async def publish(revisions: "DatabaseRevisions") -> "PublishRevisionResponse":
            read = await read_apart(archive)
            engine = await EmbeddedRego.start(read.bundle)
            await engine.close()
            new = NewRevision(read.facts, archive)
            kept, created = await revisions.publish(new, by=local_user(), source=RevisionSource.OFFLINE)
            active = await revisions.active()
            is_active = active is not None and active.revision == kept.revision
            return publish_response(Published(kept, created, ()), active=is_active)

        return self._done(publish)

    def listed(self, limit: int) -> "Iterator[PolicyRevision]":
        """Yields revisions, newest first, at most so many."""
        from remit_server.transport.grpc.policy.mapping import revision_message

        async def read(revisions: "DatabaseRevisions") -> "list[PolicyRevision]":
            active = await revisions.active()
            found: list[PolicyRevision] = []
            before: int | None = None
            while len(found) < limit:
                page = await revisions.listed(before=before, limit=min(_PAGE, limit - len(found)))
                if not page:
                    break
                before = page[-1].number
                blocks = await revisions.blocks([one.revision for one in page])
                found += [
                    revision_message(one, active=_is(one, active), block=blocks.get(one.revision, "")) for one in page
                ]
            return found

        return iter(self._done(read))

    def shown(self, revision: str) -> "GetRevisionResponse":
        """Returns a revision, the active one for no digits."""
        from remit_server.application.policy.revisions.see_revisions import shown_of
        from remit_server.transport.grpc.policy.mapping import get_response

        async def read(revisions: "DatabaseRevisions") -> "GetRevisionResponse":
            return get_response(await shown_of(revisions, await _meant(revisions, revision)))

        return self._done(read)

    def activate(
        self, revision: str, why: str, *, revoke_issued: bool, expected: str, rollback: bool
    ) -> "ActivateRevisionResponse":
        """Makes a revision the one that decides; for a rollback without digits, the one before the present one."""
        from remit_server.application.policy.ports import ActivationOrder
        from remit_server.transport.grpc.policy.mapping import activate_response

        async def activate(revisions: "DatabaseRevisions") -> "ActivateRevisionResponse":
            wanted, now = (revision, expected) if revision else await _before(revisions, expected)
            order = ActivationOrder(
                (await _meant(revisions, wanted)).revision,
                by=local_user(),
                why=why,
                revoke_issued=revoke_issued,
                expected_active=now,
                only_back=rollback,
            )
            return activate_response(await revisions.activate(order))

        return self._done(activate)

    def download(self, revision: str) -> tuple[str, bytes]:
        """Returns the digest and the archive of a revision."""

        async def read(revisions: "DatabaseRevisions") -> tuple[str, bytes]:
            meant = await _meant(revisions, revision)
            return meant.revision, await revisions.archive(meant.revision) or b""

        return self._done(read)

    def live_grants(self, revision: str, at_most: int) -> int | None:
        """Returns how many live grants a revision has, counted up to so many."""
        from remit_server.adapters.database.reading.grant_shelf import DatabaseGrants
        from remit_server.domain.administration import EVERYTHING
        from remit_server.domain.grant_filter.reading import filter_of

        async def read(revisions: "DatabaseRevisions") -> int:
            wanted = filter_of(f'policy_revision = "{revision}" AND state = ISSUED')
            return len(await DatabaseGrants(revisions.store).page(wanted, EVERYTHING, at_most=at_most))

        return self._done(read)

    def _done(self, work: "Callable[[DatabaseRevisions], Coroutine[Any, Any, T]]") -> T:
        """Does work on the open database."""
        from remit_server.adapters.database.policies.revisions import DatabaseRevisions

        async def run() -> T:
            async with self._open() as ledger:
                return await work(DatabaseRevisions(ledger.store))

        return asyncio.run(run())

    @asynccontextmanager
    async def _open(self) -> "AsyncIterator[DatabaseLedger]":
        """Opens a database whose tables are of this version: to migrate it is not for whoever only goes back.

        NOTE: what is revoked is told to AWS by the gateways, where they have that set up.
        """
        from remit_server.adapters.database.engine import DatabaseRefused, open_for_reading
        from remit_server.adapters.database.ledger import open_ledger
        from remit_server.adapters.database.migrations import is_current
        from remit_server.adapters.system_clock import SystemClock

        database = open_for_reading(self.url, password_file=self.password_file)
        try:
            if not await database.read(is_current):
                message = "the tables are not of this version of remit-server: use the version that the gateways have"
                raise DatabaseRefused(message)
        finally:
            await database.close()
        async with open_ledger(self.url, SystemClock(), password_file=self.password_file, denying=True) as ledger:
            yield ledger


async def _meant(revisions: "DatabaseRevisions", digits: str) -> "PublishedRevision":
    """Returns the revision that digits mean, the active one for none; raises why there is none."""
    from remit_server.application.policy.revisions.naming_revisions import found
    from remit_server.domain.errors import RemitError

    meant = await found(revisions, digits)
    if isinstance(meant, RemitError):
        raise meant
    return meant


async def _before(revisions: "DatabaseRevisions", expected: str) -> tuple[str, str]:
    """Returns where a rollback goes to, and the present revision, which must still be so; raises for none."""
    from remit_server.application.policy.going_back import nowhere, one_before

    active, before = await one_before(revisions)
    if not before:
        raise nowhere()
    return before, expected or active


def _is(published: "PublishedRevision", active: Any) -> bool:
    """Says whether a revision is the active one."""
    return active is not None and active.revision == published.revision
