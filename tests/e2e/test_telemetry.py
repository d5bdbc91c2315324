"""Figures and traces of real gateways after known calls: alone, with two workers, and with no collector."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.e2e.gateways import OwnGateway, issue_request, own_gateway, raw_stub
from tests.e2e.test_crash import PATIENT, ROOMY
from tests.e2e.test_workers import (
    CONNECTIONS,
    SECONDS,
    TWO,
    issue,
    preview_request,
    started,
    until,
    workers_of,
)
from tests.otlp_receiver import OtlpReceiver, attributes_of, otlp_receiver
from tests.scraping import scraped

from remit.v1 import types_pb2
from remit_sandbox.sandbox import Sandbox

FIGURES: dict[str, dict[str, object]] = {"listen.metrics": {"address": "127.0.0.1:0"}, "aws": {**ROOMY}}
ISSUE = {"service": "CredentialService", "method": "IssueCredentials"}
STRANGE = "a-name-that-nobody-chose"
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
    """A gateway that tells its figures, and traces every call."""
    more: dict[str, dict[str, object]] = {**FIGURES, "tracing": {"endpoint": collector.url, "share": 1.0}}
    with own_gateway(sandbox, tmp_path_factory.mktemp("figures"), more=more) as own:
        yield own


@pytest.fixture
def stub(sandbox: Sandbox, gateway: OwnGateway) -> Iterator[Any]:
    """The copilot's own connection."""
    with raw_stub(sandbox, gateway.mtls, sandbox.agents["copilot"]) as connected:
        yield connected


def too_much() -> types_pb2.TaskIntent:
    """An intent that nobody may have."""
    wanted = types_pb2.Permission(actions=["iam:CreateUser"], resources=["*"])
    return types_pb2.TaskIntent(purpose=STRANGE, permissions=[wanted])


def test_a_scrape_tells_what_was_called_and_what_came_of_it(gateway: OwnGateway, stub: Any, alice_token: str) -> None:
    before = scraped(gateway.metrics)

    for _ in range(3):
        stub.IssueCredentials(issue_request(alice_token), timeout=SECONDS)
    with pytest.raises(grpc.RpcError):
        stub.IssueCredentials(issue_request(alice_token, intent=too_much()), timeout=SECONDS)
    with pytest.raises(grpc.RpcError):
        stub.IssueCredentials(issue_request("no.token.atall"), timeout=SECONDS)
    stub.PreviewCredentials(preview_request(alice_token), timeout=SECONDS)
    now = scraped(gateway.metrics)

    def more(name: str, **labels: str) -> float:
        return now(name, **labels) - before(name, **labels)

    assert more("remit_calls_total", **ISSUE) == 5
    assert more("remit_calls_total", **ISSUE, code="OK", reason="") == 3
    assert more("remit_calls_total", **ISSUE, code="PERMISSION_DENIED", reason="NEVER_ISSUABLE") == 1
    assert more("remit_calls_total", **ISSUE, code="UNAUTHENTICATED", reason="SUBJECT_TOKEN_REJECTED") == 1
    assert more("remit_call_duration_seconds_count", **ISSUE) == 5
    assert more("remit_call_duration_seconds_bucket", **ISSUE, le="+Inf") == 5
    assert more("remit_call_duration_seconds_sum", **ISSUE) > 0
    assert more("remit_decisions_total", outcome="allowed") == 4
    assert more("remit_decisions_total", outcome="refused", reason="NEVER_ISSUABLE") == 1
    assert more("remit_grants_total", event="issued") == 3
    assert more("remit_tasks_total", event="started") == 3
    assert more("remit_steps_total", step="sts", outcome="ok") == 3
    assert more("remit_steps_total", step="verify", outcome="refused") == 1
    assert more("remit_step_duration_seconds_count", step="plan") == 5
    assert more("remit_audit_records_total", kind="credentials_issued") == 3
    assert more("remit_ledger_commit_duration_seconds_count") > 0
    assert now("remit_calls_running") == 0
    assert now("remit_outages_total") == 0
    assert now("remit_workers") == 1
    until(lambda: scraped(gateway.metrics)("remit_ledger_looked_timestamp_seconds") > 0)
    assert now("process_resident_memory_bytes", worker="1") > 10_000_000
    assert now("process_cpu_seconds_total", worker="1") > 0


def test_nothing_that_a_stranger_sends_adds_a_figure(
    sandbox: Sandbox, gateway: OwnGateway, stub: Any, alice_token: str
) -> None:
    stub.IssueCredentials(issue_request(alice_token), timeout=SECONDS)
    for token in ("no.token.atall", STRANGE):
        with pytest.raises(grpc.RpcError):
            stub.IssueCredentials(issue_request(token), timeout=SECONDS)
    call_unserved(sandbox, gateway, "/remit.v1.CredentialService/First")
    before = scraped(gateway.metrics)

    for number in range(20):
        call_unserved(sandbox, gateway, f"/{STRANGE}{number}/{STRANGE}{number}")
        with pytest.raises(grpc.RpcError):
            stub.IssueCredentials(issue_request(f"{STRANGE}{number}"), timeout=SECONDS, metadata=odd_metadata(number))
        named = types_pb2.TaskIntent(purpose=f"{STRANGE}{number}", capabilities=issue_request("").intent.capabilities)
        stub.IssueCredentials(issue_request(alice_token, intent=named), timeout=SECONDS)
    now = scraped(gateway.metrics)

    assert now.series == before.series
    assert now("remit_calls_total", service="other", code="UNIMPLEMENTED") == 21
    assert STRANGE not in now.text
    assert alice_token.rpartition(".")[2] not in now.text


def call_unserved(sandbox: Sandbox, own: OwnGateway, method: str) -> None:
    """Calls a method that there is not."""
    pair = sandbox.agents["copilot"]
    credentials = grpc.ssl_channel_credentials(
        sandbox.authority.bundle_path.read_bytes(), pair.key_path.read_bytes(), pair.certificate_path.read_bytes()
    )
    with grpc.secure_channel(own.mtls, credentials) as channel, pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary(method, lambda raw: raw, lambda raw: raw)(b"", timeout=SECONDS)
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


def odd_metadata(number: int) -> tuple[tuple[str, str], ...]:
    """Metadata of a caller's own."""
    return (("traceparent", f"{STRANGE}{number}"), (f"x-{STRANGE}-{number}", "1"), ("baggage", f"a={STRANGE}"))


def calls_of(collector: OtlpReceiver, traceparent: str) -> list[Any]:
    """Returns the spans of calls whose caller named this one."""
    linked = [
        (span, f"00-{link.trace_id.hex()}-{link.span_id.hex()}-01") for span in collector.spans for link in span.links
    ]
    return [span for span, named in linked if named == traceparent]


def test_a_call_is_seen_with_its_steps_and_with_no_word_of_its_caller(
    collector: OtlpReceiver, stub: Any, alice_token: str
) -> None:
    words = (("tracestate", f"vendor={STRANGE}"), ("baggage", f"who={STRANGE}"))
    named = [f"{THEIRS[:-4]}{number}-01" for number in (1, 2, 3)]
    one, two, three = [(("traceparent", each), *words) for each in named]
    issued = stub.IssueCredentials(issue_request(alice_token), timeout=SECONDS, metadata=one)
    with pytest.raises(grpc.RpcError):
        stub.IssueCredentials(issue_request(alice_token, intent=too_much()), timeout=SECONDS, metadata=two)
    with pytest.raises(grpc.RpcError):
        stub.IssueCredentials(issue_request(f"{STRANGE}.token.atall"), timeout=SECONDS, metadata=three)
    collector.wait_for(lambda: all(calls_of(collector, each) for each in named))

    (good,), (floor,), (stranger,) = [calls_of(collector, each) for each in named]
    assert good.name == CALL
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


def test_one_scrape_of_two_workers_is_the_sum_and_does_not_go_back_when_one_is_lost(
    sandbox: Sandbox, tmp_path: Path, alice_token: str
) -> None:
    more: dict[str, dict[str, object]] = {**FIGURES, "policy": {**PATIENT}}
    with own_gateway(sandbox, tmp_path, more=more, options=TWO) as own:
        with ExitStack() as stack:
            copilot = sandbox.agents["copilot"]
            stubs: list[Any] = [stack.enter_context(raw_stub(sandbox, own.mtls, copilot)) for _ in range(CONNECTIONS)]
            for each in stubs:
                each.IssueCredentials(issue_request(alice_token), timeout=SECONDS)
            together = [scraped(own.metrics)("remit_calls_total", **ISSUE, code="OK") for _ in range(8)]
            cpu = scraped(own.metrics)

        os.kill(workers_of(own)[-1][1], signal.SIGKILL)
        until(lambda: len(started(tmp_path)) == 3)
        issue(sandbox, own, alice_token)
        afterwards = scraped(own.metrics)

    assert together == [CONNECTIONS] * 8
    assert cpu("process_cpu_seconds_total", worker="1") > 0
    assert cpu("process_cpu_seconds_total", worker="2") > 0
    assert cpu("remit_workers") == 2
    assert cpu("remit_policy_revision_info") == 2
    assert afterwards("remit_calls_total", **ISSUE, code="OK") == CONNECTIONS + 1
    assert afterwards("remit_grants_total", event="issued") == CONNECTIONS + 1
