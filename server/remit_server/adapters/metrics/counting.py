"""Counts what happens, in one worker's own cells: some additions for each call, and no look-up by name.

NOTE: called on the event loop only. Two threads that add to one number would lose some of it.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any, Final

from remit_server.adapters.metrics import catalogue
from remit_server.adapters.metrics.catalogue import Catalogue, Outcome
from remit_server.adapters.metrics.families import SECONDS
from remit_server.application.observing import Step
from remit_server.domain.attenuation_records import AttenuationAuthorized
from remit_server.domain.audit import (
    AuditRecord,
    CredentialsIssued,
    GrantAuthorized,
    GrantExpired,
    GrantWithheld,
    IssuanceFailed,
    PreviewDecided,
    RequestRefused,
    TaskEnded,
    TaskStarted,
)
from remit_server.domain.delegation_records import TaskDelegated
from remit_server.domain.errors import Outage, Reason, RemitError
from remit_server.domain.lifecycle_records import ApprovalAsked, CredentialsRenewed, GrantsRevoked, RenewalAuthorized

_SUM: Final = len(SECONDS) + 1
_HUNG_UP: Final = (asyncio.CancelledError, GeneratorExit)
_OUTAGES: Final = {Reason.RATE_LIMITED: Outcome.RATE_LIMITED, Reason.OVERLOADED: Outcome.OVERLOADED}


def outcome_of(error: BaseException | None) -> Outcome:
    """Returns how a step ended that ended with this."""
    if error is None:
        return Outcome.OK
    if isinstance(error, Outage):
        return _OUTAGES.get(error.reason, Outcome.UNAVAILABLE)
    if isinstance(error, RemitError):
        return Outcome.REFUSED
    return Outcome.CANCELLED if isinstance(error, _HUNG_UP) else Outcome.FAILED


class CountedSteps:
    """Counts steps (an `Observer`): one for each that ended, and how long it took."""

    def __init__(self, numbers: "memoryview[float]", figures: Catalogue) -> None:
        place = figures.layout.place
        self._numbers = numbers
        self._ended = {step: {outcome: place(catalogue.STEPS, step, outcome) for outcome in Outcome} for step in Step}
        self._took = {step: place(catalogue.STEP_SECONDS, step) for step in Step}

    def begins(self, what: Step, /) -> float:
        """Returns when it is."""
        del what
        return perf_counter()

    def ends(self, what: Step, begun: float, error: BaseException | None, /) -> None:
        """Counts the step."""
        numbers, took, seconds = self._numbers, self._took[what], perf_counter() - begun
        numbers[self._ended[what][Outcome.OK if error is None else outcome_of(error)]] += 1
        numbers[took + bisect_left(SECONDS, seconds)] += 1
        numbers[took + _SUM] += seconds


class CountedCalls:
    """Counts calls (a `CallObserver`): those that run, those that ended, and how long they took."""

    def __init__(self, numbers: "memoryview[float]", figures: Catalogue) -> None:
        place = figures.layout.place
        self._numbers = numbers
        self._running = {method.name: place(catalogue.RUNNING, _kind(method.streams)) for method in figures.methods}
        self._answered: dict[str, int] = {}
        self._failed: dict[str, Mapping[str, int]] = {}
        self._took: dict[str, int] = {}
        for method in figures.methods:
            self._answered[method.name] = place(figures.calls, *method.labels, catalogue.OK, "")
            endings = {
                **{reason.value: (figures.codes[reason], reason.value) for reason in Reason},
                catalogue.CANCELLED: (catalogue.CANCELLED, ""),
                catalogue.UNKNOWN: (catalogue.UNKNOWN, ""),
            }
            self._failed[method.name] = {
                ending: place(figures.calls, *method.labels, *labels) for ending, labels in endings.items()
            }
            if not method.streams:
                self._took[method.name] = place(figures.call_seconds, *method.labels)
        other = catalogue.NOT_SERVED
        self._running[other.name] = place(catalogue.RUNNING, _kind(other.streams))
        self._answered[other.name] = place(figures.calls, *other.labels, catalogue.UNIMPLEMENTED, "")

    def call_begins(self, method: str, traceparent: Callable[[], str], /) -> float:
        """Counts the call as running, and returns when it is."""
        del traceparent
        self._numbers[self._running[method]] += 1
        return perf_counter()

    def call_ends(self, method: str, begun: float, error: BaseException | None, /) -> None:
        """Counts the call as over."""
        numbers = self._numbers
        numbers[self._running[method]] -= 1
        numbers[self._answered[method] if error is None else self._failed[method][_ending(error)]] += 1
        if (took := self._took.get(method)) is not None:
            seconds = perf_counter() - begun
            numbers[took + bisect_left(SECONDS, seconds)] += 1
            numbers[took + _SUM] += seconds


def _kind(streams: bool) -> str:
    return "stream" if streams else "call"


def _ending(error: BaseException) -> str:
    """Returns how a call ended that ended with this."""
    if isinstance(error, RemitError):
        return error.reason
    if isinstance(error, _HUNG_UP):
        return catalogue.CANCELLED
    return Reason.INTERNAL.value if isinstance(error, Exception) else catalogue.UNKNOWN


class CountedRecords:
    """Counts what stands on record (a `RecordsObserver`): decisions, and what happened to grants and tasks."""

    def __init__(self, numbers: "memoryview[float]", figures: Catalogue) -> None:
        place = figures.layout.place
        self._numbers = numbers
        self._refused = {reason.value: place(catalogue.DECISIONS, "refused", reason.value) for reason in Reason}
        self._took = place(catalogue.COMMIT_SECONDS)
        self._sizes = place(catalogue.COMMIT_RECORDS)
        allowed, waiting = place(catalogue.DECISIONS, "allowed", ""), place(catalogue.DECISIONS, "waiting", "")
        grants = {event: place(catalogue.GRANTS, event) for (event,) in catalogue.GRANTS.all_rows}
        tasks = {event: place(catalogue.TASKS, event) for (event,) in catalogue.TASKS.all_rows}
        self._allowed, self._again, self._issued = allowed, grants["issued_again"], grants["issued"]
        one_each: dict[str, tuple[int, ...]] = {
            GrantAuthorized.kind: (allowed, grants["authorized"]),
            AttenuationAuthorized.kind: (allowed, grants["authorized"], grants["attenuated"]),
            RenewalAuthorized.kind: (allowed,),
            CredentialsRenewed.kind: (grants["renewed"],),
            IssuanceFailed.kind: (grants["failed"],),
            GrantWithheld.kind: (grants["withheld"],),
            GrantExpired.kind: (grants["expired"],),
            TaskStarted.kind: (tasks["started"],),
            TaskDelegated.kind: (tasks["delegated"],),
            TaskEnded.kind: (tasks["ended"],),
        }
        self._one_each: Mapping[str, tuple[int, ...]] = {
            kind: (place(catalogue.RECORDS, kind), *one_each.get(kind, ())) for (kind,) in catalogue.RECORDS.all_rows
        }
        self._more: Mapping[str, Callable[[Any], tuple[int | None, int]]] = {
            RequestRefused.kind: lambda record: (self._refused.get(record.reason), 1),
            PreviewDecided.kind: lambda record: (allowed if record.allowed else self._refused.get(record.reason), 1),
            ApprovalAsked.kind: lambda record: (None if record.review else waiting, 1),
            CredentialsIssued.kind: lambda record: (self._again if record.repeated else self._issued, 1),
            GrantsRevoked.kind: lambda record: (grants["revoked"], record.grant_count),
            TaskEnded.kind: lambda record: (grants["ended"], len(record.grants)),
        }

    def __call__(self, records: Sequence[AuditRecord], seconds: float, /) -> None:
        """Counts the records of one transaction."""
        numbers = self._numbers
        numbers[self._took + bisect_left(SECONDS, seconds)] += 1
        numbers[self._took + _SUM] += seconds
        sizes = catalogue.COMMIT_RECORDS.bounds
        numbers[self._sizes + bisect_left(sizes, len(records))] += 1
        numbers[self._sizes + len(sizes) + 1] += len(records)
        for record in records:
            kind = record.kind
            for place in self._one_each.get(kind, ()):
                numbers[place] += 1
            if (more := self._more.get(kind)) is not None:
                where, count = more(record)
                if where is not None:
                    numbers[where] += count
