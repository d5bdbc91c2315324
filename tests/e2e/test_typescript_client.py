"""The TypeScript client proves the table of behaviours: its own tests, in Node.js, on the running sandbox."""

import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.e2e.canaries.abroad.showing import Shown, shown_by, typescript
from tests.e2e.canaries.table.kinds import KINDS
from tests.e2e.client_world import client_world, rows
from tests.e2e.told_by_python import intent_cases, platform_cases, printed_errors
from tests.e2e.watched import plain_environment
from tests.workload.github_endpoint import REQUEST_TOKEN, github_endpoint

from remit_sandbox.sandbox import Sandbox

pytestmark = pytest.mark.timeout(400)  # a lease has 30 seconds at least, and Node.js compiles its tests first
PACKAGE = Path(__file__).parents[2] / "clients" / "typescript"
RESULTS = PACKAGE / "build" / "results.xml"
ROWS = rows()
TYPED = ("--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--types", "node", "--skipLibCheck")


@pytest.fixture(scope="module")
def _node() -> None:
    """Skips without Node.js or the package's dependencies, or fails under REMIT_REQUIRE_REAL=1."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    missing += [] if (PACKAGE / "node_modules").is_dir() else ["clients/typescript/node_modules"]
    if missing:
        told = f"no {' and no '.join(missing)}: make clients-typescript, which needs Node.js 20 and npm"
        if os.environ.get("REMIT_REQUIRE_REAL") == "1":
            raise AssertionError(told)
        pytest.skip(told)


@pytest.fixture(scope="module")
def proven(_node: None, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Runs `npm test`: the failures of each test by its name, none for one that passed."""
    folder = tmp_path_factory.mktemp("typescript")
    RESULTS.unlink(missing_ok=True)
    with github_endpoint() as github:
        told = {
            "errors": printed_errors(),
            "intents": intent_cases(),
            "platforms": platform_cases(folder, github.url),
            "github": {"url": github.url, "token": REQUEST_TOKEN},
        }
        done = npm_test(sandbox, folder, told)
    assert RESULTS.exists(), done.stdout + done.stderr
    tests: dict[str, list[str]] = {}
    for case in ET.parse(RESULTS).iter("testcase"):  # noqa: S314 - our own file
        kept = tests.setdefault(case.attrib["name"], [])
        kept += ["".join(failure.itertext()) for failure in case.iter("failure")]
    return tests


def npm_test(sandbox: Sandbox, folder: Path, told: Mapping[str, object]) -> subprocess.CompletedProcess[str]:
    """Runs the package's own tests."""
    with client_world(sandbox, folder, told) as world:
        return subprocess.run(
            ["npm", "test", "--silent"],  # noqa: S607 - wherever npm is
            cwd=PACKAGE,
            env=plain_environment({"REMIT_CLIENT_WORLD": str(world)}),
            capture_output=True,
            text=True,
            timeout=360,
            check=False,
        )


@pytest.fixture(scope="module")
def shown(proven: dict[str, list[str]], sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """A program shows all that it has by the package that `npm test` compiled, and crashes."""
    assert proven
    folder = tmp_path_factory.mktemp("shown")
    return shown_by(typescript(folder), sandbox, folder)


def test_whatever_is_shown_logged_or_crashes_shows_no_secret(shown: Shown) -> None:
    assert all(shown.texts.values())
    assert shown.canaries.found_in(shown.texts) == []


def test_a_secret_that_is_shown_would_be_found(shown: Shown) -> None:
    assert shown.not_found() == set()
    assert shown.canaries.kinds == {kind.name for kind in KINDS if kind.abroad}


@pytest.mark.parametrize("row", sorted(ROWS))
def test_the_client_proves(row: str, proven: dict[str, list[str]]) -> None:
    name = f"{row}: {ROWS[row]}"

    assert proven.get(name) == []


def test_whatever_else_the_client_claims_holds_too(proven: dict[str, list[str]]) -> None:
    failed = {name: failures for name, failures in proven.items() if failures}

    assert len(proven) > len(ROWS)
    assert failed == {}


def test_the_quickstart_of_its_readme_has_types_and_prints_the_object(
    proven: dict[str, list[str]], sandbox: Sandbox, alice_token: str, tmp_path: Path
) -> None:
    assert proven  # it compiled the package
    program = quickstart(sandbox, tmp_path)
    (tmp_path / "quickstart.ts").write_text(f"declare const token: string;\n{program}")
    (tmp_path / "quickstart.mjs").write_text(f"const token = process.env.TOKEN;\n{program}")
    environment = {
        "TOKEN": alice_token,
        # In place of a public authority and of AWS itself, which the README takes for granted.
        "NODE_EXTRA_CA_CERTS": str(sandbox.authority.bundle_path),
        "AWS_ENDPOINT_URL": sandbox.aws.endpoint_url,
        # The AWS SDK says of Node.js 20 that it is about to leave it behind.
        "NODE_NO_WARNINGS": "1",
    }

    typed = run(tmp_path, {}, str(PACKAGE / "node_modules" / ".bin" / "tsc"), *TYPED, "quickstart.ts")
    done = run(tmp_path, environment, "node", "quickstart.mjs")

    assert (typed.returncode, typed.stdout) == (0, "")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Revenue 857" in done.stdout


def quickstart(sandbox: Sandbox, folder: Path) -> str:
    """Returns the README's first program, in a folder with what it takes for granted; only the address is another."""
    first: str = re.findall(r"```ts\n(.*?)```", (PACKAGE / "README.md").read_text(), re.DOTALL)[0]
    assert "gateway.example.com:8443" in first
    pair = sandbox.agents["copilot"]
    shutil.copy(pair.certificate_path, folder / "agent.pem")
    shutil.copy(pair.key_path, folder / "agent.key")
    (folder / "package.json").write_text('{"type": "module"}')
    modules = folder / "node_modules"
    (modules / "@remit").mkdir(parents=True)
    (modules / "@remit" / "client").symlink_to(PACKAGE)
    for name in ("@aws-sdk", "@types"):
        (modules / name).symlink_to(PACKAGE / "node_modules" / name)
    imports = (
        'import { Capability, Gateway } from "@remit/client";\n'
        'import { GetObjectCommand, S3Client } from "@aws-sdk/client-s3";\n'
    )
    return imports + first.replace("gateway.example.com:8443", sandbox.mtls)


def run(folder: Path, environment: Mapping[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in a folder."""
    return subprocess.run(  # noqa: S603 - the test's own command
        command,
        cwd=folder,
        env=plain_environment(environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_lock_file_names_no_place_to_download_from() -> None:
    lock = json.loads((PACKAGE / "package-lock.json").read_text())

    packages = {name: package for name, package in lock["packages"].items() if name}

    assert packages
    assert all("resolved" not in package and "integrity" in package for package in packages.values())
