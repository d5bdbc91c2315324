"""I1, I2, I6, I7, I8: gateways that are killed from outside, alone or two on one database, at any moment."""

from random import Random

import pytest
from tests.crash.extent import ROUNDS, SEED
from tests.crash.rounds import Ground
from tests.crash.scripts import CROWDS

from remit_server.adapters.database.trail.audit_log import verify
from remit_server.domain.audit import ChainIntact

pytestmark = pytest.mark.timeout(900)


def revoked_in_between(ground: Ground) -> int:
    """Returns how many users were given credentials before a revoke and refused after it."""
    records = ground.judge.latest.records
    revokes = {one.body["target_key"]: one.sequence for one in records if one.kind == "grants_revoked"}
    whose = [(one.kind, one.body["who"]["subject_id"], one.sequence) for one in records if "who" in one.body]
    given = {user for kind, user, at in whose if kind == "credentials_issued" and at < revokes.get(user, 0)}
    refused = {user for kind, user, at in whose if kind == "request_refused" and at > revokes.get(user, at)}
    return len(given & refused)


def asked_by_both(ground: Ground) -> int:
    """Returns how many requests two processes have given credentials for."""
    given = {(told["request"], told["child"]) for told in ground.judge.trace.of("given")}
    return len({request_id for request_id, child in given if child == 0 and (request_id, 1) in given})


CONTESTED = dict(zip(CROWDS, (revoked_in_between, revoked_in_between, asked_by_both), strict=True))


@pytest.mark.parametrize("scripts", CROWDS, ids=" beside ".join)
def test_whenever_one_of_the_gateways_is_killed_every_promise_holds_and_the_next_one_serves(
    scripts: tuple[str, ...], ground: Ground
) -> None:
    chance = Random(SEED)  # noqa: S311 - a test's own choice

    ground.kill_from_outside(*scripts, rounds=ROUNDS, chance=chance)
    while ground.kills < ROUNDS // 4 or not CONTESTED[scripts](ground):  # how they meet is the machine's choice
        ground.kill_from_outside(*scripts, rounds=ROUNDS // 4, chance=chance)

    assert ground.found == set()
    assert isinstance(verify(ground.place), ChainIntact)
