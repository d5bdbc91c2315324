"""`import remit` stays out of the way of an application that has its own copy of buf.validate."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROTOS = ROOT / "protos"

REGISTERED = """
from google.protobuf import descriptor_pool
def rules_file_is_registered():
    try:
        descriptor_pool.Default().FindFileByName("buf/validate/validate.proto")
    except KeyError:
        return False
    return True
"""
REMIT = "from remit.v1.credential_service_pb2 import EndTaskRequest\n"
APPLICATION = "import buf.validate.validate_pb2 as theirs; assert theirs.Rule(note='x').note == 'x'\n"
RULES_HOLD = """
import protovalidate
(violation,) = protovalidate.collect_violations(EndTaskRequest(task_id="?"))
assert violation.proto.rule_id == "string.pattern", violation
"""


@pytest.fixture(scope="session")
def application(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Makes an application's own `buf.validate.validate_pb2`, of another release than ours: it has one more field."""
    sources, generated = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("application")
    text = (PROTOS / "buf" / "validate" / "validate.proto").read_text(encoding="utf-8")
    theirs = sources / "buf" / "validate" / "validate.proto"
    theirs.parent.mkdir(parents=True)
    theirs.write_text(re.sub(r"(?m)^message Rule \{$", "message Rule {\n  optional string note = 9000;", text, count=1))
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{sources}", f"--python_out={generated}", str(theirs)]
    subprocess.run(command, check=True)  # noqa: S603 - a fixed command
    return generated


def run(program: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(path)} if path else dict(os.environ)
    return subprocess.run(  # noqa: S603 - our own programs
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )


def test_importing_the_generated_code_registers_no_rules_file() -> None:
    finished = run(REGISTERED + REMIT + "assert not rules_file_is_registered()\n" + RULES_HOLD)

    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("program", [APPLICATION + REMIT, REMIT + APPLICATION], ids=["theirs first", "ours first"])
def test_an_application_may_have_its_own_rules_file(program: str, application: Path) -> None:
    finished = run(REGISTERED + program + "assert rules_file_is_registered()\n" + RULES_HOLD, application)

    assert finished.returncode == 0, finished.stderr


def test_the_generated_code_imports_nothing_of_buf() -> None:
    generated = [*(ROOT / "clients" / "python" / "remit" / "v1").glob("*_pb2*")]

    assert generated
    assert not [path.name for path in generated if re.search(r"(?m)^\s*(from|import) buf\b", path.read_text())]


@pytest.mark.parametrize(
    ("distribution", "pattern", "file"),
    [
        ("protobuf", r"# Protobuf Python Version: (\S+)", "types_pb2.py"),
        ("grpcio", r"GRPC_GENERATED_VERSION = '(\S+)'", "credential_service_pb2_grpc.py"),
    ],
)
def test_the_distribution_requires_what_its_generated_code_needs(distribution: str, pattern: str, file: str) -> None:
    text = (ROOT / "clients" / "python" / "remit" / "v1" / file).read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    (needed,) = re.findall(pattern, text)

    assert [base for base in project["dependencies"] if base.startswith(f"{distribution}>={needed},")]
