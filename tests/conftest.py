"""Proves every STS request of the run again when it ends (invariant I3, 8-threats.md), and fails the run otherwise."""

from dataclasses import asdict

import pytest
from tests.databases import another_place, empty_place, kept_database, place, postgresql  # noqa: F401 - fixtures
from tests.figures import counted, lines  # noqa: F401 - a fixture
from tests.longest_first import place as place_in_the_run
from tests.reproving import Outcome, reprove_all
from tests.sts_log import LOG

from remit_server.adapters.logs import prepare_grpc

OUTCOME = pytest.StashKey[Outcome]()
_NAME = "remit_reproved"


def pytest_configure() -> None:
    """Keeps gRPC's threads out of what the tests start, as a gateway does: some of them run one in this process."""
    prepare_grpc()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the files that take longest first; the tests of a file stay as they stand there."""
    items.sort(key=lambda item: place_in_the_run(item.nodeid))


@pytest.fixture(scope="session", autouse=True)
def _sts_log(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Gives this process's log its file."""
    LOG.path = tmp_path_factory.mktemp("sts-log") / "requests.jsonl"


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object, error: object) -> None:
    """Takes over what an xdist worker has proved."""
    del error
    found = getattr(node, "workeroutput", {}).get(_NAME)
    if found is not None:
        stash = node.config.stash  # type: ignore[attr-defined]
        stash[OUTCOME] = stash.get(OUTCOME, Outcome()).joined(Outcome(**{**found, "faults": tuple(found["faults"])}))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Proves what this process has seen, and fails the session for what cannot be proved."""
    found = reprove_all(LOG.requests()).joined(session.config.stash.get(OUTCOME, Outcome()))
    session.config.stash[OUTCOME] = found
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[_NAME] = {**asdict(found), "faults": list(found.faults)}
    if found.faults:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says what was counted, how many requests were proved again, and which were not."""
    for line in lines(terminalreporter.stats):
        terminalreporter.line(line)
    found = terminalreporter.config.stash.get(OUTCOME, Outcome())
    if found.faults:
        terminalreporter.section("STS requests that no gateway may send (I3)", red=True, bold=True)
        for fault in found.faults:
            terminalreporter.line(f"NOT PROVED {fault}", red=True)
    if found != Outcome():
        terminalreporter.line(
            f"I3: {found.proved} STS requests of {found.tests} tests proved again, {found.on_purpose} bad on purpose"
        )
