"""Holds the keys of the gateway's own issuer, and follows their files: a rotation needs no restart."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

from remit_server.adapters.issuer import documents
from remit_server.adapters.issuer.keys import Keys, SigningKey
from remit_server.config.settings import OwnIssuerSettings
from remit_server.config.signing_keys import is_absent
from remit_server.config.stamps import stamps_of

LOOK_EVERY: Final = timedelta(seconds=2)
PUBLISHED_BEFORE_USE: Final = timedelta(hours=24)
_log = logging.getLogger(__name__)
_Stamps = tuple[tuple[int, int], ...]


class SigningKeys:
    """Says which key signs and what is published: what the files held when they last fitted.

    Made by `read`, in a thread; `follow` runs until it is cancelled.
    """

    def __init__(self, settings: OwnIssuerSettings, keys: Keys, stamps: _Stamps) -> None:
        self._settings = settings
        self._keys = keys
        self._stamps = stamps
        self._since: dict[str, float] = {}
        self._note_published(time.monotonic())

    @classmethod
    def read(cls, settings: OwnIssuerSettings) -> "SigningKeys":
        """Returns what the files hold; raises RuntimeError when that cannot be used."""
        try:
            stamps = _stamps(settings)
            return cls(settings, Keys.read(settings), stamps)
        except (OSError, ValueError) as wrong:
            why = f"the keys of [issuer] cannot be used: {wrong}"
            raise RuntimeError(f"{why}; remit-server config check says which, and what to do") from wrong

    @property
    def url(self) -> str:
        """The issuer's `iss`."""
        return self._settings.url

    @property
    def active(self) -> SigningKey:
        """The key that signs."""
        return self._keys.active

    @property
    def documents(self) -> Mapping[str, Callable[[], bytes]]:
        """The path of each document below the URL, and what returns it as it is now."""
        return {
            documents.DISCOVERY_PATH: lambda: documents.discovery(self.url, self._keys),
            documents.KEY_SET_PATH: lambda: documents.key_set(self._keys),
        }

    async def follow(self, look_every: timedelta = LOOK_EVERY) -> None:
        """Reads the files again soon after they have changed; what cannot be used changes nothing, and is told once."""
        told = ""
        while True:
            await asyncio.sleep(look_every.total_seconds())
            try:
                found = await asyncio.to_thread(self._changed)
            except Exception as wrong:  # noqa: BLE001 - whatever it is, what there was goes on, and so does the watch
                if str(wrong) != told:
                    told = str(wrong)
                    _log.warning("the keys of [issuer] have changed and cannot be used yet: %s", told)
                continue
            if found is not None:
                told = ""
                self._take(*found)

    def _changed(self) -> tuple[Keys, _Stamps] | None:
        """Returns what the files hold now, or None when that is what was read last."""
        stamps = _stamps(self._settings)
        return None if stamps == self._stamps else (Keys.read(self._settings), stamps)

    def _take(self, keys: Keys, stamps: _Stamps) -> None:
        """Signs and publishes with these keys from now on."""
        before, self._keys, self._stamps = self._keys, keys, stamps
        now = time.monotonic()
        if keys.active.key_id != before.active.key_id:
            self._tell_of_a_switch(before.active.key_id, now)
        self._note_published(now)
        _log.info("the issuer publishes the keys %s", ", ".join(key.key_id for key in keys.published))

    def _tell_of_a_switch(self, before: str, now: float) -> None:
        """Logs which key signs, and whether AWS may not know it or may still need the one before."""
        key_id = self._keys.active.key_id
        _log.info("the issuer signs with key %s", key_id)
        if now - self._since.get(key_id, now) < PUBLISHED_BEFORE_USE.total_seconds():
            _log.warning(
                "key %s signs although this process did not publish it for 24 hours before: AWS may refuse its tokens "
                "(InvalidIdentityToken) until it fetches the keys again",
                key_id,
            )
        if before not in {key.key_id for key in self._keys.published}:
            _log.warning(
                "key %s is no longer published: tokens that it signed in the last minute may be refused", before
            )

    def _note_published(self, now: float) -> None:
        """Remembers since when each key is published by this process."""
        self._since = {key.key_id: self._since.get(key.key_id, now) for key in self._keys.published}


def _stamps(settings: OwnIssuerSettings) -> _Stamps:
    """Returns which files there are and when they were written; raises OSError."""
    return stamps_of(path for path in settings.key_files if not is_absent(path))
