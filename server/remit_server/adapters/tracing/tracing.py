"""Makes spans of calls and their steps: one trace for a call, the gateway's own or the caller's, as configured.

NOTE: whether a call is traced is drawn here, never taken from the caller, who could have every call traced; and a
trace id is taken only in its one spelling, so that no word of a caller gets in by it (8-threats.md G11).
"""

import re
import secrets
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from remit_server.adapters.tracing.outbox import Outbox
from remit_server.application.observing import Step
from remit_server.config.telemetry.settings import Callers, TracingSettings
from remit_server.domain.errors import Reason, RemitError

SERVICE: Final = "remit-gateway"
_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}", re.ASCII)
_ERROR: Final = Status(StatusCode.ERROR)  # without a description: it could repeat somebody's words
_CALL: ContextVar[Context | None] = ContextVar("traced_call", default=None)


@dataclass(frozen=True, slots=True)
class Tracing:
    """Makes spans (an `Observer` and a `CallObserver`). `codes` are the gRPC codes of reasons."""

    tracer: Tracer
    share: float
    callers: Callers
    codes: Mapping[Reason, str]
    draw: Callable[[], float] = secrets.SystemRandom().random

    @classmethod
    def into(cls, outbox: Outbox, settings: TracingSettings, worker: int, codes: Mapping[Reason, str]) -> "Tracing":
        """Returns what makes spans that go into an outbox."""
        named: dict[str, str | int] = {
            "service.name": SERVICE,
            "service.version": version("remit"),
            "remit.worker": worker,
        }
        limits = SpanLimits(max_span_attributes=16, max_events=0, max_links=1, max_span_attribute_length=128)
        # NOTE: everything is given, so that nothing is taken from the environment: no attribute, no sampler.
        provider = TracerProvider(
            sampler=ALWAYS_ON, resource=Resource({**named}), shutdown_on_exit=False, span_limits=limits
        )
        provider.add_span_processor(outbox)
        return cls(provider.get_tracer("remit"), settings.share, settings.callers, codes)

    def call_begins(self, method: str, traceparent: Callable[[], str], /) -> Span | None:
        """Begins the span of a call that is drawn; None for the others, and for what is not served."""
        if not method or self.draw() >= self.share:
            return None
        theirs = _named_by(traceparent())
        parent, links = Context(), []
        if theirs is not None and self.callers is Callers.PARENT:
            parent = set_span_in_context(NonRecordingSpan(theirs), parent)
        elif theirs is not None:
            links = [Link(theirs)]
        name = method.removeprefix("/")
        span = self.tracer.start_span(
            name,
            context=parent,
            kind=SpanKind.SERVER,
            links=links,
            attributes={"rpc.system.name": "grpc", "rpc.method": name},
        )
        _CALL.set(set_span_in_context(span, Context()))
        return span

    def call_ends(self, method: str, begun: Span | None, error: BaseException | None, /) -> None:
        """Ends it, with its code and reason."""
        del method
        if begun is None:
            return
        begun.set_attribute("rpc.response.status_code", self._code(error))
        _end(begun, error)

    def begins(self, what: Step, /) -> Span | None:
        """Begins the span of a step of a call that is traced."""
        call = _CALL.get()
        return None if call is None else self.tracer.start_span(what.value, context=call)

    def ends(self, what: Step, begun: Span | None, error: BaseException | None, /) -> None:
        """Ends it."""
        del what
        if begun is not None:
            _end(begun, error)

    def _code(self, error: BaseException | None) -> str:
        """Returns the gRPC code that a call ends with."""
        if error is None:
            return "OK"
        if isinstance(error, RemitError):
            return self.codes[error.reason]
        return self.codes[Reason.INTERNAL] if isinstance(error, Exception) else "CANCELLED"


def _end(span: Any, error: BaseException | None) -> None:
    """Ends a span, which says of a failure its reason and nothing else."""
    if isinstance(error, RemitError):
        span.set_attribute("remit.reason", error.reason.value)
    if error is not None:
        span.set_status(_ERROR)
    span.end()


def _named_by(header: str) -> SpanContext | None:
    """Returns the span that a caller names as its own (W3C Trace Context); None for anything but its one spelling."""
    found = _TRACEPARENT.fullmatch(header)
    if found is None:
        return None
    trace_id, span_id = int(found[1], 16), int(found[2], 16)
    named = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return named if named.is_valid else None
