"""What the writer of revocations needs: the outbox of denies, the policies at AWS, and a canary."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from remit_server.domain.revocation import SessionDeny


class NotWritten(Exception):  # noqa: N818 - named for what it says
    """AWS did not take or show a policy; says why, and what an operator can do, with nothing secret in it."""


class LeaseLost(Exception):  # noqa: N818 - named for what it says
    """Another process writes this account's policies now."""


@dataclass(frozen=True, slots=True)
class CanarySession:
    """A session of the gateway's own that is to be refused; `handle` is the adapter's."""

    account: str
    tag: str
    handle: int


class DenyOutbox(Protocol):
    """The denies that AWS must be told, as the ledger knows them."""

    async def accounts(self) -> Sequence[str]:
        """Returns the accounts that have denies wanted, or written and not yet dropped."""
        ...

    async def hold(self, account: str, holder: str, seconds: float) -> bool:
        """Takes or extends the account's lease by database time; returns False while another holds it."""
        ...

    async def wanted(self, account: str, now: datetime) -> Sequence[SessionDeny]:
        """Returns every deny that is not yet past its `covers_until`, by number."""
        ...

    async def earliest_live(self, account: str, subject: str | None) -> datetime | None:
        """Returns the earliest time at which credentials of grants that are to live may have been opened.

        Of one subject, or of everybody; grants that are AUTHORIZED count. None says that there are none.
        """
        ...

    async def denied(
        self, account: str, holder: str, numbers: Sequence[int], write_time: datetime, assumed_by: datetime
    ) -> None:
        """Records that AWS took the text: effective ASSUMED at `assumed_by`."""
        ...

    async def observed(self, account: str, holder: str, numbers: Sequence[int], effective_time: datetime) -> None:
        """Records that a canary denied by the same texts was refused: effective OBSERVED."""
        ...

    async def no_room(self, account: str, holder: str, numbers: Sequence[int]) -> None:
        """Records that these find no room: their grants stay REVOKING."""
        ...

    async def identity(self) -> str:
        """Returns the ledger's mark: the same in every process of it, and another for every other ledger."""
        ...

    async def foreign(self, account: str, holder: str, policy: str, mark: str) -> None:
        """Records that a policy carries another ledger's mark and is not written."""
        ...

    async def changed(self, account: str, holder: str, policy: str) -> None:
        """Records that somebody else changed a policy, which is written anew."""
        ...

    async def dropped(self, account: str, holder: str, before: datetime) -> None:
        """Records that the texts hold nothing of denies whose `covers_until` lies before this time."""
        ...


class RevocationPolicies(Protocol):
    """The managed policies `remit-revocations-1..` of an account; `deadline` is monotonic seconds.

    Every call raises NotWritten, also when the deadline passes; what was sent by then may still take effect.
    """

    def name(self, account: str, place: int, /) -> str:
        """Returns what the policy at the place is called, for people and records."""
        ...

    async def read(self, account: str, /, *, deadline: float) -> tuple[str | None, ...]:
        """Returns the text that is in force of each policy; None for one that does not exist."""
        ...

    async def write(self, account: str, place: int, text: str, /, *, deadline: float) -> None:
        """Makes this the text in force of the policy at the place, counted from 0."""
        ...

    async def tidy(self, account: str, place: int, /, *, deadline: float) -> None:
        """Deletes old versions of the policy, so that the next write finds room for its own."""
        ...


class Canary(Protocol):
    """Sessions that are there to be refused."""

    async def open(self, account: str, tag: str, /) -> CanarySession | None:
        """Returns a session whose tag `remit:grant` is this, and whose probe AWS allows; None when there is none."""
        ...

    async def is_refused(self, session: CanarySession, /) -> bool:
        """Says whether AWS refuses the session's probe; whatever else goes wrong is no refusal."""
        ...

    def close(self, session: CanarySession, /) -> None:
        """Forgets the session's keys."""
        ...
