"""The public keys of one issuer: fetched within bounds, kept a while, fetched again for a key that is not known."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from jwt import PyJWK, PyJWTError

FETCH_SECONDS: Final = 5.0  # for the whole answer
LARGEST_ANSWER: Final = 100 * 1024
FRESH_SECONDS: Final = 300.0
COOL_DOWN_SECONDS: Final = 30.0  # between two fetches for keys that are not known


class KeysUnavailable(Exception):  # noqa: N818 - named for what it says
    """The issuer's keys could not be had; its text names no token."""


@dataclass(slots=True)
class KeySet:
    """The signing keys of the issuer at `issuer`, by `kid`. One fetch at a time, whoever asks."""

    issuer: str
    client: httpx.AsyncClient
    _keys: dict[str, PyJWK] = field(default_factory=dict, repr=False)
    _fetched: float = float("-inf")
    _fetching: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    async def key(self, kid: str) -> PyJWK | None:
        """Returns the key with that id, None when the issuer has none; raises KeysUnavailable."""
        if self._age() > FRESH_SECONDS or (kid not in self._keys and self._age() > COOL_DOWN_SECONDS):
            async with self._fetching:
                if self._age() > FRESH_SECONDS or (kid not in self._keys and self._age() > COOL_DOWN_SECONDS):
                    await self._fetch()
        return self._keys.get(kid)

    def _age(self) -> float:
        return time.monotonic() - self._fetched

    async def _fetch(self) -> None:
        """Reads discovery and key set; the keys before them hold while it fails."""
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                found = await self._json(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
                if found.get("issuer") != self.issuer or not str(found.get("jwks_uri", "")).startswith("https://"):
                    raise KeysUnavailable(
                        f"the discovery document of {self.issuer} is of another issuer, or has no keys"
                    )
                listed = (await self._json(str(found["jwks_uri"]))).get("keys")
        except (TimeoutError, httpx.HTTPError, ValueError) as error:
            if not self._keys:
                raise KeysUnavailable(f"the keys of {self.issuer} cannot be had ({type(error).__name__})") from None
            self._fetched = time.monotonic() - FRESH_SECONDS + COOL_DOWN_SECONDS
            return
        self._keys = dict(_usable(listed if isinstance(listed, list) else []))
        self._fetched = time.monotonic()

    async def _json(self, url: str) -> dict[str, Any]:
        """Reads one JSON object; raises ValueError for anything else, and for one that is too large."""
        async with self.client.stream("GET", url) as answer:
            answer.raise_for_status()
            body = bytearray()
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > LARGEST_ANSWER:
                    raise ValueError("the answer is too large")
        value = json.loads(body)
        if not isinstance(value, dict):
            raise ValueError("the answer is no JSON object")  # noqa: TRY004 - bad input, not a bad argument
        return value


def _usable(listed: list[Any]) -> list[tuple[str, PyJWK]]:
    """Returns the keys that signatures may be checked with: RSA and EC, for signing, each id once."""
    found: dict[str, PyJWK] = {}
    for one in listed:
        if not isinstance(one, dict) or one.get("kty") not in {"RSA", "EC"} or one.get("use", "sig") != "sig":
            continue
        kid = one.get("kid")
        try:
            if isinstance(kid, str) and kid not in found:
                found[kid] = PyJWK(one)
        except PyJWTError:
            continue
    return list(found.items())
