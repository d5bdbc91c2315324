"""Decides records again, each by the revision and the ceilings that decided it, in workers that can be killed."""

from collections.abc import Mapping, Sequence
from typing import Final

from remit_server.adapters.policy.bundles.archive import files_of_archive
from remit_server.adapters.policy.bundles.bundle import bundle_of
from remit_server.adapters.policy.findings import BundleRefused
from remit_server.adapters.rego.embedded import EmbeddedRego, EngineLimits
from remit_server.adapters.rego.judges import EngineJudge
from remit_server.application.planning.ceilings import ceilings_of
from remit_server.application.planning.plan_session import Planner
from remit_server.application.policy.deciding.time_travel import Again, OnRecord, decide_again, not_again
from remit_server.domain.decision import KeptText

_LIMITS: Final = EngineLimits(spares=0, decision_seconds=5.0)


async def decided_again(decisions: Sequence[OnRecord], archives: Mapping[str, bytes]) -> tuple[Again, ...]:
    """Returns what comes of each, in the order of the chain; `archives` are the published revisions that are known.

    What cannot be decided again says what it lacks; nothing is raised for it.
    """
    planners: dict[str, Planner | str] = {}
    found: list[Again] = [not_again(one) for one in decisions if one.lacking]
    able = [one for one in decisions if not one.lacking]
    for revision in dict.fromkeys(one.revision for one in able):
        own = [one for one in able if one.revision == revision]
        found += await _by_revision(revision, archives.get(revision), own, planners)
    return tuple(sorted(found, key=lambda again: again.sequence))


async def _by_revision(
    revision: str, archive: bytes | None, decisions: Sequence[OnRecord], planners: dict[str, Planner | str]
) -> list[Again]:
    """Returns what one revision makes of its decisions."""
    if archive is None:
        why = f"revision {revision} was never published to this database: give it with --bundle"
        return [not_again(one, why) for one in decisions]
    try:
        bundle = bundle_of(files_of_archive(archive), stamped=False)
        if bundle.revision != revision:
            return [not_again(one, f"what is kept as revision {revision} is another one") for one in decisions]
        engine = await EmbeddedRego.start(bundle, _LIMITS)
    except BundleRefused as refused:
        why = f"revision {revision} may not decide in this version of the gateway: {next(iter(refused.findings))}"
        return [not_again(one, why) for one in decisions]
    try:
        judge = EngineJudge(engine, engine.active)
        return [await _one(judge, one, planners) for one in decisions]
    finally:
        await engine.close()


async def _one(judge: EngineJudge, decision: OnRecord, planners: dict[str, Planner | str]) -> Again:
    """Returns what comes of one decision under its own ceilings."""
    kept = decision.ceilings
    if kept is None:
        return not_again(decision)
    if kept.digest not in planners:
        planners[kept.digest] = _planner(kept)
    planner = planners[kept.digest]
    return not_again(decision, planner) if isinstance(planner, str) else await decide_again(judge, planner, decision)


def _planner(ceilings: KeptText) -> Planner | str:
    """Returns who plans under these ceilings, or why nobody can any more."""
    try:
        return Planner(ceilings_of(ceilings))
    except (ValueError, KeyError, TypeError) as wrong:
        return str(wrong) if isinstance(wrong, ValueError) else "what is kept as the ceilings is no such text"
