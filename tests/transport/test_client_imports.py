"""The client stands alone: it needs neither the server nor boto3, and is loaded no further than it is used."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.scripted_gateway import AGENT, ScriptedGateway, scripted_gateway

import remit

BLOCK = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Block())
"""
SERVER_SIDE = (
    "remit_server", "remit_sandbox", "boto3", "botocore", "protovalidate", "jwt", "cryptography", "aiohttp",
    "sqlalchemy", "aiosqlite", "alembic", "regorus", "re2", "yaml", "jsonschema", "pydantic",
    "pydantic_settings", "typer",
    "rich", "structlog", "uvloop", "grpc_health", "grpc_reflection", "grpc_status", "buf",
)  # fmt: skip
WORK = """
import remit
with remit.Gateway(TARGET, ca_file=CA, certificate_file=CERTIFICATE, key_file=KEY) as gateway:
    with gateway.task("q3", subject_token="t", allow=remit.Capability("s3.read_prefix", bucket="b")) as task:
        print(task.credentials().access_key_id)
        try:
            task.boto3_session()
        except ImportError as error:
            print(error)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedGateway]:
    with scripted_gateway(tmp_path) as server:
        yield server


def run(program: str) -> list[str]:
    finished = subprocess.run(  # noqa: S603 - our own programs
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.splitlines()


def test_the_client_works_on_its_base_dependencies_and_says_what_boto3_is_needed_for(server: ScriptedGateway) -> None:
    pair = server.authority.issue_client(AGENT)
    known = {
        "BLOCKED": SERVER_SIDE,
        "TARGET": server.mtls,
        "CA": str(server.authority.bundle_path),
        "CERTIFICATE": str(pair.certificate_path),
        "KEY": str(pair.key_path),
    }
    settings = "".join(f"{name} = {json.dumps(value)}\n" for name, value in known.items())

    printed = run(settings + BLOCK + WORK)

    assert printed == [
        "ASIAREMIT00000000001",
        "task.boto3_session() needs boto3: pip install 'remit[boto3]' (task.credentials() works without)",
    ]


def test_importing_the_client_loads_neither_grpc_nor_boto3_nor_asyncio() -> None:
    heavy = run("import sys, remit; print(*{'grpc', 'google.protobuf', 'boto3', 'asyncio'} & sys.modules.keys())")

    assert heavy == [""]


def test_everything_that_is_promised_is_there() -> None:
    assert [name for name in remit.__all__ if not hasattr(remit, name)] == []
    assert sorted(remit.__all__) == remit.__all__


@pytest.mark.parametrize(
    ("command", "missing", "told"),
    [
        ("remit.cli", "typer", "this command needs typer: pip install 'remit[cli]'"),
        ("remit.mcp", "anyio", "remit-mcp needs anyio: pip install 'remit[mcp]'"),
        ("remit.mcp", "mcp", "remit-mcp needs mcp: pip install 'remit[mcp]'"),
        ("remit.mcp", "jwt", "remit-mcp needs jwt: pip install 'remit[mcp]'"),
    ],
)
def test_a_command_whose_extra_is_not_installed_says_what_to_install(command: str, missing: str, told: str) -> None:
    program = (
        f"BLOCKED = {[missing]!r}\n{BLOCK}\nfrom {command}.__main__ import main\nsys.argv = ['x']\nsys.exit(main())"
    )

    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )

    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{told}\n")
