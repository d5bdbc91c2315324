"""Sets up a stream at its transmitter, asks for its state, and has it verified (SSF 1.0 7 and 8)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

from remit_server.adapters.security_events.event_types import REQUESTED
from remit_server.adapters.security_events.transmitter_calls import TransmitterCalls, expected, json_of
from remit_server.application.security_events.ports import TransmitterUnavailable
from remit_server.config.event_settings import Delivery, TransmitterSettings
from remit_server.config.identity_rules import is_plain_text, url_mistake

PUSH_METHOD: Final = "urn:ietf:rfc:8935"
POLL_METHOD: Final = "urn:ietf:rfc:8936"
_DEADLINE_SECONDS: Final = 15.0


def ssf_discovery_url(issuer: str) -> str:
    """Returns where a transmitter's configuration is (SSF 1.0 7.2): between its host and its path."""
    parts = urlsplit(issuer)
    return f"{parts.scheme}://{parts.netloc}/.well-known/ssf-configuration{parts.path.removesuffix('/')}"


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream as its transmitter has it; `poll_url` is where its events are fetched, when they are."""

    stream_id: str
    audience: str
    delivered: tuple[str, ...]
    poll_url: str | None
    created: bool = False

    @property
    def missing(self) -> tuple[str, ...]:
        """The events that were asked for and are not delivered."""
        return tuple(one for one in REQUESTED if one not in self.delivered)


@dataclass(frozen=True, slots=True)
class StreamState:
    """Whether a stream is enabled, paused or disabled, and why its transmitter says so."""

    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class StreamManagement:
    """Manages the one stream that a transmitter has for this gateway's client. Each call raises TransmitterUnavailable.

    The endpoints are those of the transmitter's own configuration document, on hosts of `allowed_hosts` only.
    """

    settings: TransmitterSettings
    calls: TransmitterCalls

    @classmethod
    def of(cls, settings: TransmitterSettings) -> "StreamManagement":
        """Returns the management of a configured transmitter's stream."""
        return cls(settings, TransmitterCalls.of(settings, deadline_seconds=_DEADLINE_SECONDS))

    async def configure(self) -> Stream:
        """Creates the stream, or changes the one there is to what the configuration says; returns it."""
        url = await self._endpoint("configuration_endpoint")
        wanted: dict[str, Any] = {"delivery": self._delivery(), "events_requested": list(REQUESTED)}
        held = await self._held(url)
        if held is None:
            answer = expected(await self.calls.ask("POST", url, wanted), url, 200, 201)
            return self._stream(json_of(answer, url), created=True)
        changed = {"stream_id": held.stream_id, **wanted}
        answer = expected(await self.calls.ask("PATCH", url, changed), url, 200, 202)
        return self._stream(json_of(answer, url))

    async def stream(self) -> Stream:
        """Returns the stream there is."""
        held = await self._held(await self._endpoint("configuration_endpoint"))
        if held is None:
            raise TransmitterUnavailable(
                "the transmitter has no stream for this client: run `remit-server events configure`"
            )
        return held

    async def state(self, stream_id: str) -> StreamState:
        """Returns whether the stream is enabled."""
        url = await self._endpoint("status_endpoint")
        answer = expected(await self.calls.ask("GET", url, query=f"stream_id={quote(stream_id, safe='')}"), url, 200)
        value = json_of(answer, url)
        if not isinstance(value, dict) or not isinstance(value.get("status"), str):
            raise TransmitterUnavailable(f"asked {url}: the answer has no status")
        reason = value.get("reason")
        return StreamState(value["status"], reason if isinstance(reason, str) else "")

    async def request_verification(self, stream_id: str, state: str) -> None:
        """Has the transmitter send a verification event that repeats `state`."""
        url = await self._endpoint("verification_endpoint")
        request = {"stream_id": stream_id, "state": state}
        expected(await self.calls.ask("POST", url, request), url, 200, 202, 204)

    def _delivery(self) -> Mapping[str, str]:
        """Returns how events are to come."""
        if self.settings.delivery is Delivery.POLL:
            return {"method": POLL_METHOD}
        if self.settings.receiver_url is None:
            raise TransmitterUnavailable("the transmitter must be told where to push: set `receiver_url`")
        delivery = {"method": PUSH_METHOD, "endpoint_url": self.settings.receiver_url}
        if self.settings.authorization:
            delivery["authorization_header"] = self.settings.authorization[0].reveal()
        return delivery

    async def _endpoint(self, name: str) -> str:
        """Returns an endpoint that the transmitter's own configuration names."""
        url = self.settings.configuration_url or ssf_discovery_url(self.settings.signer.issuer)
        value = json_of(expected(await self.calls.read(url), url, 200), url)
        if not isinstance(value, dict) or value.get("issuer") != self.settings.signer.issuer:
            raise TransmitterUnavailable(
                f"asked {url}: the configuration names another issuer: copy `issuer` from it, to the letter"
            )
        endpoint = value.get(name)
        if not isinstance(endpoint, str):
            raise TransmitterUnavailable(f"asked {url}: the transmitter offers no {name}: set up the stream by hand")
        if wrong := url_mistake(endpoint, self.settings.signer.allowed_hosts):
            raise TransmitterUnavailable(f"asked {url}: its {name} {wrong}: list its host if the transmitter says so")
        return endpoint

    async def _held(self, url: str) -> Stream | None:
        """Returns this client's stream, or None; of several none is guessed at."""
        answer = expected(await self.calls.ask("GET", url), url, 200, 404)
        if answer.status == 404:  # noqa: PLR2004 - HTTP's own number
            return None
        value = json_of(answer, url)
        streams = value if isinstance(value, list) else [value]
        if len(streams) > 1:
            raise TransmitterUnavailable(f"asked {url}: this client has {len(streams)} streams: delete all but one")
        return self._stream(streams[0]) if streams and streams[0] else None

    def _stream(self, value: Any, *, created: bool = False) -> Stream:
        """Returns a stream's configuration; one that delivers another's events, or to another, is refused."""
        if not isinstance(value, dict) or not is_plain_text(str(value.get("stream_id", ""))):
            raise TransmitterUnavailable("the stream's configuration has no proper stream_id")
        if value.get("iss", self.settings.signer.issuer) != self.settings.signer.issuer:
            raise TransmitterUnavailable("the stream is of another issuer than `issuer`")
        audience = value.get("aud", "")
        delivery, delivered = value.get("delivery"), value.get("events_delivered", [])
        url = delivery.get("endpoint_url") if isinstance(delivery, dict) else None
        polls = isinstance(delivery, dict) and delivery.get("method") == POLL_METHOD
        return Stream(
            stream_id=str(value["stream_id"]),
            audience=audience if isinstance(audience, str) else ", ".join(map(str, audience)),
            delivered=tuple(one for one in delivered if isinstance(one, str)) if isinstance(delivered, list) else (),
            poll_url=url if polls and isinstance(url, str) else None,
            created=created,
        )
