"""What a replay needs from outside: somebody who replays many decisions at a time, and survives each of them."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from remit_server.application.policy.ports import RecordedDecision
from remit_server.application.policy.replaying.replaying_one import Replayed
from remit_server.domain.decision import KeptText


class Replays(Protocol):
    """Replays decisions on one candidate, several batches at a time."""

    @property
    def candidate(self) -> str:
        """The digest of the candidate's files."""
        ...

    @property
    def at_once(self) -> int:
        """How many batches are worked on at a time."""
        ...

    async def __call__(self, batch: Sequence[RecordedDecision], /) -> Sequence[Replayed]:
        """Returns the replay of each; an input that kills or stalls whoever replays it has FAILED."""
        ...

    def know(self, digest: str, ceilings: KeptText, /) -> None:
        """Makes ceilings known that records name so."""
        ...


class OpenReplays(Protocol):
    """Starts replaying on a candidate, as its files make one archive."""

    def __call__(self, archive: bytes, /, *, given: KeptText | None = None) -> AbstractAsyncContextManager[Replays]:
        """Gives it while the block runs; with `given` every decision is replayed under these ceilings.

        Raises Denied(REVISION_REFUSED) for a candidate that may not decide at all.
        """
        ...
