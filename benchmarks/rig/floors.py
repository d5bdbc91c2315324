"""Two more floors under an issuance: one question to the policy, and one durable commit of what it writes.

`python -m benchmarks.rig.floors policy BUNDLE WINDOWS` asks the default policy through the embedded engine, worker
process and all; `commits FOLDER WINDOWS` puts rows into a bare SQLite file as durably as the ledger does (WAL,
`synchronous=FULL`), through the driver alone: no schema, no chain of records, no thread. Each prints its run as JSON.
"""

import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from itertools import cycle
from pathlib import Path
from typing import Any

import uvloop
from benchmarks.rig.accounting import Run, Window, cpu_seconds
from tests.policy_bundles import asked

from remit_server.adapters.policy.bundles.bundle import read_bundle
from remit_server.adapters.rego.embedded import EmbeddedRego
from remit_server.domain.decision import Allow

CALLERS = 16
USERS = 256
ROWS = 6  # in a commit; a grant with its records and what the decision rested on
ROW_BYTES = 700
WARM_COMMITS = 50


async def policy(bundle: str, windows: int) -> Run:
    """Asks the policy, some questions at a time, each by another user."""
    engine = await EmbeddedRego.start(read_bundle(Path(bundle)))
    changes: list[dict[str, Any]] = [{"subject": {"id": f"user-{number}"}} for number in range(USERS)]
    questions = cycle([asked(change) for change in changes])
    answers = 0

    async def caller() -> None:
        nonlocal answers
        while True:
            if not isinstance(await engine.decide(engine.active, next(questions)), Allow):
                raise TypeError("the default policy refuses the question")
            answers += 1

    tasks = [asyncio.create_task(caller()) for _ in range(CALLERS)]
    await asyncio.sleep(1)
    seen = []
    for _ in range(windows):
        before, cpu, start = answers, cpu_seconds(os.getpid()), time.monotonic()
        await asyncio.sleep(1)
        seen.append(Window(answers - before, 0, cpu_seconds(os.getpid()) - cpu, time.monotonic() - start))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await engine.close()
    return Run(tuple(seen), (), ())


def commits(folder: str, windows: int) -> Run:
    """Writes rows, commit after commit."""
    with closing(sqlite3.connect(Path(folder) / "floor.sqlite3", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, body BLOB)")

        def commit() -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO rows (body) VALUES (?)", [(os.urandom(ROW_BYTES),)] * ROWS)
            connection.execute("COMMIT")

        for _ in range(WARM_COMMITS):
            commit()
        return Run(tuple(_window(commit) for _ in range(windows)), (), ())


def _window(work: Callable[[], None]) -> Window:
    """Does the work again and again for one second."""
    done, cpu, start = 0, cpu_seconds(os.getpid()), time.monotonic()
    while (wall := time.monotonic() - start) < 1:
        work()
        done += 1
    return Window(done, 0, cpu_seconds(os.getpid()) - cpu, wall)


def main() -> None:
    """Prints the run as JSON."""
    which, place, windows = sys.argv[1:]
    run = uvloop.run(policy(place, int(windows))) if which == "policy" else commits(place, int(windows))
    print(run.to_json())


if __name__ == "__main__":
    main()
