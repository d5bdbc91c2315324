"""Traces: what a span says, whose trace it is in, and that nobody waits for the collector."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.sdk.trace import ReadableSpan
from tests.configuration_folder import TEXT, ConfigurationFolder
from tests.otlp_receiver import OtlpReceiver, attributes_of, otlp_receiver

from remit_server.adapters.tracing.outbox import AT_ONCE, Collector, Outbox
from remit_server.adapters.tracing.tracing import Tracing
from remit_server.application.observing import Step, observed
from remit_server.bootstrap.telemetry import look_on
from remit_server.config.loading import load
from remit_server.config.telemetry.settings import Callers, TracingSettings
from remit_server.domain.errors import Denied, Outage, Reason
from remit_server.domain.secret import Secret
from remit_server.transport.grpc.methods import code_names

ISSUE = "/remit.v1.CredentialService/IssueCredentials"
THEIRS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
CANARY = "a-word-of-the-caller"


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with otlp_receiver() as running:
        yield running


class Sending:
    """A gateway's tracing without the gateway: real spans, a real outbox and a real connection."""

    def __init__(self, settings: TracingSettings, **options: Any) -> None:
        self.counts: Counter[str] = Counter()
        self.sent = asyncio.Event()
        self.collector = Collector(settings)
        self.outbox = Outbox(self.collector, self._told, **options)
        self.tracing = Tracing.into(self.outbox, settings, 3, code_names())

    def _told(self, outcome: str, count: int) -> None:
        self.counts[outcome] += count
        if outcome == "sent":
            self.sent.set()

    async def call(self, error: BaseException | None = None, header: str = "", steps: Sequence[Step] = ()) -> None:
        """Makes the spans of a call in a context of its own, as gRPC gives each call one."""

        async def work() -> None:
            begun = self.tracing.call_begins(ISSUE, lambda: header)
            for step in steps:
                await observed(self.tracing, step, asyncio.sleep(0))
            self.tracing.call_ends(ISSUE, begun, error)

        await asyncio.create_task(work())

    async def flushed(self) -> None:
        await self.outbox.close()
        await self.collector.close()


@pytest.fixture
async def sending(receiver: OtlpReceiver) -> AsyncIterator[Sending]:
    made = Sending(TracingSettings(receiver.url, share=1.0))
    yield made
    await made.flushed()


async def test_a_call_is_a_trace_of_its_steps(sending: Sending, receiver: OtlpReceiver) -> None:
    await sending.call(steps=tuple(Step))
    await sending.flushed()

    *steps, call = receiver.spans
    assert call.kind == SpanMessage.SPAN_KIND_SERVER
    assert call.name == "remit.v1.CredentialService/IssueCredentials"
    assert attributes_of(call)["rpc.response.status_code"] == "OK"
    assert [step.name for step in steps] == ["verify", "decide", "plan", "record", "sts"]
    assert {step.parent_span_id for step in steps} == {call.span_id}
    assert {step.trace_id for step in steps} == {call.trace_id}
    assert receiver.resources == [{"service.name": "remit-gateway", "service.version": "0.1.0", "remit.worker": 3}]
    assert sending.counts == {"sent": 6}


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (Denied(Reason.POLICY_DENIED, CANARY), "PERMISSION_DENIED", "POLICY_DENIED"),
        (Outage(Reason.STS_UNAVAILABLE, CANARY), "UNAVAILABLE", "STS_UNAVAILABLE"),
        (ValueError(CANARY), "INTERNAL", None),
        (asyncio.CancelledError(CANARY), "CANCELLED", None),
    ],
)
async def test_a_failure_is_told_by_its_code_and_reason_alone(
    sending: Sending, receiver: OtlpReceiver, error: BaseException, code: str, reason: str | None
) -> None:
    await sending.call(error)
    await sending.flushed()

    (call,) = receiver.spans
    told = attributes_of(call)
    assert (told["rpc.response.status_code"], told.get("remit.reason")) == (code, reason)
    assert call.status.code == 2
    assert CANARY.encode() not in b"".join(receiver.bodies)


async def test_a_callers_trace_is_linked_to(sending: Sending, receiver: OtlpReceiver) -> None:
    await sending.call(header=THEIRS)
    await sending.flushed()

    (call,) = receiver.spans
    assert call.trace_id.hex() != THEIRS[3:35]
    assert call.parent_span_id == b""
    assert [(link.trace_id.hex(), link.span_id.hex()) for link in call.links] == [(THEIRS[3:35], THEIRS[36:52])]


async def test_a_call_goes_on_in_its_callers_trace_where_that_is_configured(receiver: OtlpReceiver) -> None:
    sending = Sending(TracingSettings(receiver.url, share=1.0, callers=Callers.PARENT))

    await sending.call(header=THEIRS, steps=[Step.PLAN])
    await sending.flushed()

    step, call = receiver.spans
    assert {step.trace_id.hex(), call.trace_id.hex()} == {THEIRS[3:35]}
    assert call.parent_span_id.hex() == THEIRS[36:52]
    assert step.parent_span_id == call.span_id


@pytest.mark.parametrize("callers", Callers)
@pytest.mark.parametrize(
    "header",
    [
        "",
        CANARY,
        THEIRS.upper(),
        f"{THEIRS}-{CANARY}",
        f" {THEIRS}",
        f"{THEIRS}\n",
        THEIRS.replace("00-0", "01-0", 1),
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
        THEIRS.replace("0af7", "0\u0661f7"),
    ],
)
async def test_a_trace_that_is_not_spelt_in_the_one_way_is_nobodys(
    receiver: OtlpReceiver, callers: Callers, header: str
) -> None:
    sending = Sending(TracingSettings(receiver.url, share=1.0, callers=callers))

    await sending.call(header=header)
    await sending.flushed()

    (call,) = receiver.spans
    assert (call.parent_span_id, list(call.links)) == (b"", [])
    assert CANARY.encode() not in b"".join(receiver.bodies)


async def test_the_gateway_draws_which_calls_are_traced_whatever_their_callers_ask_for(receiver: OtlpReceiver) -> None:
    sending = Sending(TracingSettings(receiver.url, share=0.25))
    drawn = iter([0.1, 0.3, 0.9, 0.2499, 0.25])
    tracing = Tracing(sending.tracing.tracer, 0.25, Callers.PARENT, code_names(), lambda: next(drawn))
    object.__setattr__(sending, "tracing", tracing)

    for _ in range(5):
        await sending.call(header=f"{THEIRS[:-2]}01", steps=[Step.PLAN])
    await sending.flushed()

    assert Counter(span.name for span in receiver.spans) == {ISSUE[1:]: 2, "plan": 2}


async def test_steps_of_no_call_make_no_spans(sending: Sending, receiver: OtlpReceiver) -> None:
    await observed(sending.tracing, Step.RECORD, asyncio.sleep(0))
    begun = sending.tracing.call_begins("", lambda: THEIRS)
    sending.tracing.call_ends("", begun, None)
    await sending.flushed()

    assert begun is None
    assert receiver.spans == []


async def test_the_collectors_token_is_shown_to_it(receiver: OtlpReceiver) -> None:
    sending = Sending(TracingSettings(receiver.url, token=Secret("for-the-collector"), share=1.0))

    await sending.call()
    await sending.flushed()

    assert receiver.shown == ["Bearer for-the-collector"]


async def test_what_has_no_room_is_dropped_and_counted_and_no_call_waits() -> None:
    asked, never = asyncio.Event(), asyncio.Event()
    counts: Counter[str] = Counter()

    async def send(_spans: Sequence[ReadableSpan]) -> None:
        asked.set()
        await never.wait()

    async def at_once(_seconds: float) -> None:
        await asyncio.sleep(0)

    outbox = Outbox(send, lambda outcome, count: counts.update({outcome: count}), most_waiting=10, pause=at_once)
    tracing = Tracing.into(outbox, TracingSettings("http://127.0.0.1:1", share=1.0), 1, code_names())
    sender = asyncio.create_task(outbox.keep_sending())
    tracing.call_ends(ISSUE, tracing.call_begins(ISSUE, str), None)
    await asked.wait()  # it holds one, and is never answered

    for _ in range(15):
        tracing.call_ends(ISSUE, tracing.call_begins(ISSUE, str), None)

    assert counts == {"dropped": 5}
    sender.cancel()
    await asyncio.gather(sender, return_exceptions=True)
    assert counts == {"dropped": 6}


async def test_a_collector_that_fails_is_tried_again_later_and_later(receiver: OtlpReceiver) -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 6:
            receiver.status = 200
        await made.call()

    made = Sending(TracingSettings(receiver.url, share=1.0), pause=pause)
    receiver.status = 503
    sender = asyncio.create_task(made.outbox.keep_sending())
    await made.call()
    await made.sent.wait()
    sender.cancel()
    await asyncio.gather(sender, return_exceptions=True)
    await made.flushed()

    assert pauses[:6] == [1.0, 1.0, 1.0, 2.0, 1.0, 4.0]  # before each batch, and after each failure
    assert made.counts == {"failed": 6, "sent": 2}
    assert len(receiver.spans) == 2


async def test_many_are_sent_in_batches(sending: Sending, receiver: OtlpReceiver) -> None:
    for _ in range(AT_ONCE + 1):
        await sending.call()
    await sending.flushed()

    assert len(receiver.bodies) == 2
    assert len(receiver.spans) == AT_ONCE + 1


async def test_a_gateway_without_the_packages_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f'{TEXT}\n[tracing]\nendpoint = "http://127.0.0.1:4318"\n'
    settings = load(ConfigurationFolder.create(tmp_path).write(text), {})
    for name in [name for name in sys.modules if name.startswith("remit_server.adapters.tracing")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)

    async with AsyncExitStack() as stack:
        with pytest.raises(RuntimeError, match=r"pip install 'remit\[server,tracing\]'"):
            look_on(stack, settings, 1, None)


async def test_a_collector_that_is_away_is_named_with_why_and_what_to_check(caplog: pytest.LogCaptureFixture) -> None:
    made = Sending(TracingSettings("http://127.0.0.1:1", share=1.0))

    await made.call()
    await made.flushed()

    (told,) = caplog.messages
    assert told == (
        "traces cannot be sent: the collector at http://127.0.0.1:1/v1/traces is not reached: Connection refused; "
        "check tracing.endpoint, ca_file and token_file, and that the collector takes OTLP over HTTP there; "
        "calls go on without"
    )
