"""Tools that know nothing of Remit, as their makers ship them: where each is found, and how it reads an object."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.watched import plain_environment

ROOT = Path(__file__).resolve().parents[3]
PROGRAMS = Path(__file__).resolve().parent / "programs"
NODE_PACKAGE = ROOT / "clients" / "typescript"
SECONDS = 30


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool: `find` returns how it is started, or raises Missing; `reads` the arguments that print an object.

    They are given where AWS is, for tools that hear nothing of AWS_ENDPOINT_URL, the bucket and the key. `denied` is
    what it says when AWS denies. `tells` says whether it shows what a container endpoint or a credential process says.
    """

    name: str
    find: Callable[[], Sequence[str]]
    reads: Callable[[str, str, str], Sequence[str]]
    denied: str = "AccessDenied"
    tells: bool = True

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
        if os.environ.get("REMIT_REQUIRE_REAL") == "1":
            pytest.fail(f"no {tool.name}: {missing}")
        pytest.skip(f"no {tool.name}: {missing}")


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


def _get_object(_: str, bucket: str, key: str) -> Sequence[str]:
    return ["s3api", "get-object", "--bucket", bucket, "--key", key, "/dev/stdout"]


def _get_object_there(aws: str, bucket: str, key: str) -> Sequence[str]:
    """Returns the same for versions before 2.13, which hear nothing of AWS_ENDPOINT_URL."""
    return ["--endpoint-url", aws, *_get_object(aws, bucket, key)]


def _bucket_and_key(_: str, bucket: str, key: str) -> Sequence[str]:
    return [bucket, key]


LIGHT = (
    Tool("aws CLI v1", _aws_cli_1, _get_object),
    Tool("aws CLI v2", _aws_cli_2, _get_object_there),
    Tool("boto3", lambda: [sys.executable, str(PROGRAMS / "read.py")], _bucket_and_key),
    Tool("JavaScript SDK v3", _node, _bucket_and_key, tells=False),
)
