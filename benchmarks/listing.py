"""Measures what a page of grants costs an operator, in ledgers of 10,000 and 1,000,000 grants, on both databases.

`python -m benchmarks.listing` takes about ten minutes; `--quick` has 100,000 grants at most.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.rig import ledgers
from tests.real_postgresql import postgresql_server

from remit_server.adapters.database.engine import Database, open_database, open_for_reading
from remit_server.adapters.database.migrations import upgrade
from remit_server.adapters.database.reading.grant_shelf import read_page
from remit_server.application.oversight.ports import Place
from remit_server.domain.administration import EVERYTHING, Scope, Visibility
from remit_server.domain.grant_filter.reading import filter_of

TIMES = 15
LIVE = 1_000
KEY = f"ASIA{'5'.rjust(16, '0')}"
PAGES: dict[str, tuple[str, Visibility]] = {
    "the newest": ("", EVERYTHING),
    "of a user": ('subject.id = "user-77"', EVERYTHING),
    "of a user, live": ('subject.id = "alice" AND state = ISSUED', EVERYTHING),
    "of a key": (f"access_key_id = {KEY}", EVERYTHING),
    "of a task": (f'task_id = "{"5".rjust(26, "0")}"', EVERYTHING),
    "live": ("state = ISSUED", EVERYTHING),
    "over (most)": ("state = EXPIRED", EVERYTHING),
    "being revoked (none)": ("state = REVOKING", EVERYTHING),
    "of a policy revision (all)": (f"policy_revision = {ledgers.REVISION}", EVERYTHING),
    "of an agent (all)": (f'actor = "{ledgers.ACTOR}"', EVERYTHING),
    "by a time": ("issue_time < 2026-10-05T00:00:00Z", EVERYTHING),
    "own": ("", Visibility(own=(ledgers.ISSUER, "user-77"))),
    "of a scope (all)": ("", Visibility(scopes=(Scope(accounts=frozenset({ledgers.ACCOUNT})),))),
    "of a scope (none)": ("", Visibility(scopes=(Scope(accounts=frozenset({"999999999999"})),))),
    "by an entitlement (few)": ("entitlements:reports-reader", EVERYTHING),
    "by an entitlement (none)": ("entitlements:nobody", EVERYTHING),
}


@contextmanager
def filled(url: str, count: int) -> Iterator[Database]:
    """Gives a ledger of this size to read."""
    upgrade(url)
    ledgers.PARTS = (
        2_000 if url.startswith("postgresql") else 100_000
    )  # PostgreSQL ends a statement of a gateway after four seconds
    database = open_database(url)
    ledgers.fill_with_what_is_over(database, count - LIVE)
    ledgers.fill_with_what_lives(database, LIVE)
    database.close_now()
    reading = open_for_reading(url)
    try:
        yield reading
    finally:
        reading.close_now()


def milliseconds(database: Database, text: str, visibility: Visibility, after: Place | None = None) -> float:
    """Returns the median time of a page of 50."""
    work = partial(read_page, wanted=filter_of(text), visibility=visibility, at_most=51, after=after)
    taken = []
    for _ in range(TIMES):
        start = time.perf_counter()
        database.read_now(work)
        taken.append((time.perf_counter() - start) * 1000)
        if taken[-1] > 2000:  # noqa: PLR2004 - it will not get better
            break
    return statistics.median(taken)


def middle(database: Database) -> Place:
    """Returns a place in the middle of the whole list."""
    wanted = filter_of("issue_time < 2026-10-14T12:00:30Z")
    (grant,) = database.read_now(partial(read_page, wanted=wanted, visibility=EVERYTHING, at_most=1))
    return Place(grant.issue_time, grant.grant_id)


def measure(url: str, count: int) -> dict[str, float]:
    """Returns what each page costs."""
    with filled(url, count) as database:
        found = {name: milliseconds(database, *page) for name, page in PAGES.items()}
        found["the page in the middle"] = milliseconds(database, "", EVERYTHING, middle(database))
        return found


def main() -> None:
    """Prints a table for each database."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    sizes = (10_000, 100_000 if parser.parse_args().quick else 1_000_000)
    with tempfile.TemporaryDirectory() as folder:
        table({f"SQLite, {size:,}": measure(f"sqlite:///{Path(folder) / f'{size}.db'}", size) for size in sizes})
    with postgresql_server() as server:
        table({f"PostgreSQL, {size:,}": measure(server.url(server.create()), size) for size in sizes})


def table(columns: dict[str, dict[str, float]]) -> None:
    """Prints a table."""
    print(f"| 50 grants | {' | '.join(columns)} |\n|---{'|---' * len(columns)}|")
    for name in next(iter(columns.values())):
        print(f"| {name} | {' | '.join(f'{column[name]:.1f} ms' for column in columns.values())} |", flush=True)


if __name__ == "__main__":
    main()
