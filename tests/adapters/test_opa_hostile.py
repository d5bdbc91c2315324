"""An OPA that lies, stalls or breaks off: every answer that is none is an outage, and no retry makes it a yes."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
import pytest_asyncio
from tests.fake_opa import HASTY, PATIENT, FakeOpa, Script, engine_with, fake_opa
from tests.hostile_opa import EVERY, SLOW
from tests.policy_bundles import OBEDIENT, bundle_of, told_to

from remit_server.adapters.opa.engine import OpaServer
from remit_server.adapters.policy.answers.decision import PolicyUnavailable
from remit_server.domain.decision import Allow

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Pair:
    """A fake, and two engines that ask it: one that would wait for ever, one that would not."""

    opa: FakeOpa
    patient: OpaServer
    hasty: OpaServer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    bundle = bundle_of(tmp_path_factory.mktemp("bundle"), OBEDIENT)
    async with AsyncExitStack() as stack:
        opa = await stack.enter_async_context(fake_opa(bundle.revision))
        patient = await stack.enter_async_context(engine_with(opa, bundle, PATIENT))
        hasty = await stack.enter_async_context(engine_with(opa, bundle, HASTY))
        yield Pair(opa, patient, hasty)


async def outage_of(engine: OpaServer) -> str:
    """Asks for a yes and returns why there was none."""
    with pytest.raises(PolicyUnavailable) as raised:
        await engine.decide(engine.active, told_to("allow"))
    return raised.value.why


@pytest.mark.parametrize("script", EVERY.values(), ids=EVERY.keys())
async def test_what_is_no_answer_is_an_outage_after_one_try(pair: Pair, script: Script) -> None:
    before = len(pair.opa.bodies)
    pair.opa.script = script

    why = await outage_of(pair.patient)

    assert "did not answer within" not in why
    assert len(pair.opa.bodies) == before + 1
    pair.opa.script = None
    assert isinstance(await pair.patient.decide(pair.patient.active, told_to("allow")), Allow)


@pytest.mark.parametrize("script", SLOW.values(), ids=SLOW.keys())
async def test_what_takes_too_long_is_an_outage_at_the_deadline(pair: Pair, script: Script) -> None:
    pair.opa.script = script

    assert await outage_of(pair.hasty) == "it did not answer within 0.25 s"
    pair.opa.script = None
