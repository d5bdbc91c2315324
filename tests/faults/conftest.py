"""One gateway for all tests of faults: it is never started anew, so each of them shows that it went on."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.faults.rig.configuration import note_ceilings
from tests.faults.rig.stage import ISSUER_FAULTS, Stage, whole_stage


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """The gateway and everything around it."""
    async with whole_stage(tmp_path_factory.mktemp("stage"), ISSUER_FAULTS) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def stage(whole: Stage) -> Stage:
    """The same, well again after the test before."""
    note_ceilings()
    await whole.until_ok()
    return whole
