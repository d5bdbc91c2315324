"""Holds one issuer's verification keys: fetched once for everybody, kept through outages, never asked for in a loop."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from remit_server.adapters.identity.https_fetch import Fetch, FetchFailed, HttpsFetch
from remit_server.adapters.identity.token_parsing import TokenRefused, bounded_json
from remit_server.adapters.identity.verification_keys import (
    MAX_KEY_SET_BYTES,
    MalformedKeySet,
    VerificationKey,
    key_set_of,
)
from remit_server.adapters.strict_json import MalformedJson
from remit_server.adapters.system_clock import SystemClock
from remit_server.application.ports import Clock
from remit_server.config.identity_rules import url_mistake
from remit_server.config.settings import IssuerSettings
from remit_server.domain.errors import Outage, Reason, Remedy

COOL_DOWN: Final = timedelta(seconds=30)
UNKNOWN_KEY_MEMORY: Final = timedelta(minutes=5)
MAX_UNKNOWN_KEYS: Final = 1000
MOST_WAITING: Final = 64  # callers at a time: each holds one of the gateway's places, and none of them is proven yet

_log = logging.getLogger(__name__)


def openid_discovery_url(issuer: str) -> str:
    """Returns where an issuer's discovery document is (OpenID Connect Discovery 1.0, 4.1)."""
    return f"{issuer.removesuffix('/')}/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class _Held:
    """A key set and when it was asked for, in monotonic seconds."""

    keys: Mapping[str, VerificationKey]
    since: float


@dataclass(slots=True)
class IssuerKeys:
    """The key set of one issuer, looked up by the issuer's configuration and never by what a token says (T1).

    At most one fetch runs at a time and at most one starts per cool-down, whatever tokens ask for. An unknown key id is
    remembered as such for a while. When fetching fails, known keys serve until `key_set_stale_limit`, then none does.
    """

    settings: IssuerSettings
    clock: Clock
    fetch: Fetch
    cool_down: timedelta = COOL_DOWN
    discovery_url: Callable[[str], str] = openid_discovery_url
    _held: _Held | None = None
    _failure: str | None = None
    _last_start: float | None = None
    _running: asyncio.Task[None] | None = None
    _waiting: int = 0
    _unknown: OrderedDict[str, float] = field(default_factory=OrderedDict)

    @classmethod
    def over_https(
        cls, settings: IssuerSettings, clock: Clock, discovery_url: Callable[[str], str] = openid_discovery_url
    ) -> "IssuerKeys":
        """Returns the keys of an issuer as they are fetched for real."""
        fetch = HttpsFetch(
            hosts=settings.allowed_hosts,
            ca_file=settings.ca_file,
            private_network=settings.private_network,
            max_bytes=MAX_KEY_SET_BYTES,
        )
        return cls(settings=settings, clock=clock, fetch=fetch, discovery_url=discovery_url)

    async def key(self, unverified_key_id: str, /) -> VerificationKey:
        """Returns the key with this id.

        Raises TokenRefused when the issuer publishes no such key that is fit to verify signatures, and
        Outage(ISSUER_UNAVAILABLE) when its keys cannot be had.
        """
        asked = self.clock.monotonic()
        if not self._is_fresh() or not (self._knows(unverified_key_id) or self._is_unknown(unverified_key_id)):
            await self._refresh()
        held = self._held
        if held is None or self._age(held) >= self.settings.key_set_stale_limit.total_seconds():
            raise self._outage()
        key = held.keys.get(unverified_key_id)
        if key is not None:
            return key
        if self._failure is not None:  # what the issuer publishes by now could not be seen
            raise self._outage()
        if held.since >= asked:  # an absence is remembered only when the issuer was asked because of it
            self._remember_unknown(unverified_key_id)
        raise TokenRefused(
            "the token is signed with a key that its issuer does not publish or that is not fit; get a new token",
            remedy=Remedy.REAUTHENTICATE,
        )

    async def failure(self) -> str | None:
        """Asks the issuer now and says why its keys cannot be had, for its operator; None when they can."""
        await self._refresh()
        if self._failure is None and self._held is not None and not self._held.keys:
            return "the key set has no key that is fit to verify signatures"
        return self._failure

    def begin(self) -> None:
        """Starts asking the issuer, so that what is wrong is in the log before the first token comes.

        It is no fetch that a token caused, so the first token may cause one at once: an issuer may start after us.
        """
        if self._running is None:
            self._running = asyncio.create_task(self._load(self.clock.monotonic()))

    async def close(self) -> None:
        """Ends a fetch that still runs."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    def _age(self, held: _Held) -> float:
        return self.clock.monotonic() - held.since

    def _is_fresh(self) -> bool:
        """Says whether the keys were fetched lately."""
        return self._held is not None and self._age(self._held) < self.settings.key_set_max_age.total_seconds()

    def _knows(self, key_id: str) -> bool:
        return self._held is not None and key_id in self._held.keys

    def _is_unknown(self, key_id: str) -> bool:
        """Says whether a fetch showed lately that the issuer publishes no such key."""
        until = self._unknown.get(key_id)
        return until is not None and self.clock.monotonic() < until

    def _remember_unknown(self, key_id: str) -> None:
        """Keeps the key id among the bounded number of those that are not asked for again for a while."""
        self._unknown[key_id] = self.clock.monotonic() + UNKNOWN_KEY_MEMORY.total_seconds()
        self._unknown.move_to_end(key_id)
        while len(self._unknown) > MAX_UNKNOWN_KEYS:
            self._unknown.popitem(last=False)

    def _outage(self, *, retry_after: timedelta | None = None) -> Outage:
        """Returns the failure for the caller, who learns nothing of the gateway's network; the log has the cause."""
        message = (
            f"the keys of issuer `{self.settings.alias}` cannot be had; try again later, or ask the gateway's operator"
        )
        return Outage(Reason.ISSUER_UNAVAILABLE, message, retry_after=retry_after or self.cool_down)

    async def _refresh(self) -> None:
        """Waits for the running fetch, or starts one unless the last began within the cool-down.

        Raises Outage(ISSUER_UNAVAILABLE) at once when too many wait already: a forged token waits like any other.
        """
        if self._running is None:
            now = self.clock.monotonic()
            if self._last_start is not None and now - self._last_start < self.cool_down.total_seconds():
                return
            running = self._start(now)
        else:
            running = self._running
        if self._waiting >= MOST_WAITING:
            raise self._outage(retry_after=timedelta(seconds=1))
        self._waiting += 1
        try:
            # NOTE: a caller that goes away must not take the fetch of all others with it.
            await asyncio.shield(running)
        finally:
            self._waiting -= 1

    def _start(self, now: float) -> asyncio.Task[None]:
        """Starts the one fetch that runs at a time."""
        self._last_start = now
        self._running = asyncio.create_task(self._load(now))
        return self._running

    async def _load(self, started: float) -> None:
        """Replaces the held keys by those that the issuer publishes now, or notes why that could not be."""
        url = self.settings.key_set_url or self.discovery_url(self.settings.issuer)
        try:
            if self.settings.key_set_url is None:
                url = await self._discovered_url(url)
            key_set = key_set_of(await self.fetch(url))
        except FetchFailed as failed:
            self._note_failure(url, str(failed))
        except MalformedKeySet as failed:
            self._note_failure(url, f"{failed}: correct `key_set_url`, or have the issuer mend what it publishes")
        else:
            for reason in key_set.unfit:
                _log.warning("issuer %s: %s", self.settings.alias, reason)
            self._held = _Held(keys=key_set.keys, since=started)
            self._failure = None
        finally:
            self._running = None

    def _note_failure(self, url: str, why: str) -> None:
        """Keeps and logs which issuer was asked where, what failed, and what to do."""
        self._failure = f"asked {url}: {why}"
        _log.warning("issuer %s (%s): keys not fetched: %s", self.settings.alias, self.settings.issuer, self._failure)

    async def _discovered_url(self, discovery_url: str) -> str:
        """Returns `jwks_uri` of the issuer's own discovery document (OpenID Connect Discovery 1.0, 4)."""
        issuer = self.settings.issuer
        document = await self.fetch(discovery_url)
        try:
            value = bounded_json(document.decode("utf-8", "strict"), max_characters=MAX_KEY_SET_BYTES)
        except (UnicodeDecodeError, MalformedJson):
            raise FetchFailed("the discovery document is not strict JSON in UTF-8") from None
        if not isinstance(value, dict) or value.get("issuer") != issuer:
            raise FetchFailed("the discovery document names another issuer: copy `issuer` from it, to the letter")
        url = value.get("jwks_uri")
        if not isinstance(url, str):
            raise FetchFailed("the discovery document has no jwks_uri")
        if wrong := url_mistake(url, self.settings.allowed_hosts):
            raise FetchFailed(f"the jwks_uri of the discovery document {wrong}: list its host if the issuer says so")
        return url


def why_keys_fail(
    issuers: Sequence[IssuerSettings], discovery_url: Callable[[str], str] = openid_discovery_url
) -> Sequence[tuple[str, str]]:
    """Asks every issuer now; returns alias and reason of each whose keys cannot be had. Runs an event loop."""

    async def look() -> list[str | None]:
        clock = SystemClock()
        return await asyncio.gather(*(IssuerKeys.over_https(item, clock, discovery_url).failure() for item in issuers))

    return [(item.alias, why) for item, why in zip(issuers, asyncio.run(look()), strict=True) if why is not None]
