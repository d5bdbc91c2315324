"""Wires the policy: what the configured source offers is adopted, and every process decides by the last activation."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from remit_server.adapters.database.ledger import DatabaseLedger
from remit_server.adapters.database.policies.revisions import DatabaseRevisions
from remit_server.adapters.database.policies.seen import DatabaseSeen
from remit_server.adapters.policy.activation.active import ActivePolicy, Engines
from remit_server.adapters.policy.activation.adopting import Adopting, FittingBundles
from remit_server.adapters.policy.bundles.bundle import Bundle
from remit_server.adapters.policy.findings import BundleRefused
from remit_server.adapters.policy.sources.choosing import FirstOffer, bundle_in, first_offer, limits_of, source_of
from remit_server.adapters.rego.embedded import EngineLimits
from remit_server.adapters.rego.judges import RegoJudges
from remit_server.adapters.rego.shelf import EngineShelf
from remit_server.adapters.system_clock import SystemClock
from remit_server.application.oversight.ports import WholePolicy
from remit_server.application.policy.following.follow_source import FollowSource
from remit_server.application.policy.following.freshness import Freshness, WhilePolicyIsFresh
from remit_server.bootstrap.background import in_background
from remit_server.config.settings import PolicySettings, Settings
from remit_server.domain.errors import Denied
from remit_server.domain.policy_revision import Activation


@dataclass(frozen=True, slots=True)
class PolicyParts:
    """What is wired of the policy: what decides, what follows activations, what is kept, what tries candidates."""

    decides: WholePolicy
    active: ActivePolicy
    revisions: DatabaseRevisions
    judges: RegoJudges


async def follow_policy(
    stack: AsyncExitStack,
    settings: Settings,
    ledger: DatabaseLedger,
    clock: SystemClock,
    first: FirstOffer | None,
    *,
    nonce: str | None,
) -> PolicyParts:
    """Returns the policy, which follows its source and every activation until the stack is left.

    It has refused a stranger by then. `first` is what the source offered where it was asked already. Raises
    BundleRefused for what it offered where nothing else is active, and RemitError or RuntimeError where what is active
    cannot decide here.
    """
    chosen, roles = settings.policy, frozenset(role.arn for role in settings.roles)
    # NOTE: what a server said long ago confirms nothing now; a folder is read once for all workers.
    if first is None or (chosen.server is not None and not first.is_recent):
        first = await asyncio.to_thread(first_offer, chosen, roles)
    revisions = DatabaseRevisions(ledger.store)
    bundles = FittingBundles(revisions, roles)
    if first.bundle is not None:
        bundles.at_hand[first.bundle.revision] = first.bundle
    limits = _limits(chosen)
    engines = _engines(chosen, bundles, limits, nonce)
    stack.push_async_callback(engines.close)
    policy = ActivePolicy(revisions, engines, ledger.record)
    source = source_of(chosen)
    adopting = Adopting(revisions, bundles, engines, source, policy.look)
    before = await revisions.active()
    freshness = _freshness(chosen, clock, source.name, before)
    follow = FollowSource(
        source,
        DatabaseSeen(ledger.store),
        adopting,
        ledger.record,
        freshness,
        limits_of(chosen),
        clock,
        active=before.revision if before is not None else "",
    )
    await follow.take(first.news)
    if await revisions.active() is None:
        raise _nothing_to_decide_by(first, adopting, chosen, roles, follow.refused)
    try:
        await policy.start()
    except Denied as denied:
        raise denied.__cause__ or denied from denied
    bundles.at_hand.clear()
    in_background(stack, policy.keep_up(), "policy")
    if chosen.keep_warm:
        in_background(stack, policy.make_ready(), "policies kept warm")
    if chosen.server is not None or chosen.follow is not None:
        in_background(stack, follow(), "policy source")
    judges = RegoJudges(revisions, limits, warm=engines.warm)
    return PolicyParts(WhilePolicyIsFresh(policy, freshness), policy, revisions, judges)


def _nothing_to_decide_by(
    first: FirstOffer, adopting: Adopting, chosen: PolicySettings, roles: frozenset[str], refused: str
) -> Exception:
    """Returns why there is no policy at all, with every finding for whoever starts the gateway."""
    if adopting.refused is not None:
        cause = adopting.refused.__cause__
        return cause if isinstance(cause, BundleRefused) else adopting.refused
    if first.why is not None:
        return first.why
    try:
        bundle_in(first.news, chosen, roles, adopting.source.name)
    except (BundleRefused, RuntimeError) as why:
        return why
    told = refused or "see the log"
    return RuntimeError(f"no policy is active, and what the source offers could not be adopted: {told}")


def _freshness(chosen: PolicySettings, clock: SystemClock, source: str, active: Activation | None) -> Freshness:
    """Returns what knows how long ago the source confirmed the policy; the last time before was its activation."""
    limit = chosen.server.max_age if chosen.server is not None else None
    return Freshness(clock, limit, source=source, since=active.time if active is not None else None)


def _limits(chosen: PolicySettings) -> EngineLimits:
    """Returns the bounds of embedded engines."""
    seconds = chosen.decision_timeout.total_seconds()
    return EngineLimits(workers=chosen.workers, decision_seconds=seconds, most_waiting=chosen.queue)


def _engines(
    chosen: PolicySettings, bundles: Callable[[str], Awaitable[Bundle]], limits: EngineLimits, nonce: str | None
) -> Engines:
    """Returns what makes engines of revisions, by the settings."""
    if chosen.opa is None:
        return EngineShelf(bundles, limits, keep=chosen.keep_warm)
    # Its library takes half a second to load.
    from remit_server.adapters.opa.engine import OpaLimits, OpaServer  # noqa: PLC0415
    from remit_server.adapters.opa.turning import OpaTurns  # noqa: PLC0415

    opa, bounds = chosen.opa, OpaLimits(decision_seconds=limits.decision_seconds, most_waiting=limits.most_waiting)

    async def open_server(bundle: Bundle) -> OpaServer:
        return await OpaServer.start(bundle, opa, bounds, nonce=nonce, share_port=True)

    return OpaTurns(bundles, open_server, limits, keep=chosen.keep_warm)
