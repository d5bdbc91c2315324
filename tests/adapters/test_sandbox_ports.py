"""The sandbox's gateway at ports that were free when they were chosen, and its first second."""

import subprocess
import sys
from pathlib import Path

import pytest

from remit_sandbox.certificates import Authority, KeyPair
from remit_sandbox.errors import AddressTaken, SandboxError
from remit_sandbox.gateway_process import GatewayProcess


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path)


@pytest.fixture
def agent(authority: Authority) -> KeyPair:
    return authority.issue_client("spiffe://remit.sandbox/agent/copilot")


@pytest.mark.parametrize(
    ("said", "raised"),
    [
        ("the gateway did not start: Failed to bind to address 127.0.0.1:1; set GRPC_VERBOSITY=debug", AddressTaken),
        ("the gateway did not start: the bundle is wrong", SandboxError),
    ],
)
async def test_a_port_that_was_taken_is_told_from_other_reasons_to_end(
    authority: Authority, agent: KeyPair, tmp_path: Path, said: str, raised: type[SandboxError]
) -> None:
    """`config check` ends at once, as a gateway does that cannot start; the log says what that one would."""
    gateway = await GatewayProcess.start(tmp_path / "missing.toml", tmp_path / "gateway.log")
    async with gateway:
        (tmp_path / "gateway.log").write_text(said)

        with pytest.raises(SandboxError) as caught:
            await gateway.serving("127.0.0.1:1", authority.bundle_path.read_bytes(), agent)

    assert type(caught.value) is raised


def test_an_interrupt_while_it_is_loading_ends_the_sandbox_without_a_traceback() -> None:
    """An interpreter that is interrupted by the very first thing that the commands load."""
    code = (
        "import os, signal, sys\n"
        "class Interrupts:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'remit_sandbox.commands':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupts())\n"
        "sys.argv = ['remit-sandbox', 'demo']\n"
        "from remit_sandbox.__main__ import main\n"
        "main()\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)  # noqa: S603 - the program under test

    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
