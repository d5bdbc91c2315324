"""Wires what hears of users that were disabled or logged out: routes for what is pushed, tasks for what is fetched."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from remit_server.adapters.database.ledger import DatabaseLedger
from remit_server.adapters.database.lifecycle.holding import DatabaseHolds
from remit_server.adapters.database.revoking.heard_events import DatabaseSecurityEvents
from remit_server.adapters.identity.jwks import IssuerKeys
from remit_server.adapters.security_events.account_status import AccountDirectory
from remit_server.adapters.security_events.management import ssf_discovery_url
from remit_server.adapters.security_events.poll_client import PollClient
from remit_server.adapters.security_events.set_verification import SetVerifier
from remit_server.adapters.security_events.webhook import WebhookVerifier
from remit_server.adapters.system_clock import SystemClock, system_entropy
from remit_server.application.security_events.counting import EventCounts, SenderBudget
from remit_server.application.security_events.poll_statuses import PollStatuses, StatusSource
from remit_server.application.security_events.poll_stream import PollStream
from remit_server.application.security_events.ports import NameOf
from remit_server.application.security_events.receive import ObeyEvent, Receive
from remit_server.config.event_settings import (
    Delivery,
    EventSettings,
    StatusPollSettings,
    TransmitterSettings,
    UserName,
)
from remit_server.domain.errors import RemitError
from remit_server.domain.security_event import SecurityEvent
from remit_server.domain.session_names import source_id_of
from remit_server.transport.http.security_events import PushedStream, PushedWebhook, SecurityEventReceiver

COUNTS_EVERY_SECONDS: Final = 60.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Hearing:
    """What every source of events needs."""

    clock: SystemClock
    events: DatabaseSecurityEvents
    hold: DatabaseHolds
    counts: EventCounts
    obey: ObeyEvent
    holder: str


async def hear_events(
    stack: AsyncExitStack,
    settings: EventSettings,
    ledger: DatabaseLedger,
    clock: SystemClock,
    *,
    wake: Callable[[], None] = lambda: None,
) -> Sequence[web.RouteDef]:
    """Starts to fetch and to ask, until the stack is left, and returns the routes of what is pushed.

    `wake` tells whoever writes to AWS that there is something to be told.
    """
    if settings == EventSettings():
        return ()
    events = DatabaseSecurityEvents(ledger.store)
    counts = EventCounts(ledger.record, clock)

    async def revoke(event: SecurityEvent, /) -> bool:
        is_new = await events.revoke_for_event(event)
        wake()
        return is_new

    obey = ObeyEvent(revoke, events.record_once, events.seen, events.subjects_named)
    hearing = _Hearing(clock, events, DatabaseHolds(ledger.store), counts, obey, system_entropy(16).hex())
    _run(stack, _counting(counts), after=lambda: _written(counts))
    streams = {one.alias: (one, _receive(stack, one, hearing)) for one in settings.transmitters}
    for transmitter, receive in streams.values():
        if transmitter.delivery is Delivery.POLL:
            _run(stack, _poll(transmitter, receive, hearing)())
    for poll in settings.status_polls:
        _run(stack, _status_poll(poll, hearing)())
    receiver = SecurityEventReceiver(
        streams={
            alias: PushedStream(receive, SenderBudget(clock, one.events_per_minute), one.authorization)
            for alias, (one, receive) in streams.items()
            if one.delivery is Delivery.PUSH
        },
        webhooks={
            one.name: PushedWebhook(
                Receive(one.source, WebhookVerifier(one, clock), obey, counts),
                SenderBudget(clock, one.events_per_minute),
            )
            for one in settings.webhooks
        },
        counts=counts,
    )
    return receiver.routes()


def _receive(stack: AsyncExitStack, settings: TransmitterSettings, hearing: _Hearing) -> Receive[str]:
    """Returns what receives a transmitter's events, and begins to fetch its keys."""
    keys = IssuerKeys.over_https(settings.signer, hearing.clock, ssf_discovery_url)
    keys.begin()
    stack.push_async_callback(keys.close)
    verify = SetVerifier(settings, keys, hearing.clock)
    return Receive(settings.source, verify, hearing.obey, hearing.counts)


def _poll(settings: TransmitterSettings, receive: Receive[str], hearing: _Hearing) -> PollStream:
    """Returns what fetches a transmitter's events."""
    return PollStream(
        poll=PollClient.of(settings),
        receive=receive,
        hold=hearing.hold,
        holder=hearing.holder,
        clock=hearing.clock,
        wait_seconds=settings.poll_wait.total_seconds(),
    )


def _status_poll(settings: StatusPollSettings, hearing: _Hearing) -> PollStatuses:
    """Returns what asks an identity provider about accounts."""
    return PollStatuses(
        about=StatusSource(
            settings.source, settings.issuer, settings.every, settings.requests_per_second, settings.probe_subject
        ),
        ask=AccountDirectory.of(settings),
        name_of=_names(settings, hearing),
        live=hearing.events.live_subjects,
        blocked=hearing.events.blocked_subjects,
        obey=hearing.obey,
        hold=hearing.hold,
        holder=hearing.holder,
        clock=hearing.clock,
    )


def _names(settings: StatusPollSettings, hearing: _Hearing) -> NameOf:
    """Returns what knows how users are called where they are asked about."""

    async def by_sub(subject_id: str, /) -> str | None:
        return subject_id

    async def by_source_claim(subject_id: str, /) -> str | None:
        identity = await hearing.events.identity_of(settings.issuer, subject_id)
        return None if identity is None else source_id_of(settings.users_alias, identity)

    return by_source_claim if settings.named_by is UserName.SOURCE_CLAIM else by_sub


def _run(stack: AsyncExitStack, work: Awaitable[None], *, after: Callable[[], Awaitable[None]] | None = None) -> None:
    """Runs work in the background until the stack is left, and then what comes after it."""
    task = asyncio.ensure_future(work)

    async def stop() -> None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        if after is not None:
            await after()

    stack.push_async_callback(stop)


async def _counting(counts: EventCounts) -> None:
    """Writes every minute what was refused."""
    while True:
        await asyncio.sleep(COUNTS_EVERY_SECONDS)
        await _written(counts)


async def _written(counts: EventCounts) -> None:
    """Writes what was refused; what cannot be written is kept for the next time."""
    try:
        await counts.write()
    except RemitError:
        _log.exception("security events that were refused lately could not be recorded")
