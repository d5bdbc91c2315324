"""G12 and G13: where the gateway may be sent, and who may look into its memory."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
from tests.configuration_folder import TEXT, ConfigurationFolder
from tests.e2e.watched import plain_environment
from tests.hostile_issuer import HostileIssuer, hostile_issuer
from tests.token_forge import HandClock, settings

from remit_sandbox.certificates import Authority
from remit_server.adapters.identity.https_fetch import HttpsFetch
from remit_server.adapters.identity.jwks import IssuerKeys
from remit_server.domain.errors import Outage, Reason

METADATA = ("169.254.169.254", "fd00:ec2::254")
INNER = (*METADATA, "127.0.0.1", "::1", "10.0.0.7", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "0.0.0.0")  # noqa: S104


@pytest.fixture
async def issuer(tmp_path: Path) -> AsyncIterator[HostileIssuer]:
    async with hostile_issuer(Authority.create(tmp_path / "authority"), names=("127.0.0.1", "localhost")) as running:
        yield running


async def outage_of(keys: IssuerKeys) -> Outage:
    """Asks for a key as a token would, and returns the failure."""
    with pytest.raises(Outage) as raised:
        await keys.key("rsa")
    await keys.close()
    return raised.value


def issuer_of(issuer: HostileIssuer, path: str) -> IssuerKeys:
    """Returns the keys of an issuer whose key set is said to be at this path."""
    configured = settings(
        issuer="https://127.0.0.1", key_set_url=f"{issuer.url}{path}", allowed_hosts=frozenset({"127.0.0.1"})
    )
    return IssuerKeys(configured, HandClock(), HttpsFetch(hosts={"127.0.0.1"}, ca_file=issuer.ca_file))


@pytest.mark.parametrize("target", ["metadata", "self", "file"])
async def test_g12_an_issuer_that_redirects_is_an_outage_and_its_target_is_not_asked(
    issuer: HostileIssuer, target: str
) -> None:
    outage = await outage_of(issuer_of(issuer, f"/redirect/{target}"))

    assert outage.reason is Reason.ISSUER_UNAVAILABLE
    assert issuer.asked == [f"/redirect/{target}"]
    assert "169.254" not in outage.message


@pytest.mark.parametrize("address", INNER)
async def test_g12_an_issuers_name_that_leads_inside_is_an_outage(address: str) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        del host, port
        return ["93.184.215.14", address]

    fetch = HttpsFetch(hosts={"idp.example.com"}, resolve=resolve)

    outage = await outage_of(IssuerKeys(settings(), HandClock(), fetch))

    assert outage.reason is Reason.ISSUER_UNAVAILABLE
    assert address not in outage.message


async def test_g12_the_address_that_was_checked_is_the_one_that_is_connected_to(issuer: HostileIssuer) -> None:
    """A name that rebinds between check and connection is not asked a second time."""
    answers = [["127.0.0.1"], ["169.254.169.254"]]

    async def rebinding(host: str, port: int) -> Sequence[str]:
        del host, port
        return answers.pop(0)

    fetch = HttpsFetch(hosts={"localhost"}, ca_file=issuer.ca_file, resolve=rebinding)

    assert await fetch(f"https://localhost:{issuer.port}/keys")
    assert issuer.asked == ["/keys"]
    assert answers == [["169.254.169.254"]]


# G13


@pytest.fixture
def served_process(tmp_path: Path) -> Iterator[int]:
    """A gateway as an operator starts it, serving; its process id."""
    text = TEXT.replace("127.0.0.1:8443", "127.0.0.1:0").replace("127.0.0.1:8444", "127.0.0.1:0")
    config = ConfigurationFolder.create(tmp_path).write(text)
    with subprocess.Popen(  # noqa: S603 - the program under test
        [sys.executable, "-m", "remit_server", "serve", "--config", str(config)],
        stderr=subprocess.PIPE,
        text=True,
        env=plain_environment(),
    ) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if "serving on" in line:
                break
        assert process.poll() is None, said
        yield process.pid
        process.terminate()


def family_of(process_id: int) -> list[int]:
    """Returns the process and its children."""
    children = Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()
    return [process_id, *map(int, children)]


def test_g13_no_process_of_the_gateway_leaves_a_core(served_process: int) -> None:
    family = family_of(served_process)

    limits = {Path(f"/proc/{one}/limits").read_text().split("Max core file size")[1].split()[1] for one in family}

    assert limits == {"0"}


IN_PRIVATE = """
import ctypes, resource
from remit_server.adapters.own_memory import keep_memory_private
PR_GET_DUMPABLE = 3
dumpable = ctypes.CDLL(None).prctl
before = dumpable(PR_GET_DUMPABLE, 0, 0, 0, 0)
keep_memory_private()
print(before, dumpable(PR_GET_DUMPABLE, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE))
"""


def test_g13_a_dump_that_is_piped_to_a_program_is_not_made_either() -> None:
    """The kernel does not hold those to the limit (core(5)); what is not dumpable has none at all."""
    done = subprocess.run(  # noqa: S603 - the script above
        [sys.executable, "-c", IN_PRIVATE], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.split(maxsplit=2) == ["1", "0", "(0, 0)\n"]
