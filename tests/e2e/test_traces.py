"""The traces of a real gateway, decoded by a collector of ours; and the same gateway while the collector is away."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from tests.e2e.gateways import OwnGateway, issue_request, own_gateway, raw_stub
from tests.e2e.test_crash import ROOMY
from tests.e2e.test_metrics import FIGURES, STRANGE, too_much
from tests.e2e.test_workers import SECONDS, until
from tests.otlp_receiver import OtlpReceiver, attributes_of, otlp_receiver
from tests.scraping import scraped

from remit_sandbox.sandbox import Sandbox

THEIRS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CALL = "remit.v1.CredentialService/IssueCredentials"


@pytest.fixture(scope="module")
def collector() -> Iterator[OtlpReceiver]:
    with otlp_receiver() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(
    sandbox: Sandbox, collector: OtlpReceiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OwnGateway]:
    """A gateway that traces every call and counts."""
    more: dict[str, dict[str, object]] = {
        **FIGURES,
        "aws": {**ROOMY},
        "tracing": {"endpoint": collector.url, "share": 1.0},
    }
    with own_gateway(sandbox, tmp_path_factory.mktemp("traces"), more=more) as own:
        yield own


@pytest.fixture
def stub(sandbox: Sandbox, gateway: OwnGateway) -> Iterator[Any]:
    with raw_stub(sandbox, gateway.mtls, sandbox.agents["copilot"]) as connected:
        yield connected


def test_a_call_is_seen_with_its_steps_and_with_no_word_of_its_caller(
    collector: OtlpReceiver, stub: Any, alice_token: str
) -> None:
    metadata = (("traceparent", THEIRS), ("tracestate", f"vendor={STRANGE}"), ("baggage", f"who={STRANGE}"))
    issued = stub.IssueCredentials(issue_request(alice_token), timeout=SECONDS, metadata=metadata)
    with pytest.raises(grpc.RpcError):
        stub.IssueCredentials(issue_request(alice_token, intent=too_much()), timeout=SECONDS)
    with pytest.raises(grpc.RpcError):
        stub.IssueCredentials(issue_request(f"{STRANGE}.token.atall"), timeout=SECONDS)
    collector.wait_for(lambda: sum(span.name == CALL for span in collector.spans) == 3)

    calls = [span for span in collector.spans if span.name == CALL]
    good, floor, stranger = sorted(calls, key=lambda span: span.start_time_unix_nano)
    assert [(link.trace_id.hex(), link.span_id.hex()) for link in good.links] == [(THEIRS[3:35], THEIRS[36:52])]
    assert good.trace_id.hex() != THEIRS[3:35]
    steps = [span for span in collector.spans if span.parent_span_id == good.span_id]
    steps.sort(key=lambda span: span.start_time_unix_nano)
    assert [step.name for step in steps] == ["verify", "decide", "plan", "record", "sts", "record"]
    assert {step.trace_id for step in steps} == {good.trace_id}
    assert all(good.start_time_unix_nano <= step.start_time_unix_nano for step in steps)
    assert all(step.end_time_unix_nano <= good.end_time_unix_nano for step in steps)
    assert attributes_of(good)["rpc.response.status_code"] == "OK"
    assert attributes_of(floor)["remit.reason"] == "NEVER_ISSUABLE"
    assert attributes_of(stranger)["remit.reason"] == "SUBJECT_TOKEN_REJECTED"
    told = b"".join(collector.bodies)
    secret = [
        alice_token.rpartition(".")[2],
        issued.credentials.secret_access_key,
        issued.credentials.session_token[:40],
    ]
    private = [STRANGE, "summarise Q3", "alice", "reports", issued.grant.name, "arn:aws", "copilot"]
    assert [word for word in (*secret, *private) if word.encode() in told] == []


def test_no_call_fails_or_waits_while_the_collector_refuses_and_lost_spans_are_counted(
    gateway: OwnGateway, collector: OtlpReceiver, stub: Any, alice_token: str
) -> None:
    collector.status = 503
    try:
        for _ in range(3):
            answer = stub.IssueCredentials(issue_request(alice_token), timeout=SECONDS)
            assert answer.credentials.access_key_id
        until(lambda: scraped(gateway.metrics)("remit_spans_total", outcome="failed") > 0)
    finally:
        collector.status = 200
    before = len(collector.spans)
    stub.IssueCredentials(issue_request(alice_token), timeout=SECONDS)

    collector.wait_for(lambda: len(collector.spans) > before)
    assert scraped(gateway.metrics)("remit_calls_total", method="IssueCredentials", code="OK") >= 4
    assert "traces cannot be sent" in gateway.log_path.read_text()
