"""Adopts what a source offers: the bundle is made ready and has refused strangers before it is published and active.

However many processes and replicas are offered the same at once, it is activated once, and what was active before is
never brought back so: that only people do.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from remit_server.adapters.policy.activation.active import Engines
from remit_server.adapters.policy.activation.published import not_for_here, published_bundle
from remit_server.adapters.policy.bundles.archive import archive_of_files
from remit_server.adapters.policy.bundles.bundle import Bundle
from remit_server.adapters.policy.bundles.facts import facts_of
from remit_server.adapters.policy.findings import BundleRefused
from remit_server.adapters.policy.reading.apart import ReadBundle, read_apart
from remit_server.application.policy.following.source_ports import Offered, PolicySource
from remit_server.application.policy.ports import ActivationOrder, NewRevision, Revisions
from remit_server.domain.errors import Denied

_WHY: Final = "offered by the configured source"


@dataclass(slots=True)
class FittingBundles:
    """Reads revisions that fit this gateway's roles; those that this process has in its hands are not read again."""

    revisions: Revisions
    roles: frozenset[str]
    at_hand: dict[str, Bundle] = field(default_factory=dict)

    async def __call__(self, revision: str) -> Bundle:
        """Returns the bundle of a revision; raises what `published_bundle` raises."""
        if (bundle := self.at_hand.get(revision)) is not None:
            return bundle
        return await published_bundle(self.revisions, revision, self.roles)


@dataclass(slots=True)
class Adopting:
    """Adopts what one source offers (implements `AdoptOffer`); `look` has this process turn to it.

    `refused` is why the last offer was not adopted, for who asks at a start.
    """

    revisions: Revisions
    bundles: FittingBundles
    engines: Engines
    source: PolicySource
    look: Callable[[], None]
    refused: Denied | None = None

    async def __call__(self, offered: Offered, /, *, expected_active: str) -> None:
        """Publishes and activates an offer that may decide here, unless another than the expected one is active."""
        try:
            await self._adopt(offered, expected_active)
        except Denied as denied:
            self.refused = denied
            raise

    async def _adopt(self, offered: Offered, expected_active: str) -> None:
        offer = offered.offer
        archive = await asyncio.to_thread(archive_of_files, offered.files)
        was_at_hand = offer.revision in self.bundles.at_hand
        read = await self._read(offer.revision, offered.files, archive)
        self.bundles.at_hand[offer.revision] = read.bundle
        try:
            await self.engines.prepare(offer.revision)
        finally:
            if not was_at_hand:
                del self.bundles.at_hand[offer.revision]
        facts = replace(read.facts, built_time=offer.built_time, signed_by=offer.signed_by)
        await self.revisions.publish(NewRevision(facts, archive), by=self.source.name, source=self.source.kind)
        await self.revisions.activate(
            ActivationOrder(
                offer.revision, by=self.source.name, why=_WHY, expected_active=expected_active, adopted=True
            )
        )
        self.look()

    async def _read(self, revision: str, files: Mapping[str, bytes], archive: bytes) -> ReadBundle:
        """Returns the bundle that is at hand, or reads it in a process of its own; raises Denied(REVISION_REFUSED)."""
        if (bundle := self.bundles.at_hand.get(revision)) is not None:
            return ReadBundle(bundle, await asyncio.to_thread(facts_of, files, bundle))
        try:
            return await read_apart(archive, self.bundles.roles)
        except BundleRefused as refused:
            raise not_for_here(refused) from refused
