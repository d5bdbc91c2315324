"""What holds for the repository as a whole, and for the wheel that is built from it."""

import hashlib
import re
import shutil
import socket
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from pytest_socket import SocketConnectBlockedError
from tests.longest_first import FIRST

ROOT = Path(__file__).resolve().parents[2]
APACHE_2_0 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
# NOTE: written in pieces, so that this file does not itself hold what it looks for.
HOSTS = ["files.python" + "hosted", "py" + "pi.org", "registry.npm" + "js", "crates" + ".io", "proxy.go" + "lang"]
HOSTS += ["repo1.ma" + "ven", "repo.ma" + "ven", "deb.deb" + "ian"]
SIGNPOST = re.compile("|".join(map(re.escape, HOSTS)) + r"|(?<![\w./-])/(?:root|work|Users|home/\w+)/")
BASE = {"grpcio", "protobuf", "googleapis-common-protos"}


def committed_files() -> list[Path]:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("this is not a git checkout")
    listed = subprocess.run(  # noqa: S603 - a fixed command
        [git, "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_no_committed_file_names_a_package_registry_or_a_place_on_somebodys_machine() -> None:
    here = Path(__file__).resolve()

    found = [
        f"{path.relative_to(ROOT)}:{number}: {match.group()}"
        for path in committed_files()
        if path != here
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1)
        if (match := SIGNPOST.search(line))
    ]

    assert found == []


@pytest.mark.parametrize(
    "line",
    [f"https://{HOSTS[0]}.org/x.whl", "see /" + "root/notes", "open('/" + "work/x')", "in /" + "home/alice/remit"],
)
def test_such_a_line_would_be_found(line: str) -> None:
    assert SIGNPOST.search(line)


def test_no_test_reaches_beyond_this_machine() -> None:
    with socket.socket() as outward, pytest.warns(match="tried to use"), pytest.raises(SocketConnectBlockedError):
        outward.connect(("192.0.2.1", 443))  # a documentation address (RFC 5737): nobody is there


def test_the_license_is_the_plain_apache_2_0_text() -> None:
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2_0


def test_every_rule_that_ruff_ignores_has_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = text[text.index("\n[tool.ruff.lint]") : text.index("\n[tool.ruff.lint.pydocstyle]")]
    lines = [line for line in section.splitlines() if re.search(r'"[A-Z]+[0-9]+"', line)]

    assert lines
    assert [line for line in lines if not re.search(r"# +\S+ \S+", line)] == []


def test_the_locks_pin_every_requirement_by_hash() -> None:
    for lock in sorted([*ROOT.glob("constraints*.txt"), *ROOT.glob("tests/environments/*/requirements.txt")]):
        requirements = lock.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
        pins = [line for line in requirements if line and not line.lstrip().startswith("#")]

        assert pins
        assert [pin.split()[0] for pin in pins if "==" not in pin.split()[0] or "--hash=sha256:" not in pin] == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """Builds the wheel with the build backend of this environment, from a copy, so that the checkout stays as it is."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for path in committed_files():
        copy = source / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    subprocess.run(  # noqa: S603 - a fixed command
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (built,) = target.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        yield archive


def metadata(wheel: zipfile.ZipFile, header: str) -> list[str]:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return message_from_bytes(wheel.read(name)).get_all(header, [])


def test_the_wheel_holds_the_three_packages_and_nothing_beside_them(wheel: zipfile.ZipFile) -> None:
    (version,) = metadata(wheel, "Version")

    top = {name.partition("/")[0] for name in wheel.namelist()}

    assert top == {"remit", "remit_server", "remit_sandbox", f"remit-{version}.dist-info"}


@pytest.mark.parametrize(
    "file",
    [
        "remit/py.typed",
        "remit/v1/types_pb2.pyi",
        "remit/v1/credential_service_pb2_grpc.py",
        "remit/cli/__main__.py",
        "remit/frameworks/langchain.py",
        "remit/intents/texts.py",
        "remit/local/login/device.py",
        "remit/mcp/__main__.py",
        "remit/workload/spiffe.py",
        "remit_server/py.typed",
        "remit_server/__main__.py",
        "remit_sandbox/__main__.py",
        "remit_sandbox/policies/.manifest",
        "remit_sandbox/policies/remit/issue/issue.rego",
    ],
)
def test_the_wheel_holds(file: str, wheel: zipfile.ZipFile) -> None:
    assert file in wheel.namelist()


def test_the_base_installation_needs_three_distributions(wheel: zipfile.ZipFile) -> None:
    needed = [line for line in metadata(wheel, "Requires-Dist") if "extra ==" not in line]

    assert {re.split(r"[<>=!~\[; ]", line)[0] for line in needed} == BASE


def test_every_dependency_has_its_row_among_the_decisions() -> None:
    table = (ROOT / "docs" / "decisions" / "dependencies.md").read_text(encoding="utf-8").lower()
    declared = project()
    server = declared["project"]["optional-dependencies"]["server"]

    names = {re.split(r"[<>=!~\[; ]", line)[0] for line in [*declared["project"]["dependencies"], *server]}

    assert sorted(name for name in names if name not in table) == []


def test_whatever_is_to_run_first_is_there() -> None:
    assert [name for name in FIRST if not (ROOT / name).exists()] == []
