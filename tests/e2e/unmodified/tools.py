"""Tools that know nothing of Remit, as their makers ship them: where each is found, and how it reads an object."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.machines import BIN
from tests.e2e.watched import plain_environment

ROOT = Path(__file__).resolve().parents[3]
PROGRAMS = Path(__file__).resolve().parent / "programs"
NODE_PACKAGE = ROOT / "clients" / "typescript"
SECONDS = 60
_FORBIDDEN = "Forbidden status code: 403"  # it asks for the head first, and that is answered without a sentence
_UNKNOWN = "InvalidClientTokenId"
_PROVIDER = "hashicorp/aws"
_PLUGINS = [
    *map(Path, filter(None, [os.environ.get("REMIT_TERRAFORM_PLUGINS")])),
    Path.home() / ".terraform.d" / "plugins",
    Path("/usr/local/share/terraform/plugins"),
    Path("/usr/share/terraform/plugins"),
]


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool: `find` returns how it is started, or raises Missing; `reads` the arguments that print an object.

    They are given where AWS is, for tools that hear nothing of AWS_ENDPOINT_URL, the bucket and the key. `shows` is
    what it prints of what the task allows, `denied` what it says when AWS denies, `unknown` when AWS does not know the
    keys. `tells_endpoint` and `tells_process` say whether it shows what a container endpoint and a credential process
    say. One that `may_be_missing` is on no package registry: no full run can ask for it.
    """

    name: str
    find: Callable[[], Sequence[str]]
    reads: Callable[[str, str, str], Sequence[str]]
    shows: str = "Revenue 857"
    denied: str = "AccessDenied"
    unknown: str = "InvalidAccessKeyId"
    tells_endpoint: bool = True
    tells_process: bool = True
    may_be_missing: bool = False

    def reading(self, aws: str, bucket: str, key: str) -> list[str]:
        """Returns the command line that prints an object; skips where the tool is missing."""
        return [*found(self), *self.reads(aws, bucket, key)]


class Missing(Exception):  # noqa: N818 - it says what is missing, and that is no fault
    """A tool is not here; the text says how it is had."""


def found(tool: Tool) -> Sequence[str]:
    """Returns how a tool is started; skips where it is missing, or fails under REMIT_REQUIRE_REAL=1."""
    try:
        return tool.find()
    except Missing as missing:
        if os.environ.get("REMIT_REQUIRE_REAL") == "1" and not tool.may_be_missing:
            pytest.fail(f"no {tool.name}: {missing}")
        pytest.skip(f"no {tool.name}: {missing}")


def profiles_file(folder: Path, *names: str) -> Path:
    """Writes AWS profiles for profiles of remit's, as `remit init` does, and returns the file."""
    config = folder / "aws-config"
    command = f"credential_process = {BIN / 'remit'} credential-process --profile"
    config.write_text("".join(f"[profile {name}]\n{command} {name}\n" for name in names))
    return config


def _aws_cli_1() -> Sequence[str]:
    program = ROOT / ".venv-tools-awscli" / "bin" / "aws"
    if not program.exists():
        raise Missing("make .venv-tools-awscli/.ready")
    return [str(program)]


def _aws_cli_2() -> Sequence[str]:
    """Returns the first `aws` that is of version 2: another may come before it in the PATH."""
    folders = [*os.environ.get("PATH", "").split(os.pathsep), "/usr/local/bin", "/usr/bin"]
    for program in dict.fromkeys(shutil.which("aws", path=folder) for folder in folders):
        if program is not None and _version(program).startswith("aws-cli/2."):
            return [program]
    raise Missing("install the package awscli, or AWS's own bundle")


def _version(program: str) -> str:
    done = subprocess.run(  # noqa: S603 - a program named aws
        [program, "--version"], env=plain_environment(), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return done.stdout


def _node() -> Sequence[str]:
    node = shutil.which("node")
    if node is None or not (NODE_PACKAGE / "node_modules" / "@aws-sdk" / "client-s3").is_dir():
        raise Missing("make clients-typescript, which needs Node.js 20 and npm")
    return [node, str(PROGRAMS / "read.cjs"), str(NODE_PACKAGE)]


def _duckdb() -> Sequence[str]:
    python = ROOT / ".venv-tools-duckdb" / "bin" / "python"
    if not python.exists():
        raise Missing("make .venv-tools-duckdb/.ready")
    return [str(python), str(PROGRAMS / "duck.py")]


def _s5cmd() -> Sequence[str]:
    program = shutil.which("s5cmd")
    if program is None:
        raise Missing("make test-extended builds it, with Go")
    return [program]


def _terraform() -> Sequence[str]:
    plugins = next((folder for folder in _PLUGINS if any(folder.glob(f"*/{_PROVIDER}"))), None)
    if plugins is None or shutil.which("terraform") is None:
        raise Missing(f"no terraform, or no folder of plugins with {_PROVIDER}: name it in REMIT_TERRAFORM_PLUGINS")
    return ["sh", str(PROGRAMS / "terraform.sh"), str(plugins)]


def _get_object(_: str, bucket: str, key: str) -> Sequence[str]:
    return ["s3api", "get-object", "--bucket", bucket, "--key", key, "/dev/stdout"]


def _get_object_there(aws: str, bucket: str, key: str) -> Sequence[str]:
    """Returns the same for versions before 2.13, which hear nothing of AWS_ENDPOINT_URL."""
    return ["--endpoint-url", aws, *_get_object(aws, bucket, key)]


def _bucket_and_key(_: str, bucket: str, key: str) -> Sequence[str]:
    return [bucket, key]


def _all_three(aws: str, bucket: str, key: str) -> Sequence[str]:
    return [aws, bucket, key]


def _listed(_: str, bucket: str, key: str) -> Sequence[str]:
    """Returns the same for the folder of the object: the provider would also ask for an object's tags."""
    return [bucket, f"{key.rpartition('/')[0]}/"]


def _cat(aws: str, bucket: str, key: str) -> Sequence[str]:
    return ["--endpoint-url", aws, "--retry-count", "1", "cat", f"s3://{bucket}/{key}"]


LIGHT = (
    Tool("aws CLI v1", _aws_cli_1, _get_object),
    Tool("aws CLI v2", _aws_cli_2, _get_object_there),
    Tool("boto3", lambda: [sys.executable, str(PROGRAMS / "read.py")], _bucket_and_key),
    Tool("JavaScript SDK v3", _node, _bucket_and_key, tells_endpoint=False, tells_process=False),
)
HEAVY = (
    Tool("DuckDB", _duckdb, _all_three, denied="403", tells_endpoint=False, tells_process=False),
    Tool("s5cmd", _s5cmd, _cat, denied=_FORBIDDEN, unknown=_FORBIDDEN, tells_endpoint=False),
    Tool(
        "Terraform",
        _terraform,
        _listed,
        "2026/q3/summary.md",
        unknown=_UNKNOWN,
        tells_process=False,
        may_be_missing=True,
    ),
)
_EXTENDED = pytest.mark.skipif(
    os.environ.get("REMIT_EXTENDED") != "1", reason="part of make test-extended: large, or long to build"
)
TOOLS = tuple(pytest.param(tool, id=tool.name, marks=[_EXTENDED] if tool in HEAVY else []) for tool in (*LIGHT, *HEAVY))
