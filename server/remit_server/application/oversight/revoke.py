"""Revokes and lifts blocks for operators: within what they see, on record before and after."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from remit_server.application.oversight.authorizing import NOT_BY_POLICY, Authorize
from remit_server.application.oversight.known_names import KnownNames
from remit_server.application.oversight.paging import Page, list_digest, paged, place_of, size_of
from remit_server.application.oversight.ports import GrantShelf, Place
from remit_server.application.oversight.see_grants import not_found
from remit_server.application.revocation.revoke_grants import Revocations, RevokeGrants
from remit_server.domain.administration import EVERYTHING, Visibility
from remit_server.domain.errors import Denied, InvalidRequest, Reason, told_of
from remit_server.domain.grant_filter.terms import AllOf, Comparison, Filter
from remit_server.domain.grant_filter.terms import Operator as Sign
from remit_server.domain.operator import Operator
from remit_server.domain.revocation import Block, RevokeCause, Revoked, Target, TargetKind

REVOKE: Final = "GrantService.RevokeGrants"
BLOCKS: Final = "GrantService.ListBlocks"
LIFT: Final = "GrantService.RemoveBlock"
MOST_OF_A_TASK: Final = 1000  # of its grants that are looked at for a caller who does not see everything


@dataclass(frozen=True, slots=True)
class RevokeRequest:
    """What an operator wants ended, and why; `task_id` is the task that a grant is said to be of."""

    operator: Operator
    target: Target
    task_id: str
    block: bool
    why: str


@dataclass(frozen=True, slots=True)
class BlockListOrder:
    """One page of blocks."""

    operator: Operator
    size: int
    after: Place | None

    @classmethod
    def of(cls, operator: Operator, size: int, token: str) -> "BlockListOrder":
        """Reads what a caller sent; raises InvalidRequest."""
        return cls(operator, size_of(size), place_of(token, list_digest(operator.name, BLOCKS)))


@dataclass(frozen=True, slots=True)
class OperatorRevokes:
    """Ends what agents hold, at an operator's word."""

    authorize: Authorize
    shelf: GrantShelf
    revoke: RevokeGrants
    revocations: Revocations
    known: KnownNames

    async def __call__(self, request: RevokeRequest) -> Revoked:
        """Returns once it is recorded: from then on no new credentials anywhere.

        Raises Denied(NOT_FOUND) for a grant or task that is not there or not the caller's to see, and
        Denied(NOT_AUTHORIZED) for a revoke that reaches beyond what the caller sees, and InvalidRequest for a name
        that nobody can have.
        """
        target = request.target
        about = f"{target}{', blocked' if request.block else ''}: {request.why}"
        await self.authorize(
            request.operator, REVOKE, target=target, block=request.block, about=about, check=self._check(request)
        )
        return await self.revoke(
            target, cause=RevokeCause.REQUESTED, by=request.operator.name, why=request.why, block=request.block
        )

    def _check(self, request: RevokeRequest) -> Callable[[Visibility], Awaitable[None]]:
        """Returns what holds a revoke against what the caller sees."""

        async def check(visibility: Visibility) -> None:
            if request.block and not visibility.everything:
                raise _beyond("only who sees everything may block")
            match request.target.kind:
                case TargetKind.GRANT:
                    await self._check_grant(request, visibility)
                case TargetKind.TASK if not visibility.everything:
                    await self._check_task(request, visibility)
                case TargetKind.SUBJECT if not visibility.everything:
                    if visibility.own != (request.target.issuer, request.target.key):
                        raise _beyond("only who sees everything may revoke what agents hold for somebody else")
                case TargetKind.ACTOR | TargetKind.REVISION if not visibility.everything:
                    raise _beyond("only who sees everything may revoke by agent or by policy revision")
                case _:
                    pass
            await self._check_name(request.target)

        return check

    async def _check_name(self, target: Target) -> None:
        """Raises InvalidRequest for a name that nobody can have; a grant of before the configuration changed counts."""
        mistake = self.known.mistake(target)
        if mistake is None:
            return
        wanted: Filter = Comparison("actor", Sign.EQUAL, target.key)
        if target.kind is TargetKind.SUBJECT:
            issuer = Comparison("subject.issuer", Sign.EQUAL, target.issuer)
            wanted = AllOf((Comparison("subject.id", Sign.EQUAL, target.key), issuer))
        if not await self.shelf.page(wanted, EVERYTHING, at_most=1):
            raise InvalidRequest([mistake])

    async def _check_grant(self, request: RevokeRequest, visibility: Visibility) -> None:
        """Raises Denied(NOT_FOUND) unless the caller sees the grant, under the name it was called by."""
        grant = await self.shelf.grant(request.target.key)
        if grant is None or grant.task_id != request.task_id or not visibility.covers(grant):
            raise not_found("grant")

    async def _check_task(self, request: RevokeRequest, visibility: Visibility) -> None:
        """Raises Denied unless the caller sees every grant of the task, of which there is one."""
        grants = await self.shelf.of_task(request.target.key, MOST_OF_A_TASK + 1)
        if not any(visibility.covers(grant) for grant in grants):
            raise not_found("task")
        if len(grants) > MOST_OF_A_TASK or not all(visibility.covers(grant) for grant in grants):
            raise _beyond("you do not see every grant of this task: revoke those that you see one by one")

    async def blocks(self, order: BlockListOrder) -> Page[Block]:
        """Returns a page of the blocks that stand, newest first."""
        await self.authorize(order.operator, BLOCKS, whole=True)
        after = (order.after.time, order.after.key) if order.after is not None else None
        blocks = await self.revocations.blocks(order.size + 1, after)
        places = [Place(block.create_time, block.block_id) for block in blocks]
        return paged(blocks, order.size, list_digest(order.operator.name, BLOCKS), places)

    async def lift(self, operator: Operator, block_id: str, why: str) -> datetime:
        """Lifts a block and returns when it was lifted, the same at every repeat; raises Denied(NOT_FOUND).

        NOTE: administrators may lift blocks of policy revisions, whatever the policy says: else one that had the
        revision before it blocked as it was activated (`--revoke-issued`) would forbid its own rollback.
        """
        about = f"block {block_id}: {why}"
        try:
            await self.authorize(operator, LIFT, about=about, whole=True)
        except Exception as no:
            if told_of(no).reason not in NOT_BY_POLICY or not await self._stands_in_the_way_back(block_id):
                raise
            if not await self.authorize.as_administrator(operator, LIFT, about=about):
                raise
        return await self.revocations.lift(block_id, operator.name, why)

    async def _stands_in_the_way_back(self, block_id: str) -> bool:
        """Says whether a block is of a policy revision."""
        block = await self.revocations.block(block_id)
        return block is not None and block.target.kind is TargetKind.REVISION


def _beyond(message: str) -> Denied:
    return Denied(Reason.NOT_AUTHORIZED, message)
