"""One OPA server as what decides by whichever revision is active: it is given one bundle at a time."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from remit_server.adapters.opa.engine import OpaRefused, OpaServer
from remit_server.adapters.policy.activation.published import not_for_here
from remit_server.adapters.policy.bundles.bundle import Bundle
from remit_server.adapters.policy.findings import BundleRefused
from remit_server.adapters.rego.embedded import EmbeddedRego, EngineLimits
from remit_server.domain.errors import Outage, Reason

Open = Callable[[Bundle], Awaitable[OpaServer]]
_KEPT_AT_LEAST: Final = 2  # the active one and the one that is prepared


class OpaTurns:
    """Turns OPA from one revision to another (implements `Engines`).

    `read` reads a published revision that fits this gateway, `open_server` starts to serve a first bundle. Beside the
    active one, `keep` bundles stay read: OPA still has to pull and load them.
    """

    def __init__(
        self, read: Callable[[str], Awaitable[Bundle]], open_server: Open, limits: EngineLimits, *, keep: int
    ) -> None:
        self._read = read
        self._open = open_server
        self._limits = replace(limits, workers=1, spares=0)
        self._most = _KEPT_AT_LEAST + keep
        self._bundles: dict[str, Bundle] = {}  # in the order of their last use
        self._server: OpaServer | None = None

    def warm(self, revision: str, /) -> None:
        """Returns None: OPA is for live decisions, and holds no other revision."""

    async def prepare(self, revision: str, /) -> None:
        """Reads and checks a revision, on an engine of the gateway's own that has to refuse strangers."""
        bundle = await self._bundle(revision)
        if self._server is not None and self._server.active.digest == revision:
            return
        try:
            engine = await EmbeddedRego.start(bundle, self._limits)
        except BundleRefused as refused:
            raise not_for_here(refused) from refused
        await engine.close()

    async def turn(self, revision: str, /) -> OpaServer:
        """Returns OPA once it decides by a revision."""
        bundle = await self._bundle(revision)
        try:
            if self._server is None:
                self._server = await self._open(bundle)
            elif self._server.active.digest != revision:
                await self._server.activate(bundle)
        except BundleRefused as refused:
            raise not_for_here(refused) from refused
        except OpaRefused as refused:
            raise Outage(Reason.POLICY_UNAVAILABLE, str(refused)) from refused
        return self._server

    async def close(self) -> None:
        """Stops serving the bundle and closes every connection."""
        if self._server is not None:
            await self._server.close()

    async def _bundle(self, revision: str) -> Bundle:
        """Returns the bundle of a revision, which stays read for a while."""
        bundle = self._bundles.pop(revision, None) or await self._read(revision)
        self._bundles[revision] = bundle
        while len(self._bundles) > self._most:
            self._bundles.pop(next(iter(self._bundles)))
        return bundle
