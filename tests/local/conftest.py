"""Issuers for people who sign in: the sandbox's own, and one that answers by script."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.background_loop import Background
from tests.scripted_issuer import ScriptedIssuer, scripted_issuer

from remit_sandbox.certificates import Authority
from remit_sandbox.issuer import LocalIssuer


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("authority") / "state")


@pytest.fixture
def scripted(authority: Authority) -> Iterator[ScriptedIssuer]:
    with scripted_issuer(authority) as issuer:
        yield issuer


@pytest.fixture(scope="session")
def honest(authority: Authority) -> Iterator[LocalIssuer]:
    """The sandbox's issuer."""
    background = Background()
    issuer = LocalIssuer(authority.issue_server(["127.0.0.1"]))
    background.run(issuer.__aenter__())
    yield issuer
    background.run(issuer.__aexit__())
    background.stop()


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's sign-ins are kept, beside those of whoever runs it."""
    folder = tmp_path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder / "remit" / "login"
