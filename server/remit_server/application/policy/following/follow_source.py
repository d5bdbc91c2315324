"""Follows a source of policies: what it offers is judged, and adopted or refused on record.

Neither an outage of the source nor a refused offer takes away what is active; its age alone may (freshness.py).
"""

import asyncio
import logging
from collections import OrderedDict
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final, Protocol, assert_never

from remit_server.application.policy.following.freshness import Freshness
from remit_server.application.policy.following.offers import Adopt, Offer, OfferLimits, Refused, Unchanged, judge
from remit_server.application.policy.following.source_ports import (
    AdoptOffer,
    Offered,
    PolicySource,
    SeePolicies,
    SourceNews,
    StillOffered,
    Unacceptable,
    Unreachable,
)
from remit_server.application.ports import Clock
from remit_server.domain.audit import AuditRecord
from remit_server.domain.errors import Denied, Reason, RemitError
from remit_server.domain.policy_records import RevisionRefused

_log = logging.getLogger(__name__)
_MOST_TOLD: Final = 256
_LONGEST_MESSAGE: Final = 1000


class Record(Protocol):
    """Puts a record into the chain."""

    async def __call__(self, record: AuditRecord, /) -> object:
        """Returns when it is durable; raises Outage."""
        ...


@dataclass(slots=True)
class FollowSource:
    """Takes what a source says, for as long as it says anything.

    `active` is what is active when following begins, empty for nothing; `refused` is why the last offer was refused.
    """

    source: PolicySource
    see: SeePolicies
    adopt: AdoptOffer
    record: Record
    freshness: Freshness
    limits: OfferLimits
    clock: Clock
    active: str = ""
    pause_seconds: float = 5.0
    refused: str = ""
    _unfit: str = ""
    _told: OrderedDict[tuple[str, str, str], None] = field(default_factory=OrderedDict)
    _is_away: bool = False

    async def __call__(self) -> None:
        """Follows until it is cancelled, or until the source has nothing more to say."""
        while True:
            try:
                async with aclosing(self.source.news()) as told:
                    async for news in told:
                        await self.take(news)
            except Exception:  # noqa: BLE001 - whatever it is: nobody else follows
                _log.exception("following the policy's source failed; it goes on", extra={"source": self.source.name})
                await asyncio.sleep(self.pause_seconds)
            else:
                return

    async def take(self, news: SourceNews) -> None:
        """Acts on what the source says; a ledger that cannot be had is logged, and the news is asked for again."""
        try:
            await self._take(news)
            if self.active and (turned := self.freshness.turned(self.active)) is not None:
                await self.record(turned)
        except RemitError as failed:
            self.source.forget()
            _log.warning(
                "what the policy's source offers could not be looked at; it will be again",
                extra={"source": self.source.name, "cause": failed.reason.value},
            )

    async def _take(self, news: SourceNews) -> None:
        match news:
            case Offered():
                await self._weigh(news.offer, news)
            case StillOffered():
                await self._weigh(news.offer, None)
            case Unacceptable():
                await self._refuse(news.revision, news.code.value, news.message)
            case Unreachable():
                self._note_away(news.why)
                return
            case _:
                assert_never(news)
        self._is_away = False

    async def _weigh(self, offer: Offer, offered: Offered | None) -> None:
        """Judges an offer, and does what follows."""
        seen = await self.see(offer.revision)
        self.active = seen.active
        verdict = judge(offer, seen, self.limits, self.clock.now())
        match verdict:
            case Unchanged():
                self.freshness.confirm()
            case Adopt():
                await self._follow(offer, offered, seen.active)
            case Refused():
                if verdict.confirms:
                    self.freshness.confirm()
                await self._refuse(offer.revision, verdict.code.value, verdict.message)
            case _:
                assert_never(verdict)

    async def _follow(self, offer: Offer, offered: Offered | None, active: str) -> None:
        """Adopts an offer; what forbids it is put on record, and what is active stays."""
        if offer.revision == self._unfit:
            return  # it was refused for what it holds, and holds it still
        if offered is None:
            self.source.forget()  # it could not be adopted when it came, and may be now
            return
        try:
            await self.adopt(offered, expected_active=active)
        except Denied as denied:
            if denied.reason is Reason.REVISION_CHANGED:
                self.source.forget()  # somebody activated another one meanwhile: it is judged anew
                return
            await self._refuse(offer.revision, denied.reason.value, denied.message)
            self._unfit = offer.revision
        else:
            self.active = offer.revision
            self.freshness.confirm()
            about = {"source": self.source.name, "revision": offer.revision, "previous": active}
            _log.info("the policy that the source offers was adopted", extra=about)

    async def _refuse(self, revision: str, code: str, message: str) -> None:
        """Logs and records a refusal, once for each that is another."""
        told = message if len(message) <= _LONGEST_MESSAGE else f"{message[:_LONGEST_MESSAGE]}..."
        self.refused = f"{code}: {told}"
        if (revision, code, told) in self._told:
            return
        about = {"source": self.source.name, "revision": revision, "code": code, "why": told}
        _log.error("a policy that the source offers is refused; what was active stays", extra=about)
        await self.record(
            RevisionRefused(
                revision=revision, by=self.source.name, source=self.source.kind.value, code=code, message=told
            )
        )
        self._told[revision, code, told] = None
        while len(self._told) > _MOST_TOLD:
            self._told.popitem(last=False)

    def _note_away(self, why: str) -> None:
        """Logs that the source does not answer, once until it does."""
        if not self._is_away:
            _log.warning("the policy's source does not answer", extra={"source": self.source.name, "cause": why})
        self._is_away = True
