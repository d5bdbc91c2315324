"""Makes the source that a configuration names, and takes the bundle of a start from it."""

import asyncio
import time
from collections.abc import Collection
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from remit_server.adapters.policy.bundles.bundle import SIGNATURES, Bundle, bundle_of
from remit_server.adapters.policy.bundles.fitting import fitting
from remit_server.adapters.policy.findings import BundleRefused, Finding
from remit_server.adapters.policy.sources.folder import FolderSource
from remit_server.adapters.policy.sources.server import BundleServerSource
from remit_server.application.policy.following.offers import OfferLimits, Refused, Seen, judge
from remit_server.application.policy.following.source_ports import (
    Offered,
    PolicySource,
    SourceNews,
    Unacceptable,
    Unreachable,
)
from remit_server.config.settings import PolicySettings

_RECENT_SECONDS: Final = 60.0


def source_of(policy: PolicySettings) -> PolicySource:
    """Returns the one source of bundles of a configuration."""
    if policy.server is not None:
        return BundleServerSource(policy.server, policy.signing)
    if policy.bundle is None:
        raise ValueError("a configuration names a folder or a bundle server")
    return FolderSource(policy.bundle, policy.signing, policy.follow)


def limits_of(policy: PolicySettings) -> OfferLimits:
    """Returns what is asked of an offer, whatever was before."""
    return OfferLimits(signature_required=policy.signing.required, oldest=policy.signing.valid)


@dataclass(frozen=True, slots=True)
class FirstOffer:
    """What the source had when the gateway started, and the bundle that it makes; None where it makes none.

    `why` says why it makes none, `asked` when it was asked (monotonic, which is one clock for all processes).
    """

    news: SourceNews
    bundle: Bundle | None
    why: BundleRefused | RuntimeError | None = None
    asked: float = field(default_factory=time.monotonic)

    @property
    def is_recent(self) -> bool:
        """Says whether it can stand for what the source has now: a worker that replaces another is given it, too."""
        return time.monotonic() - self.asked < _RECENT_SECONDS


def first_offer(policy: PolicySettings, roles: Collection[str]) -> FirstOffer:
    """Returns what the source has now; what it is judged by, and what else there is, is in the database.

    Leaves no thread and no event loop behind. Raises BundleRefused for what is in a folder and cannot be served. What a
    bundle server has, or that it does not answer, keeps no gateway from starting on what is active already.
    """
    source = source_of(policy)
    news = asyncio.run(first_news(source))
    # NOTE: whoever can answer in a server's name is no author: what bears no good signature is not even read here.
    is_unsigned = isinstance(news, Offered) and policy.signing.required and not news.offer.signed_by
    if is_unsigned and policy.server is not None:
        return FirstOffer(news, None)
    try:
        return FirstOffer(news, _fitting_bundle(news, roles, source.name))
    except (BundleRefused, RuntimeError) as why:
        if policy.bundle is not None:
            raise
        return FirstOffer(news, None, why)


def first_bundle(policy: PolicySettings, roles: Collection[str]) -> Bundle:
    """Returns the bundle that the source has now, for a start that knows of none before.

    Leaves no thread and no event loop behind. Raises BundleRefused for one that may not be adopted, or not decide for
    these roles, and RuntimeError when the source does not answer.
    """
    source = source_of(policy)
    return bundle_in(asyncio.run(first_news(source)), policy, roles, source.name)


def bundle_in(news: SourceNews, policy: PolicySettings, roles: Collection[str], source: str) -> Bundle:
    """Returns the bundle that a source offers, where nothing was before; raises as `first_bundle` does."""
    if isinstance(news, Offered):
        verdict = judge(news.offer, Seen(), limits_of(policy), datetime.now(UTC))
        if isinstance(verdict, Refused):
            raise BundleRefused([Finding(SIGNATURES, 0, f"the bundle is refused ({verdict.code})", verdict.message)])
    return _fitting_bundle(news, roles, source)


def _fitting_bundle(news: SourceNews, roles: Collection[str], source: str) -> Bundle:
    """Returns the bundle that a source offers, whatever its age; raises BundleRefused, and RuntimeError for none."""
    match news:
        case Offered():
            return fitting(bundle_of(news.files), roles)
        case Unacceptable():
            raise BundleRefused([Finding(source, 0, f"its bundle is refused ({news.code})", news.message)])
        case Unreachable():
            raise RuntimeError(f"the policy cannot be had from {source}: {news.why}")
        case _:
            raise RuntimeError(f"the policy cannot be had from {source}: it offers nothing")


async def first_news(source: PolicySource) -> SourceNews:
    """Returns what a source has now."""
    async with aclosing(source.news()) as told:
        return await anext(told)
