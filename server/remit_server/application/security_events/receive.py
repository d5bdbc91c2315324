"""The second main job: an event about a user comes in, is verified, made durable, and only then acknowledged."""

import logging
from dataclasses import dataclass, replace
from typing import Generic, TypeVar, assert_never

from remit_server.application.security_events.counting import REPEATED, EventCounts
from remit_server.application.security_events.ports import (
    RecordEventOnce,
    RevokeForEvent,
    SeenEvent,
    SubjectsNamed,
    VerifyEvent,
)
from remit_server.domain.audit import Who
from remit_server.domain.audit_events import (
    EventStreamUpdated,
    EventStreamVerified,
    SecurityEventIgnored,
    SecurityEventReceived,
)
from remit_server.domain.secret import fingerprint_of
from remit_server.domain.security_event import (
    EventRefusal,
    EventRefused,
    IgnoredEvent,
    NamedEvent,
    SecurityEvent,
    StreamUpdated,
    StreamVerification,
    VerifiedEvent,
    awaited_states,
    repeated_states,
)

_log = logging.getLogger(__name__)
_Unverified = TypeVar("_Unverified")


@dataclass(frozen=True, slots=True)
class ObeyEvent:
    """Does what a verified event means. Returning is the acknowledgement: what it did is durable by then."""

    revoke: RevokeForEvent
    record_once: RecordEventOnce
    seen: SeenEvent
    named: SubjectsNamed

    async def __call__(self, event: VerifiedEvent) -> bool:
        """Returns whether the event was new; one that came before changes nothing and is acknowledged all the same.

        Raises EventRefused for a verification event with a state that nobody asked for, and Outage.
        """
        match event:
            case SecurityEvent():
                return await self._revoke(event)
            case NamedEvent():
                return await self._revoke_named(event)
            case IgnoredEvent():
                return await self._ignore(event)
            case StreamVerification():
                return await self._verified(event)
            case StreamUpdated():
                return await self._updated(event)
            case _:
                assert_never(event)

    async def _revoke(self, event: SecurityEvent) -> bool:
        """Revokes first: a record that fails here is missing beside that of the revoke, which names the event, too."""
        is_new = await self.revoke(event)
        if is_new:
            await self.record_once(f"{event.source}#received", event.event_id, _received(event))
        return is_new

    async def _revoke_named(self, named: NamedEvent) -> bool:
        """Revokes for everybody who had that name: an account that was renamed is two subjects here.

        NOTE: the event is remembered as a whole, last, so that told again it does nothing even to who is new by then.
        """
        event = named.event
        if await self.seen(event.source, event.event_id):
            return False
        subjects = await self.named(event.subject_issuer, named.source_identity)
        if not subjects:
            why = "nobody has had a grant under the name it gives"
            return await self._ignore(IgnoredEvent(event.source, event.event_id, event.kind.value, why))
        for one in subjects:
            await self.revoke(replace(event, subject_id=one, event_id=f"{event.event_id}#{fingerprint_of(one)}"))
        return await self.record_once(event.source, event.event_id, _received(event))

    async def _ignore(self, event: IgnoredEvent) -> bool:
        record = SecurityEventIgnored(event.source, event.event_id, event.event_type, event.why)
        is_new = await self.record_once(event.source, event.event_id, record)
        if is_new:
            _log.warning("%s: an event changes nothing here (%s): %s", event.source, event.event_type, event.why)
        return is_new

    async def _verified(self, event: StreamVerification) -> bool:
        """Records that the stream works: once for each state of ours, so that who asked for it can see it."""
        if event.state is None:
            record = EventStreamVerified(event.source, event.event_id, requested=False, state_fingerprint="")
            return await self.record_once(event.source, event.event_id, record)
        if not await self.seen(awaited_states(event.source), event.state):
            raise EventRefused(EventRefusal.INVALID_STATE, "the state is not one that this receiver asked for")
        fingerprint = fingerprint_of(event.state)
        record = EventStreamVerified(event.source, event.event_id, requested=True, state_fingerprint=fingerprint)
        return await self.record_once(repeated_states(event.source), event.state, record)

    async def _updated(self, event: StreamUpdated) -> bool:
        record = EventStreamUpdated(event.source, event.event_id, event.status, event.reason)
        is_new = await self.record_once(event.source, event.event_id, record)
        if is_new and event.status != "enabled":
            _log.error(
                "%s: the transmitter says that its stream is %s (%s): until it is enabled again, nobody's disabling is "
                "told to this gateway; ask its operator, and see `remit-server events status`",
                event.source,
                event.status,
                event.reason or "no reason given",
            )
        return is_new


def _received(event: SecurityEvent) -> SecurityEventReceived:
    """Returns the record of an event that is obeyed."""
    who = Who(subject_issuer=event.subject_issuer, subject_id=event.subject_id)
    return SecurityEventReceived(who, event.source, event.event_id, event.kind.value, event.event_time, event.reason)


@dataclass(frozen=True, slots=True)
class Receive(Generic[_Unverified]):
    """Receives what one source tells: verifies, obeys, counts what is refused. Who is told no learns why."""

    source: str
    verify: VerifyEvent[_Unverified]
    obey: ObeyEvent
    counts: EventCounts

    async def __call__(self, unverified: _Unverified, peer: str) -> None:
        """Returns when the event is obeyed and durable; raises EventRefused (counted), or Outage."""
        try:
            is_new = await self.obey(await self.verify(unverified))
        except EventRefused as refused:
            self.counts.count(self.source, peer, refused.code.value, refused.why)
            raise
        if not is_new:
            self.counts.count(self.source, peer, REPEATED, "it came before and changes nothing")
