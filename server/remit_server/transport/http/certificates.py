"""The certificate of the HTTP listener, followed through its rotations."""

import asyncio
import logging
import ssl
from datetime import timedelta
from pathlib import Path

from remit_server.config.stamps import stamps_of

_log = logging.getLogger(__name__)


class FollowedCertificate:
    """Holds the TLS context for new connections: made of what the files hold, as long as they fit together.

    Raises OSError when they do not at first. Reading blocks, so it is made in a thread.
    """

    def __init__(self, certificate_file: Path, key_file: Path) -> None:
        self._files = (certificate_file, key_file)
        self._seen: tuple[tuple[int, int], ...] = ()
        self.context = self._read()

    async def follow(self, look_every: timedelta) -> None:
        """Reads the files again soon after they have changed, until it is cancelled."""
        told = ""
        while True:
            await asyncio.sleep(look_every.total_seconds())
            try:
                fresh = await asyncio.to_thread(self._changed)
            except Exception as error:  # noqa: BLE001 - half done, so far: the next look may find it whole
                if str(error) != told:  # once, and not at every look
                    told = str(error)
                    _log.warning("the certificate of the HTTP listener has changed and cannot be used yet: %s", told)
                continue
            if fresh is not None:
                self.context, told = fresh, ""
                _log.info("serving HTTP with a new certificate")

    def _changed(self) -> ssl.SSLContext | None:
        """Returns what the files hold now, or None when that is what was read last; raises OSError."""
        return self._read() if stamps_of(self._files) != self._seen else None

    def _read(self) -> ssl.SSLContext:
        """Returns a context with what the files hold; raises OSError (ssl.SSLError is one) when they do not fit."""
        stamps = stamps_of(self._files)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(*self._files, password=lambda: "")
        self._seen = stamps
        return context
