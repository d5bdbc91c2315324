"""The driver of the crash rounds, one for each process of the tests, and databases to crash on."""

from collections.abc import Iterator

import pytest
from tests.crash.rounds import Driver, Ground, crash_driver
from tests.databases import Place
from tests.real_postgresql import PostgresqlServer


@pytest.fixture(scope="session")
def driver() -> Iterator[Driver]:
    """A driver that has rehearsed on SQLite."""
    with crash_driver() as started:
        yield started


@pytest.fixture(scope="session")
def _rehearsed_on_postgresql(driver: Driver, postgresql: PostgresqlServer) -> None:
    """Has it rehearse on PostgreSQL, where that is."""
    driver.rehearse(postgresql.url(postgresql.create()))


@pytest.fixture
def ground(request: pytest.FixtureRequest, driver: Driver, place: Place) -> Ground:
    """An empty database on which gateways may be killed: SQLite, then PostgreSQL."""
    if isinstance(place, str):
        request.getfixturevalue("_rehearsed_on_postgresql")
    return Ground(driver, place)
