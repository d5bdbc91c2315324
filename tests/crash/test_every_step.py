"""I1, I2, I6, I7, I8: a gateway that is killed at a step of a use case, at one after the other, on one database."""

import pytest
from tests.crash.extent import SEED, STRIDE
from tests.crash.rounds import Ground
from tests.crash.scripts import STEPPED

from remit_server.adapters.database.trail.audit_log import verify
from remit_server.domain.audit import ChainIntact

pytestmark = pytest.mark.timeout(900)


@pytest.mark.parametrize("script", STEPPED)
def test_whatever_step_a_gateway_is_killed_at_every_promise_holds_and_the_next_one_serves(
    script: str, ground: Ground
) -> None:
    first = 1 + (SEED + 2 * STEPPED.index(script)) % STRIDE  # every script begins elsewhere

    ground.sweep_steps(script, stride=STRIDE, first=first)

    assert ground.found == set()
    assert ground.kills > 1
    assert isinstance(verify(ground.place), ChainIntact)
