"""One running sandbox for each test process: authority, issuer, local AWS and the real gateway, over TLS."""

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.e2e.sts_relay import sts_relay

from remit_sandbox.background import BackgroundSandbox, sandbox_in_background
from remit_sandbox.errors import SandboxError
from remit_sandbox.local_aws import find_interpreter
from remit_sandbox.sandbox import Sandbox


@pytest.fixture(scope="session", autouse=True)
def _ministack() -> None:
    """Skips where ministack is missing, or fails under REMIT_REQUIRE_REAL=1."""
    try:
        find_interpreter()
    except SandboxError as error:
        if os.environ.get("REMIT_REQUIRE_REAL") == "1":
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def running(_ministack: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackgroundSandbox]:
    """A running sandbox; its event loop has a thread of its own. Its gateway's calls to STS are logged (I3)."""
    folder = tmp_path_factory.mktemp("sandbox")
    folder.chmod(0o700)
    with ExitStack() as relays:

        def logged(endpoint_url: str) -> str:
            return relays.enter_context(sts_relay(endpoint_url)).url

        with sandbox_in_background(folder, before_sts=logged) as background:
            yield background


@pytest.fixture(scope="session")
def sandbox(running: BackgroundSandbox) -> Sandbox:
    """The parts of the running sandbox."""
    return running.sandbox


@pytest.fixture(scope="module")
def alice_token(sandbox: Sandbox) -> str:
    """What the identity provider gives alice when she signs in to the copilot, anew: another file may revoke her."""
    return sandbox.issuer.token("alice", client_id="copilot")
