"""The TypeScript client proves the table of behaviours: its own tests, in Node.js, on the running sandbox."""

import json
import os
import shutil
import subprocess
import xml.etree.ElementTree as ET
from datetime import timedelta
from pathlib import Path

import pytest
from tests.e2e.client_world import client_world, rows
from tests.e2e.watched import plain_environment

import remit
from remit_sandbox.sandbox import Sandbox

pytestmark = pytest.mark.timeout(240)  # a lease has 30 seconds at least, and Node.js compiles its tests first
PACKAGE = Path(__file__).parents[2] / "clients" / "typescript"
RESULTS = PACKAGE / "build" / "results.xml"
ROWS = rows()
LATER = {"attenuate", "delegate"}  # the gateway answers UNIMPLEMENTED so far


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
    with client_world(sandbox, folder, {"errors": printed_errors()}) as world:
        done = subprocess.run(
            ["npm", "test", "--silent"],  # noqa: S607 - wherever npm is
            cwd=PACKAGE,
            env=plain_environment({"REMIT_CLIENT_WORLD": str(world)}),
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
    assert RESULTS.exists(), done.stdout + done.stderr
    tests: dict[str, list[str]] = {}
    for case in ET.parse(RESULTS).iter("testcase"):  # noqa: S314 - our own file
        kept = tests.setdefault(case.attrib["name"], [])
        kept += ["".join(failure.itertext()) for failure in case.iter("failure")]
    return tests


@pytest.mark.parametrize("row", sorted(ROWS.keys() - LATER))
def test_the_client_proves(row: str, proven: dict[str, list[str]]) -> None:
    name = f"{row}: {ROWS[row]}"

    assert proven.get(name) == []


def test_whatever_else_the_client_claims_holds_too(proven: dict[str, list[str]]) -> None:
    failed = {name: failures for name, failures in proven.items() if failures}

    assert len(proven) > len(ROWS)
    assert failed == {}


def printed_errors() -> list[dict[str, object]]:
    """Returns errors of the Python client as it prints them: the other client's texts are held to them."""
    stopped = remit.FailedPermission("s3:GetObject", "arn:aws:s3:::x/y", "entitlements", "no entitlement covers it")
    told = {"action": "s3:GetObject", "resource": "arn:aws:s3:::x/y", "rule": "entitlements"}
    failed = [{**told, "message": "no entitlement covers it"}, {**told, "message": ""}]
    failures = (stopped, remit.FailedPermission("s3:GetObject", "arn:aws:s3:::x/y", "entitlements", ""))
    permission = remit.Permission("s3:GetObject", "arn:aws:s3:::x/2026/*", [remit.Condition("Bool", "a:b", "true")])
    offer = {
        "actions": ["s3:GetObject"],
        "resources": ["arn:aws:s3:::x/2026/*"],
        "conditions": [["Bool", "a:b", "true"]],
    }
    found: list[tuple[remit.RemitError, dict[str, object]]] = []

    def add(error: remit.RemitError, **more: object) -> None:
        found.append((error, more))

    for remedy in remit.Remedy:
        add(remit.Refused("No.", reason="POLICY_DENIED", remedy=remedy, request_id="r"))
        add(remit.Unauthenticated("No.", reason="SUBJECT_TOKEN_REJECTED", remedy=remedy))
    add(remit.Refused("No.", reason="CEILING_EXCEEDED", failures=failures * 3), failures=failed * 3)
    add(remit.Refused("No.", reason="CEILING_EXCEEDED", offer=(permission,)), offer=[offer])
    add(remit.Refused("No.", reason="INTENT_TOO_LARGE", split=((permission,), (permission,))), split=[[offer], [offer]])
    violation = remit.FieldViolation("intent.purpose", "string.min_len")
    violations = [{"path": "intent.purpose", "rule": "string.min_len"}]
    add(remit.InvalidRequest("It is wrong.", reason="INVALID_REQUEST", violations=(violation,)), violations=violations)
    add(remit.InvalidRequest.of(violation), violations=violations)
    approval = {"approval": "approvals/a", "groups": ["security", "leads"], "minApprovers": 2, "bySubject": True}
    pending = remit.ApprovalPending(
        "People have to approve.",
        reason="APPROVAL_PENDING",
        approval="approvals/a",
        groups=("security", "leads"),
        min_approvers=2,
        by_subject=True,
        request_id="r",
    )
    add(pending, **approval)
    add(remit.Unauthenticated("Who?", reason="ACTOR_REJECTED"))
    add(remit.NotFound("It is not there.", reason="NOT_FOUND"))
    for cause in (None, "LEASE_LOST", "REQUESTED", "SECURITY_EVENT", "REVIEW", "ROLLBACK"):
        add(remit.TaskOver("It is over.", reason="GRANT_NOT_LIVE", cause=cause), cause=cause)
    add(remit.Unavailable("Nobody is there.", reason="UNAVAILABLE"))
    add(remit.Unavailable("STS is away.", reason="STS_UNAVAILABLE"))
    add(remit.Unavailable("STS is away.", reason="STS_UNAVAILABLE", retry_after=timedelta(seconds=2.5)), retryAfter=2.5)
    add(remit.RateLimited("Too many.", reason="RATE_LIMITED", retry_after=timedelta(seconds=7)), retryAfter=7)
    add(remit.GatewayFailure("internal error", reason="INTERNAL"))
    return [
        {
            "kind": type(error).__name__,
            "message": error.message,
            "told": {
                "reason": error.reason,
                "remedy": error.remedy,
                **({"requestId": error.request_id} if error.request_id else {}),
                **{name: value for name, value in more.items() if value is not None},
            },
            "text": str(error),
            "advice": error.advice,
        }
        for error, more in found
    ]


def test_the_lock_file_names_no_place_to_download_from() -> None:
    lock = json.loads((PACKAGE / "package-lock.json").read_text())

    packages = {name: package for name, package in lock["packages"].items() if name}

    assert packages
    assert all("resolved" not in package and "integrity" in package for package in packages.values())
