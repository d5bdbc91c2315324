"""Fetches security event tokens by polling (RFC 8936)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from remit_server.adapters.security_events.transmitter_calls import TransmitterCalls, expected, json_of
from remit_server.application.security_events.ports import Polled, TransmitterUnavailable
from remit_server.config.event_settings import TransmitterSettings
from remit_server.config.identity_rules import is_plain_text
from remit_server.domain.security_event import EventRefused

_GRACE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class PollClient:
    """Polls one transmitter: waits for events up to its configured time, and tells what became of those before."""

    settings: TransmitterSettings
    calls: TransmitterCalls

    @classmethod
    def of(cls, settings: TransmitterSettings) -> "PollClient":
        """Returns the client of a configured transmitter."""
        deadline = settings.poll_wait.total_seconds() + _GRACE_SECONDS
        return cls(settings, TransmitterCalls.of(settings, deadline_seconds=deadline))

    async def __call__(self, acknowledged: Sequence[str], refused: Mapping[str, EventRefused], /) -> Polled:
        """Returns the next events; raises TransmitterUnavailable."""
        url = self.settings.poll_url or ""
        request: dict[str, Any] = {"maxEvents": self.settings.poll_max_events, "returnImmediately": False}
        if acknowledged:
            request["ack"] = list(acknowledged)
        if refused:
            told = {name: {"err": one.code.value, "description": one.why} for name, one in refused.items()}
            request["setErrs"] = told
        answer = expected(await self.calls.ask("POST", url, request), url, 200)
        return self._polled(json_of(answer, url))

    def _polled(self, value: Any) -> Polled:
        """Returns what the answer holds; one that is not what RFC 8936 2.3 says is none at all."""
        sets = value.get("sets") if isinstance(value, dict) else None
        more = value.get("moreAvailable", False) if isinstance(value, dict) else None
        if not isinstance(sets, dict) or not isinstance(more, bool):
            raise TransmitterUnavailable("the answer to a poll has no `sets`, or a `moreAvailable` that is no boolean")
        if len(sets) > self.settings.poll_max_events:
            raise TransmitterUnavailable("the answer to a poll has more events than were asked for")
        if not all(is_plain_text(name) and isinstance(token, str) for name, token in sets.items()):
            raise TransmitterUnavailable("the answer to a poll has events that are no strings, or names that are odd")
        return Polled(sets, more)
