"""A real gateway process whose disk is full, under its ledger and its checkpoints, and whose log nobody takes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.fake_sts import answering
from tests.faults.rig.asking import until
from tests.faults.rig.configuration import note_ceilings, pem_of
from tests.faults.rig.ledgers import full_disk, small_disk
from tests.faults.rig.small_stage import SmallStage, small_stage

from remit_sandbox.private_files import write_private
from remit_server.adapters.checkpoints.signing import checkpoints_in

pytestmark = pytest.mark.asyncio(loop_scope="module")
REFUSED = "UNAVAILABLE LEDGER_UNAVAILABLE"
FAILING = 150  # calls; what is logged of their failures is more than a pipe holds
KEY = Ed25519PrivateKey.generate()
CHECKPOINTS = "checkpoints.jsonl"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SmallStage]:
    """A gateway whose ledger and checkpoints are on one small disk."""
    folder = tmp_path_factory.mktemp("full")
    key = write_private(folder / "checkpoints.key", pem_of(KEY))
    with small_disk(folder / "disk", megabytes=24) as disk:
        table = {"file": str(disk / CHECKPOINTS), "signing_key_file": str(key), "every_seconds": 5, "every_records": 1}
        async with small_stage(folder, ledger=disk / "ledger.sqlite3", more={"checkpoints": table}) as made:
            yield made


@pytest_asyncio.fixture(loop_scope="module")
async def stage(running: SmallStage) -> SmallStage:
    note_ceilings()
    await running.until_ok()
    return running


async def test_on_a_full_disk_nothing_is_given_and_all_goes_on_when_there_is_room(stage: SmallStage) -> None:
    disk = stage.ledger.parent

    with full_disk(disk):
        await until(lambda: _is_refused(stage), every=0.0)
        calls = len(stage.sts.requests)
        while_full = {(await stage.ask()).short for _ in range(5)}
        sent = len(stage.sts.requests) - calls
    back = await stage.until_ok()
    recorded = await stage.recorded()
    await until(lambda: _kept(disk, recorded))

    assert while_full == {REFUSED}
    assert sent == 0
    assert back.access_key_id
    assert await stage.unrecorded() == []


async def _is_refused(stage: SmallStage) -> bool:
    """Asks once: what SQLite has set aside lasts for some grants."""
    return (await stage.ask()).short == REFUSED


async def _kept(disk: Path, recorded: int) -> bool:
    """Says whether a checkpoint of so many records was kept; raises CheckpointRefused for a line that is none."""
    found = checkpoints_in((disk / CHECKPOINTS).read_text().splitlines(), KEY.public_key())
    return any(one.count >= recorded for one in found)


async def test_a_log_that_nobody_takes_holds_nobody_up_and_says_afterwards_what_is_missing(stage: SmallStage) -> None:
    stage.sts.plan(*[answering(404, "no such thing")] * FAILING)

    with stage.gateway.unheard():
        failed = {(await stage.ask()).short for _ in range(FAILING)}
        meanwhile = (await stage.ask()).short
    stage.sts.plan(answering(404, "no such thing"))
    await stage.ask()  # what comes next is logged again, after a word about what was not
    await until(lambda: _says(stage, "lines of the log were dropped"))

    assert failed == {"UNAVAILABLE STS_UNAVAILABLE"}
    assert meanwhile == "OK"


async def _says(stage: SmallStage, words: str) -> bool:
    """Says whether the log has these words."""
    return words in stage.log
