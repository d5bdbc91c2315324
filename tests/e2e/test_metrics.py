"""The figures of real gateways, scraped after known calls: alone, with two workers, and after losing one."""

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
from tests.scraping import scraped

from remit.v1 import types_pb2
from remit_sandbox.sandbox import Sandbox

FIGURES: dict[str, dict[str, object]] = {"listen.metrics": {"address": "127.0.0.1:0"}, "aws": {**ROOMY}}
ISSUE = {"service": "CredentialService", "method": "IssueCredentials"}
STRANGE = "a-name-that-nobody-chose"


@pytest.fixture(scope="module")
def gateway(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnGateway]:
    """A gateway that tells its figures."""
    with own_gateway(sandbox, tmp_path_factory.mktemp("figures"), more=FIGURES) as own:
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
    assert now("remit_ledger_looked_timestamp_seconds") > 0
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
