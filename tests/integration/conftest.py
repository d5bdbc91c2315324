"""Real parts for integration tests: one local AWS for each test process, so that xdist workers share nothing."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from remit_sandbox.errors import SandboxError
from remit_sandbox.local_aws import LocalAws, find_interpreter
from remit_sandbox.sample_account import SampleAccount


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def local_aws(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalAws]:
    """A running local AWS; where ministack is missing its tests are skipped, or fail under REMIT_REQUIRE_REAL=1."""
    try:
        find_interpreter()
    except SandboxError as error:
        if os.environ.get("REMIT_REQUIRE_REAL") == "1":
            raise
        pytest.skip(str(error))
    async with await LocalAws.start(tmp_path_factory.mktemp("local-aws")) as aws:
        yield aws


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sample_account(local_aws: LocalAws) -> SampleAccount:
    """The seeded account of the running local AWS."""
    return await local_aws.seed()


@pytest.fixture
def state_folder(tmp_path: Path) -> Path:
    """A folder that nobody else can enter, for whatever a test starts by itself."""
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder
