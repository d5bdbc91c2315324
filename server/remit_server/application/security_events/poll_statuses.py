"""Asks an identity provider without a transmitter, again and again, about the users for whom agents work."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from remit_server.application.ports import Clock
from remit_server.application.security_events.ports import (
    AccountStatus,
    AskStatus,
    BlockedSubjects,
    HoldName,
    LiveSubjects,
    NameOf,
    StatusUnknown,
)
from remit_server.application.security_events.receive import ObeyEvent
from remit_server.domain.secret import fingerprint_of
from remit_server.domain.security_event import SecurityEvent, SecurityEventKind

Sleep = Callable[[float], Awaitable[None]]

_MARGIN_SECONDS: Final = 30.0  # the name is held for one question and the pause to the next
_HELD_SECONDS: Final = 10.0  # between two renewals of the hold within a round

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StatusSource:
    """Whose accounts are asked about: the events' source and issuer, how often, how fast, and a known account."""

    source: str
    issuer: str
    every: timedelta
    requests_per_second: float
    probe_subject: str | None


@dataclass(frozen=True, slots=True)
class PollStatuses:
    """Polls one issuer's accounts until it is cancelled.

    A disabled account is an ACCOUNT_DISABLED once; when it is active again, the block that this made is lifted. An
    answer that is not clear is no event: whoever cannot be asked about keeps what they have, and the log says so.
    """

    about: StatusSource
    ask: AskStatus
    name_of: NameOf
    live: LiveSubjects
    blocked: BlockedSubjects
    obey: ObeyEvent
    hold: HoldName
    holder: str
    clock: Clock
    sleep: Sleep = asyncio.sleep

    async def __call__(self) -> None:
        """Runs until it is cancelled."""
        while True:
            try:
                await self._round()
            except Exception:  # noqa: BLE001 - whatever it is: nobody else asks
                _log.exception("%s: accounts could not be asked about; trying again", self.about.source)
            await self.sleep(self.about.every.total_seconds())

    async def _round(self) -> None:
        """Asks about everybody once, if this process is the one to do it."""
        if not await self._is_ours() or not await self._is_sane():
            return
        blocked = frozenset(await self.blocked(self.about.issuer, self.about.source))
        live = await self.live(self.about.issuer)
        unclear: list[str] = []
        renewed = self.clock.monotonic()
        for subject_id in sorted({*live, *blocked}):
            if self.clock.monotonic() - renewed > _HELD_SECONDS:
                if not await self._is_ours():
                    return
                renewed = self.clock.monotonic()
            await self._judge(subject_id, is_blocked=subject_id in blocked, unclear=unclear)
            await self.sleep(1 / self.about.requests_per_second)
        self._tell(unclear)

    async def _is_ours(self) -> bool:
        """Holds the name of this poll; says whether it could."""
        seconds = self.about.every.total_seconds() + _MARGIN_SECONDS
        return await self.hold(f"events:{self.about.source}", self.holder, seconds)

    async def _is_sane(self) -> bool:
        """Asks about the account that always exists: an answer that it does not would disable everybody."""
        probe = self.about.probe_subject
        if probe is None:
            return True
        try:
            status = await self.ask(probe)
        except StatusUnknown as unknown:
            _log.error("%s: the probe account could not be asked about: %s", self.about.source, unknown)
            return False
        if status is not AccountStatus.ACTIVE:
            _log.error(
                "%s: the probe account is said not to be active: nobody is asked about; see its token and its URL",
                self.about.source,
            )
        return status is AccountStatus.ACTIVE

    async def _judge(self, subject_id: str, *, is_blocked: bool, unclear: list[str]) -> None:
        """Asks about one account, and tells what changed."""
        name = await self.name_of(subject_id)
        if name is None:
            unclear.append("the ledger knows no name of the user that the directory would know")
            return
        try:
            status = await self.ask(name)
        except StatusUnknown as unknown:
            unclear.append(str(unknown))
            return
        if status is AccountStatus.DISABLED and not is_blocked:
            await self.obey(self._event(subject_id, SecurityEventKind.ACCOUNT_DISABLED))
        elif status is AccountStatus.ACTIVE and is_blocked:
            await self.obey(self._event(subject_id, SecurityEventKind.ACCOUNT_ENABLED))

    def _event(self, subject_id: str, kind: SecurityEventKind) -> SecurityEvent:
        """Returns what the answer means; its id is unique to the moment, as the change it tells of is."""
        now = self.clock.now()
        return SecurityEvent(
            kind=kind,
            subject_issuer=self.about.issuer,
            subject_id=subject_id,
            event_time=now,
            source=self.about.source,
            event_id=f"{kind.value}:{now.isoformat(timespec='microseconds')}:{fingerprint_of(subject_id)}",
            reason="its identity provider was asked",
        )

    def _tell(self, unclear: Sequence[str]) -> None:
        """Logs how many could not be asked about, and why the first could not."""
        if unclear:
            _log.warning(
                "%s: %d accounts gave no clear answer, so nothing follows for them; the first: %s",
                self.about.source,
                len(unclear),
                unclear[0],
            )
