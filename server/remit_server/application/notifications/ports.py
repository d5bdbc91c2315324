"""What delivering needs from outside."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from remit_server.domain.audit import AuditRecord
from remit_server.domain.notification import Notification, NotificationKind


class Undelivered(Exception):  # noqa: N818 - named for what it says
    """A receiver did not take a message, and why; `is_down` says that it would not take another one now either."""

    def __init__(self, why: str, *, is_down: bool) -> None:
        super().__init__(why)
        self.why = why
        self.is_down = is_down


class Send(Protocol):
    """Sends one message to its receiver."""

    async def __call__(self, notification: Notification, /) -> None:
        """Returns once the receiver took it; raises Undelivered for every other outcome, within seconds."""
        ...


class Outbox(Protocol):
    """The messages, as the ledger keeps them; each call is one transaction and raises Outage when it fails."""

    async def has_work(self, now: datetime, /) -> bool:
        """Says whether something happened that is not addressed yet, or a message is due; writes nothing."""
        ...

    async def address(self, receivers: Mapping[str, frozenset[NotificationKind]], /) -> int:
        """Turns what happened into a message to each receiver that wants to hear of its kind; returns how many events.

        What nobody wants to hear of is dropped.
        """
        ...

    async def due(self, receiver: str, now: datetime, at_most: int, /) -> tuple[Notification, ...]:
        """Returns messages to a receiver whose time has come, oldest first."""
        ...

    async def delivered(self, notification: Notification, /) -> None:
        """Notes that a message was taken."""
        ...

    async def put_off(self, notification: Notification, until: datetime, /) -> None:
        """Notes that a message was not taken: it is tried again then."""
        ...

    async def give_up(self, notification: Notification, record: AuditRecord, /) -> None:
        """Tries a message no more, and puts that on record."""
        ...

    async def forget(self, receivers: frozenset[str], before: datetime, /) -> None:
        """Drops what was taken or given up before then, and what is for receivers that there are no more."""
        ...
