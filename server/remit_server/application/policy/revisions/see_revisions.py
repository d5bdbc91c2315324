"""Shows published revisions to operators."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from remit_server.application.admission import Places
from remit_server.application.oversight.authorizing import Authorize
from remit_server.application.oversight.paging import Page, list_digest, paged, place_of, size_of
from remit_server.application.oversight.ports import Place
from remit_server.application.policy.going_back import one_before
from remit_server.application.policy.ports import Revisions
from remit_server.application.policy.revisions.naming_revisions import allowed
from remit_server.domain.errors import Denied, FieldViolation, InvalidRequest, Reason
from remit_server.domain.operator import Operator
from remit_server.domain.policy_revision import Activation, PublishedRevision

LIST: Final = "PolicyService.ListRevisions"
GET: Final = "PolicyService.GetRevision"
DOWNLOAD: Final = "PolicyService.DownloadRevision"
MOST_ACTIVATIONS: Final = 100
MOST_DOWNLOADS: Final = 2  # of a process: each holds a whole bundle
CHUNK: Final = 32 * 1024
LAST_NUMBER: Final = (1 << 63) - 1  # that a database can hold
_NO_TIME: Final = datetime.fromtimestamp(0, UTC)
_PROCESS: Final = "process"


@dataclass(frozen=True, slots=True)
class RevisionListOrder:
    """One page of revisions: how many, and before which number."""

    operator: Operator
    size: int
    before: int | None

    @classmethod
    def of(cls, operator: Operator, size: int, token: str) -> "RevisionListOrder":
        """Reads what a caller sent; raises InvalidRequest."""
        place = place_of(token, list_digest(operator.name, LIST))
        if place is not None and not (place.key.isdecimal() and int(place.key) <= LAST_NUMBER):
            raise InvalidRequest([FieldViolation("page_token", "is not of this list")])
        return cls(operator, size_of(size), None if place is None else int(place.key))


@dataclass(frozen=True, slots=True)
class Shown:
    """A revision, whether it decides now, the block that forbids it, and when it was activated, newest first.

    `rollback` is where a rollback that names none goes to from the active revision; empty for none.
    """

    revision: PublishedRevision
    active: bool
    activations: tuple[Activation, ...] = ()
    block: str = ""
    rollback: str = ""


async def shown_of(revisions: Revisions, revision: PublishedRevision) -> Shown:
    """Returns a revision with everything that is shown of one; raises Outage."""
    activations = await revisions.activations(revision.revision, limit=MOST_ACTIVATIONS)
    active, before = await one_before(revisions)
    block = (await revisions.blocks((revision.revision,))).get(revision.revision, "")
    return Shown(revision, revision.revision == active, tuple(activations), block, before)


@dataclass(frozen=True, slots=True)
class SeeRevisions:
    """Reads revisions for operators."""

    authorize: Authorize
    revisions: Revisions
    _downloads: Places = field(default_factory=lambda: Places(MOST_DOWNLOADS, "downloads", "gateway process"))

    async def listed(self, order: RevisionListOrder) -> Page[Shown]:
        """Returns a page of revisions, newest first."""
        await self.authorize(order.operator, LIST)
        active = await self._active()
        read = await self.revisions.listed(before=order.before, limit=order.size + 1)
        places = [Place(_NO_TIME, str(one.number)) for one in read]
        blocks = await self.revisions.blocks([one.revision for one in read])
        shown = [Shown(one, one.revision == active, block=blocks.get(one.revision, "")) for one in read]
        return paged(shown, order.size, list_digest(order.operator.name, LIST), places)

    async def one(self, operator: Operator, digits: str) -> Shown:
        """Returns the revision that begins so, the active one for no digits; raises Denied(NOT_FOUND)."""
        revision = await allowed(self.authorize, self.revisions, operator, GET, digits)
        return await shown_of(self.revisions, revision)

    async def archive(self, operator: Operator, digits: str) -> AsyncGenerator[tuple[str, bytes], None]:
        """Yields the revision and its archive, piece by piece, for a caller who sees everything.

        Raises Denied(NOT_FOUND), and Outage(OVERLOADED) while others are on their way.
        """
        revision = (await allowed(self.authorize, self.revisions, operator, DOWNLOAD, digits, whole=True)).revision
        with self._downloads(_PROCESS):
            archive = await self.revisions.archive(revision)
            if archive is None:
                raise Denied(Reason.NOT_FOUND, "this revision is not kept any more")
            for start in range(0, len(archive), CHUNK):
                yield revision, archive[start : start + CHUNK]

    async def decides(self, revision: str) -> bool:
        """Says whether a revision that the caller knows of is the one that decides now."""
        return revision == await self._active()

    async def _active(self) -> str:
        """Returns the revision that decides now; empty when there is none."""
        active = await self.revisions.active()
        return "" if active is None else active.revision
