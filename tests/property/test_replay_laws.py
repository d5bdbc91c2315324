"""Laws of replays, on histories of random requests by the use cases on a real ledger."""

import random
from pathlib import Path
from typing import Any

import pytest
from tests.fakes import permission
from tests.policy_bundles import DEFAULT_POLICIES
from tests.replay_world import ORDER, PUBLISH, REPORT, Recorded, edited, recording, replayed

from remit_server.application.issuing.handing_out import Issued
from remit_server.application.policy.replaying.differences import Difference
from remit_server.application.policy.replaying.report_json import report_text
from remit_server.domain.permission import Permission
from remit_server.domain.task import Capability
from remit_server.iam import Condition

ASKS = 40
USERS, AGENTS = ("ann", "eve", "zoe", "bob"), ("copilot", "nightly")


def some_permissions(dice: random.Random) -> tuple[Permission, ...]:
    """Returns an intent: within, beyond and across what anybody may delegate, with wildcards and conditions."""
    actions = dice.sample(["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:Get*"], dice.randint(1, 2))
    places = [
        f"arn:aws:s3:::reports/2026/q{dice.randint(1, 4)}/*",
        f"arn:aws:s3:::reports/2026/{dice.randint(1, 99)}.csv",
        "arn:aws:s3:::reports/drafts/*",
        f"arn:aws:s3:::reports/{dice.choice(['2025', '2026', 'drafts'])}/a?b",
    ]
    more = (Condition("StringEquals", "aws:PrincipalTag/team", ("a",)),) if dice.random() < 0.2 else ()
    chosen = permission(actions, dice.sample(places, dice.randint(1, 2)), *more)
    return tuple(dice.sample([chosen, REPORT, ORDER, PUBLISH], dice.randint(1, 2)))


async def some_call(gateway: Recorded, dice: random.Random, live: list[tuple[Any, str, str]]) -> None:
    """Has one agent do one thing; who has credentials by now may renew them, or ask for more in the same task."""
    user, agent = dice.choice(USERS), dice.choice(AGENTS)
    if user == "bob":
        agent = "copilot"
    more: dict[str, Any] = {"narrow": dice.random() < 0.3}
    if live and dice.random() < 0.3:
        issued, user, agent = dice.choice(live)
        if dice.random() < 0.6:
            await gateway.renews(issued, user=user, agent=agent, narrow=dice.random() < 0.3)
            return
        more["task_id"] = issued.grant.task_id
    permissions = some_permissions(dice)
    if dice.random() < 0.15:
        wanted = {"bucket": "reports", "prefix": f"2026/q{dice.randint(1, 4)}/"}
        permissions, more["capabilities"] = (), (Capability("s3.read_prefix", wanted),)
    outcome = await gateway.asks(*permissions, user=user, agent=agent, **more)
    if isinstance(outcome, Issued):
        live.append((outcome, user, agent))


@pytest.mark.parametrize("seed", range(4))
async def test_a_revision_answers_its_own_history_bit_for_bit_and_no_candidate_depends_on_who_replays(
    tmp_path: Path, seed: int
) -> None:
    dice, live = random.Random(seed), list[tuple[Any, str, str]]()  # noqa: S311 - to be repeated
    async with recording(tmp_path / "ledger.db") as gateway:
        for _ in range(ASKS):
            await some_call(gateway, dice, live)

    own = await replayed(gateway.place, DEFAULT_POLICIES, page=11)
    less = edited(
        tmp_path / "less",
        catalogue=lambda tree: tree["entitlements"]["reports-writer"]["permissions"][0]["actions"].pop(),
    )
    alone, together = [await replayed(gateway.place, less, jobs=jobs, page=page) for jobs, page in ((1, 400), (3, 13))]

    assert own.is_without_difference
    assert own.verdicts == {"IDENTICAL": own.decisions}
    assert own.decisions >= ASKS * 0.6
    assert report_text(alone) == report_text(together)
    assert not [one for one in alone.groups if one.difference in {Difference.NEWLY_ALLOWED, Difference.REACH_WIDER}]
