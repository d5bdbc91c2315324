"""Asks an identity provider's own API whether an account is active, where it has no transmitter."""

import asyncio
import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from remit_server.adapters.identity.https_fetch import FetchFailed, HttpAnswer, HttpsFetch
from remit_server.adapters.identity.token_parsing import bounded_json
from remit_server.adapters.security_events.transmitter_calls import read_token
from remit_server.adapters.strict_json import MalformedJson
from remit_server.application.security_events.ports import AccountStatus, StatusUnknown, TransmitterUnavailable
from remit_server.config.event_settings import PLACE_OF_SUBJECT, StatusPollSettings

MAX_ANSWER_BYTES: Final = 256 * 1024
_DEADLINE_SECONDS: Final = 10.0
_FOUND: Final = frozenset({200, 204})
_MISSING: Final = 404
_INDEX = re.compile(r"0|[1-9][0-9]{0,5}", re.ASCII)


@dataclass(frozen=True, slots=True)
class AccountDirectory:
    """Asks about one account at a time (the port `AskStatus`)."""

    settings: StatusPollSettings
    fetch: HttpsFetch

    @classmethod
    def of(cls, settings: StatusPollSettings) -> "AccountDirectory":
        """Returns the directory of a configured status poll."""
        fetch = HttpsFetch(
            hosts=settings.allowed_hosts,
            ca_file=settings.ca_file,
            private_network=settings.private_network,
            deadline_seconds=_DEADLINE_SECONDS,
            max_bytes=MAX_ANSWER_BYTES,
        )
        return cls(settings, fetch)

    async def __call__(self, subject_id: str, /) -> AccountStatus:
        """Returns what the answer says; raises StatusUnknown for everything but a clear one."""
        answer = await self._asked(subject_id)
        if answer.status == _MISSING and self.settings.missing_is_disabled:
            return AccountStatus.DISABLED
        if answer.status not in _FOUND:
            raise StatusUnknown(f"the answer has HTTP status {answer.status}")
        if self.settings.status_pointer is None:
            return AccountStatus.ACTIVE
        said = _pointed(_json(answer), self.settings.status_pointer)
        return AccountStatus.ACTIVE if said in self.settings.active_values else AccountStatus.DISABLED

    async def _asked(self, subject_id: str) -> HttpAnswer:
        """Returns the answer about one account."""
        # NOTE: a subject is somebody's text. Escaped it is one segment or one value, save `.` and `..`.
        if subject_id in {".", ".."}:
            raise StatusUnknown("the subject cannot stand in a URL")
        place, _, query = self.settings.url.replace(PLACE_OF_SUBJECT, quote(subject_id, safe="")).partition("?")
        try:
            token = await asyncio.to_thread(read_token, self.settings.token_file)
            headers = {"Authorization": f"Bearer {token.reveal()}"}
            return await self.fetch.exchange("GET", place, query=query, headers=headers)
        except (FetchFailed, TransmitterUnavailable) as failed:
            raise StatusUnknown(str(failed)) from failed


def _json(answer: HttpAnswer) -> Any:
    """Returns the answer as strict JSON."""
    try:
        return bounded_json(answer.body.decode("utf-8", "strict"), max_characters=MAX_ANSWER_BYTES)
    except (UnicodeDecodeError, MalformedJson):
        raise StatusUnknown("the answer is not strict JSON in UTF-8") from None


def _pointed(value: Any, pointer: str) -> str:
    """Returns the text, number or truth value that a JSON pointer names (RFC 6901), as JSON writes it.

    NOTE: what is not there says nothing. An answer of another shape must not disable everybody.
    """
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and _INDEX.fullmatch(name) and int(name) < len(value):
            value = value[int(name)]
        else:
            raise StatusUnknown("the answer has nothing at status_pointer")
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int() | None:
            return "null" if value is None else str(value)
        case _:
            raise StatusUnknown("the answer has no plain value at status_pointer")
