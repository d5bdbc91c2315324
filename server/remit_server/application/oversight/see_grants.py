"""Shows grants to operators: what one may not see is not there."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

from remit_server.application.oversight.authorizing import Authorize
from remit_server.application.oversight.paging import Page, list_digest, paged, place_of, size_of
from remit_server.application.oversight.ports import Change, GrantShelf, Place, Trail
from remit_server.domain.administration import Visibility
from remit_server.domain.errors import Denied, Reason
from remit_server.domain.grant import Grant
from remit_server.domain.grant_filter.reading import filter_of
from remit_server.domain.grant_filter.terms import Filter, matches
from remit_server.domain.operator import Operator

GET: Final = "GrantService.GetGrant"
LIST: Final = "GrantService.ListGrants"
WATCH: Final = "GrantService.WatchGrants"


@dataclass(frozen=True, slots=True)
class ListOrder:
    """One page of grants: which, how many, and where it goes on."""

    operator: Operator
    text: str
    wanted: Filter | None
    size: int
    after: Place | None

    @classmethod
    def of(cls, operator: Operator, text: str, size: int, token: str) -> "ListOrder":
        """Reads what a caller sent; raises InvalidRequest with the field and the place in it."""
        after = place_of(token, list_digest(operator.name, LIST, text))
        return cls(operator, text, filter_of(text), size_of(size), after)


@dataclass(frozen=True, slots=True)
class SeeGrants:
    """Reads grants for operators."""

    authorize: Authorize
    shelf: GrantShelf
    trail: Trail

    async def one(self, operator: Operator, task_id: str, grant_id: str) -> Grant:
        """Returns a grant; raises Denied(NOT_FOUND) when it is not there or not the caller's to see."""
        found: list[Grant] = []

        async def check(visibility: Visibility) -> None:
            grant = await self.shelf.grant(grant_id)
            if grant is None or grant.task_id != task_id or not visibility.covers(grant):
                raise not_found("grant")
            found.append(grant)

        await self.authorize(operator, GET, about=f"tasks/{task_id}/grants/{grant_id}", check=check)
        return found[0]

    async def listed(self, order: ListOrder) -> Page[Grant]:
        """Returns a page of the grants that are wanted and visible, newest first."""
        visibility = await self.authorize(order.operator, LIST, about=order.text)
        grants = await self.shelf.page(order.wanted, visibility, at_most=order.size + 1, after=order.after)
        places = [Place(grant.issue_time, grant.grant_id) for grant in grants]
        return paged(grants, order.size, list_digest(order.operator.name, LIST, order.text), places)

    async def watched(self, operator: Operator, text: str, wanted: Filter | None) -> AsyncGenerator[Change, None]:
        """Yields every grant that changes from now on, as it stands then, for as long as the caller listens."""
        sequence = await self.trail.head()  # before the record, so that what comes after the record is not missed
        visibility = await self.authorize(operator, WATCH, about=text)
        while True:
            sequence, changes = await self.shelf.changes(sequence, await self.trail.grown(sequence))
            for change in changes:
                if visibility.covers(change.grant) and (wanted is None or matches(wanted, change.grant)):
                    yield change


def not_found(what: str) -> Denied:
    """Returns the refusal of what is not there, and of what is not the caller's to see: they sound alike."""
    return Denied(Reason.NOT_FOUND, f"there is no such {what} among those that you may see")
