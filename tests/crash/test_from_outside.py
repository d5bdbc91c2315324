"""I1, I2, I6, I7, I8: gateways that are killed from outside, alone or two on one database, at any moment."""

from random import Random

import pytest
from tests.crash.extent import ROUNDS, SEED
from tests.crash.rounds import Ground
from tests.crash.scripts import CROWDS

from remit_server.adapters.database.audit_log import verify
from remit_server.domain.audit import ChainIntact

pytestmark = pytest.mark.timeout(900)


@pytest.mark.parametrize("scripts", CROWDS, ids=" beside ".join)
def test_whenever_one_of_the_gateways_is_killed_every_promise_holds_and_the_next_one_serves(
    scripts: tuple[str, ...], ground: Ground
) -> None:
    ground.kill_from_outside(*scripts, rounds=ROUNDS, chance=Random(SEED))  # noqa: S311 - a test's own choice

    assert ground.found == set()
    assert ground.kills > 1
    assert isinstance(verify(ground.place), ChainIntact)
