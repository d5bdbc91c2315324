"""What an issuance writes to the disk: SQLite writes each page that a transaction touches, 4 KiB for a short row."""

import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from tests.fakes import world

PAGE, HEADER, FRAME_HEADER = 4096, 32, 24
# Pages of the log that two transactions of an issuance write in a small ledger. More rows and indexes write more.
MOST_PAGES = 38


def written(log: Path) -> Iterator[int]:
    """Yields the number of each page that stands in the log, in the order of writing."""
    text = log.read_bytes()
    for place in range(HEADER, len(text), FRAME_HEADER + PAGE):
        if text[place + 8 : place + 16] == text[16:24]:  # written since the log was begun anew
            yield struct.unpack(">I", text[place : place + 4])[0]


def names(ledger: Path) -> dict[int, str]:
    """Returns tables and indexes by their first page."""
    with closing(sqlite3.connect(ledger)) as connection:
        return {root: name for name, root in connection.execute("SELECT name, rootpage FROM sqlite_master")}


async def test_an_issuance_writes_few_pages_and_none_of_an_index_that_it_has_no_value_for(tmp_path: Path) -> None:
    async with world(tmp_path) as served:
        await served.issue(served.request())
        log = Path(f"{served.database}-wal")
        before = len(list(written(log)))

        await served.issue(served.request())

        pages = list(written(log))[before:]
        known = names(Path(str(served.database)))
        found = {known[page] for page in pages if page in known}
    assert {"ix_grants_task_id", "ix_grants_state_expire_time"} <= found
    assert found.isdisjoint(
        {
            "ix_tasks_lease_until",
            "ix_tasks_parent_task_id",
            "ix_grants_revocation_id",
            "ix_grants_approval_id",
            "ix_grants_parent_grant_id_expire_time",
            "ix_grants_renewing_time",
        }
    )
    assert 20 < len(pages) <= MOST_PAGES
