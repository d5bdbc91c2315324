"""Calls a transmitter's own endpoints with an access token that is read anew each time, so that it may be renewed."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from remit_server.adapters.identity.https_fetch import FetchFailed, FetchTimedOut, HttpAnswer, HttpsFetch
from remit_server.adapters.identity.token_parsing import bounded_json
from remit_server.adapters.strict_json import MalformedJson
from remit_server.application.security_events.ports import NoAnswerYet, TransmitterUnavailable
from remit_server.config.event_settings import TransmitterSettings
from remit_server.domain.secret import Secret

MAX_ANSWER_BYTES: Final = 1024 * 1024
_LONGEST_TOKEN: Final = 16_384
_MEANING: Final[Mapping[int, str]] = {
    401: "the access token is not taken: renew what is in its file",
    403: "the access token does not allow this: give its client the scopes that the transmitter asks for",
    404: "there is no such stream, or it is not this client's",
    429: "too many calls",
}


def read_token(path: Path) -> Secret:
    """Returns the one line of a token file; raises TransmitterUnavailable for anything else."""
    try:
        with path.open("rb") as file:
            raw = file.read(_LONGEST_TOKEN + 1)
        text = raw.decode("ascii").strip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise TransmitterUnavailable(f"the token file {path} cannot be read as one line of ASCII") from None
    if not text or len(raw) > _LONGEST_TOKEN or not text.isprintable() or " " in text:
        raise TransmitterUnavailable(f"the token file {path} does not hold one token, alone on its line")
    return Secret(text)


@dataclass(frozen=True, slots=True)
class TransmitterCalls:
    """Asks one transmitter; every endpoint must be on a host of its `allowed_hosts`."""

    fetch: HttpsFetch
    token_file: Path | None

    @classmethod
    def of(cls, settings: TransmitterSettings, *, deadline_seconds: float) -> "TransmitterCalls":
        """Returns the calls of a configured transmitter."""
        signer = settings.signer
        fetch = HttpsFetch(
            hosts=signer.allowed_hosts,
            ca_file=signer.ca_file,
            private_network=signer.private_network,
            deadline_seconds=deadline_seconds,
            max_bytes=MAX_ANSWER_BYTES,
        )
        return cls(fetch, settings.access_token_file)

    async def read(self, url: str) -> HttpAnswer:
        """Returns a public document, for which no token is shown."""
        return await TransmitterCalls(self.fetch, None).ask("GET", url)

    async def ask(self, method: str, url: str, content: Any = None, *, query: str = "") -> HttpAnswer:
        """Returns the transmitter's answer, whatever its status; raises TransmitterUnavailable when there is none."""
        headers = {}
        if self.token_file is not None:
            token = await asyncio.to_thread(read_token, self.token_file)
            headers["Authorization"] = f"Bearer {token.reveal()}"
        body = None
        if content is not None:
            body = json.dumps(content).encode()
            headers["Content-Type"] = "application/json"
        try:
            return await self.fetch.exchange(method, url, query=query, body=body, headers=headers)
        except FetchTimedOut as late:
            raise NoAnswerYet(f"asked {url}: {late}") from late
        except FetchFailed as failed:
            raise TransmitterUnavailable(f"asked {url}: {failed}") from failed


def expected(answer: HttpAnswer, url: str, *statuses: int) -> HttpAnswer:
    """Returns the answer; raises TransmitterUnavailable when its status is none of these. Its body is never told."""
    if answer.status not in statuses:
        meaning = _MEANING.get(answer.status, "see the transmitter's own documentation")
        raise TransmitterUnavailable(f"asked {url}: the answer has HTTP status {answer.status}: {meaning}")
    return answer


def json_of(answer: HttpAnswer, url: str) -> Any:
    """Returns the body as strict JSON; raises TransmitterUnavailable for anything else."""
    try:
        return bounded_json(answer.body.decode("utf-8", "strict"), max_characters=MAX_ANSWER_BYTES)
    except (UnicodeDecodeError, MalformedJson):
        raise TransmitterUnavailable(f"asked {url}: the answer is not strict JSON in UTF-8") from None
