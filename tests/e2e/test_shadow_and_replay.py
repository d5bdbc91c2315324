"""A candidate beside two real gateways: both have it decide in shadow, and one replays what both have on record."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.gateways import OwnGateway, issue_request, raw_stub
from tests.e2e.test_policy_revisions import Author, edited
from tests.e2e.test_replicas import Replicas, two_replicas
from tests.real_postgresql import PostgresqlServer

from remit_sandbox.sandbox import Sandbox
from remit_server.adapters.policy.bundles.bundle import read_bundle

pytestmark = pytest.mark.timeout(300)
PATIENCE, SECONDS = 90.0, 60.0


@pytest.fixture(scope="module")
def replicas(
    sandbox: Sandbox, postgresql: PostgresqlServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Replicas]:
    with two_replicas(sandbox, tmp_path_factory.mktemp("shadow"), postgresql.url(postgresql.create())) as both:
        yield both


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.3)


def test_both_replicas_count_a_candidate_in_shadow_and_a_replay_says_the_same(
    sandbox: Sandbox, replicas: Replicas, alice_token: str, tmp_path: Path
) -> None:
    bob = Author(sandbox, replicas.one, tmp_path, sandbox.issuer.operator_token("bob"))
    bundle = edited(tmp_path, "arn:aws:s3:::reports/2026/*", "arn:aws:s3:::reports/*")
    wider = read_bundle(bundle).revision
    bob.does("publish", "--bundle", str(bundle))

    def counted() -> int:
        counts = json.loads(bob.does("shadow", "show", wider[:8], "--json") or "{}").get("counts", [])
        return sum(int(one["count"]) for one in counts if one["difference"] == "REACH_WIDER")

    def counts_what(gateway: OwnGateway) -> bool:
        """Has a gateway issue once, and says whether anything was counted since it was first looked."""
        with raw_stub(sandbox, gateway.mtls, sandbox.agents["copilot"]) as stub:
            answer = stub.IssueCredentials(issue_request(alice_token), timeout=SECONDS)
        assert "s3:GetObject" in answer.grant.session_policy
        time.sleep(1)
        return counted() > before

    bob.does("shadow", "start", wider[:8])
    for gateway in (replicas.one, replicas.other):
        before = counted()
        until(lambda: counts_what(gateway))  # noqa: B023 - called at once
    report = json.loads(bob.does("replay", "--against", wider[:8], "--since", "1d", "--format", "json", "--quiet"))
    stopped = bob.does("shadow", "stop")

    assert report["candidate"] == wider
    assert report["verdicts"] == {"DIFFERENT": report["decisions"]}
    (widening,) = [one for one in report["groups"] if one["difference"] == "REACH_WIDER"]
    assert widening["gained"] == ["s3:GetObject on arn:aws:s3:::reports/*"]
    assert report["effects"] == {"REACH_ONLY": report["decisions"]}
    assert f"revision {wider[:12]} is in shadow no more" in stopped
    shown = json.loads(bob.does("shadow", "show", wider[:8], "--json"))
    example = next(json.loads(one["example"]) for one in shown["counts"] if one["difference"] == "REACH_WIDER")
    assert example["gained"] == widening["gained"]
