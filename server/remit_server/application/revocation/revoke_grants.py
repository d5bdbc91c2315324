"""Revokes by grant, task, subject, actor or policy revision: recorded when it returns, told to AWS by the outbox."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from remit_server.application.ports import Entropy
from remit_server.domain.errors import FieldViolation, InvalidRequest
from remit_server.domain.revocation import MAX_WHY, Block, RevokeCause, Revoked, RevokeOrder, Target, TargetKind
from remit_server.domain.task import TASK_ID_BYTES, opaque_id


class Revocations(Protocol):
    """Revokes and blocks, as the ledger keeps them. Each raises Outage when it could not be made durable or read."""

    async def revoke(self, order: RevokeOrder, /) -> Revoked:
        """Stops what the order is aimed at, in one transaction with its record.

        Raises Denied(NOT_FOUND) for a grant or task that is not there.
        """
        ...

    async def blocks(self, limit: int, after: tuple[datetime, str] | None = None) -> Sequence[Block]:
        """Returns the blocks that stand, newest first; `after` is the time and id of the last one seen."""
        ...

    async def block(self, block_id: str) -> Block | None:
        """Returns a block, whether it stands or was lifted; None where there is none."""
        ...

    async def lift(self, block_id: str, by: str, why: str) -> datetime:
        """Lifts a block; at a repeat returns when it was lifted. Raises Denied(NOT_FOUND)."""
        ...


@dataclass(frozen=True, slots=True)
class RevokeGrants:
    """Ends what was issued, and refuses tokens from before; with `block` also what comes later.

    `wake` tells the writer of this process that AWS has something to be told.
    """

    revocations: Revocations
    entropy: Entropy
    wake: Callable[[], None] = lambda: None

    async def __call__(self, target: Target, *, cause: RevokeCause, by: str, why: str, block: bool = False) -> Revoked:
        """Returns once it is recorded: from then on no process issues any of it.

        Raises InvalidRequest for a block of what can be none, and Denied(NOT_FOUND) for a grant or task that is not
        there.
        """
        if block and target.kind in {TargetKind.GRANT, TargetKind.TASK}:
            rule = "is for a subject, an actor or a policy revision: a grant or task that was revoked issues no more"
            raise InvalidRequest([FieldViolation("block", rule)])
        revocation_id = opaque_id(self.entropy(TASK_ID_BYTES))
        revoked = await self.revocations.revoke(RevokeOrder(revocation_id, target, cause, by, why[:MAX_WHY], block))
        self.wake()
        return revoked
