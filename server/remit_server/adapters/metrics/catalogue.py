"""Every figure there is. `docs/metrics.md` lists the same ones; a test holds it to this."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from remit_server.adapters.metrics.families import SECONDS, Across, Family, Kind, Layout
from remit_server.application.observing import Step
from remit_server.domain.audit_kinds import audit_kinds
from remit_server.domain.errors import Reason

OK: Final = "OK"
CANCELLED: Final = "CANCELLED"
UNKNOWN: Final = "UNKNOWN"
UNIMPLEMENTED: Final = "UNIMPLEMENTED"
OUTAGES: Final[Mapping[Reason, str]] = {
    Reason.POLICY_UNAVAILABLE: "policy",
    Reason.LEDGER_UNAVAILABLE: "ledger",
    Reason.STS_UNAVAILABLE: "sts",
    Reason.ISSUER_UNAVAILABLE: "issuer",
    Reason.INTERNAL: "gateway",
}


class Outcome(StrEnum):
    """How a step ended."""

    OK = "ok"
    REFUSED = "refused"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Backlog(StrEnum):
    """What waits in the ledger for somebody to do it."""

    DENIES = "denies"
    NOTIFICATIONS = "notifications"
    APPROVALS = "approvals"


@dataclass(frozen=True, slots=True)
class Method:
    """A method that is served, by its full name; the one without a name stands for all that are not."""

    name: str
    streams: bool = False

    @property
    def labels(self) -> tuple[str, str]:
        """Its service and its own name, as labels have them."""
        service, _, method = self.name.strip("/").rpartition("/")
        return (service.rpartition(".")[2], method) if self.name else ("other", "other")


NOT_SERVED: Final = Method("")
RUNNING: Final = Family(
    "remit_calls_running", Kind.GAUGE, "Calls that run now, streams among them.", {"kind": ("call", "stream")}
)
STEPS: Final = Family(
    "remit_steps_total",
    Kind.COUNTER,
    "Steps of calls that have ended, by their outcome.",
    {"step": tuple(Step), "outcome": tuple(Outcome)},
)
STEP_SECONDS: Final = Family(
    "remit_step_duration_seconds",
    Kind.HISTOGRAM,
    "How long steps of calls took, however they ended.",
    {"step": tuple(Step)},
    bounds=SECONDS,
)
DECISIONS: Final = Family(
    "remit_decisions_total",
    Kind.COUNTER,
    "Decisions on record, previews among them; the reason is that of a refusal.",
    {"outcome": ("allowed", "waiting", "refused"), "reason": ("", *Reason)},
    rows=(("allowed", ""), ("waiting", ""), *(("refused", reason.value) for reason in Reason)),
)
GRANTS: Final = Family(
    "remit_grants_total",
    Kind.COUNTER,
    "What happened to grants, as it stands on record.",
    {
        "event": (
            "authorized",
            "issued",
            "issued_again",
            "renewed",
            "attenuated",
            "failed",
            "withheld",
            "revoked",
            "ended",
            "expired",
        )
    },
)
TASKS: Final = Family(
    "remit_tasks_total",
    Kind.COUNTER,
    "What happened to tasks, as it stands on record.",
    {"event": ("started", "delegated", "ended")},
)
RECORDS: Final = Family(
    "remit_audit_records_total",
    Kind.COUNTER,
    "Records of the audit trail that are on disk.",
    {"kind": audit_kinds()},
)
COMMIT_SECONDS: Final = Family(
    "remit_ledger_commit_duration_seconds",
    Kind.HISTOGRAM,
    "How long a transaction of the ledger took until it was on disk.",
    bounds=SECONDS,
)
COMMIT_RECORDS: Final = Family(
    "remit_ledger_commit_records",
    Kind.HISTOGRAM,
    "How many records one transaction of the ledger had.",
    bounds=(0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0),
)
WAITING: Final = Family("remit_ledger_waiting_operations", Kind.GAUGE, "Operations that wait to be written.")
CHECKPOINTS: Final = Family(
    "remit_audit_checkpoints_total",
    Kind.COUNTER,
    "Checkpoints of the audit trail, by what came of them.",
    {"outcome": ("kept", "failed")},
)
CHECKPOINT_TIME: Final = Family(
    "remit_audit_checkpoint_timestamp_seconds",
    Kind.GAUGE,
    "When a checkpoint was last kept; 0 where this gateway process kept none.",
    across=Across.MOST,
)
CHECKPOINT_RECORDS: Final = Family(
    "remit_audit_checkpoint_records",
    Kind.GAUGE,
    "How many records the last kept checkpoint covers.",
    across=Across.MOST,
)
LENGTH: Final = Family(
    "remit_audit_trail_records", Kind.GAUGE, "How many records the audit trail has.", across=Across.MOST
)
LIVE: Final = Family(
    "remit_live_grants", Kind.GAUGE, "Grants in the ledger whose credentials work now.", across=Across.MOST
)
BACKLOG: Final = Family(
    "remit_backlog",
    Kind.GAUGE,
    "What waits in the ledger: denies that AWS is not known to obey, messages, approvals.",
    {"what": tuple(Backlog)},
    across=Across.MOST,
)
BACKLOG_AGE: Final = Family(
    "remit_backlog_oldest_seconds",
    Kind.GAUGE,
    "How long the oldest of what waits in the ledger has waited.",
    {"what": tuple(Backlog)},
    across=Across.MOST,
)
DENIED_SECONDS: Final = Family(
    "remit_revocation_effective_seconds",
    Kind.HISTOGRAM,
    "How long after a revoke AWS was known to refuse what it covers, deny by deny, as the ledger tells it.",
    bounds=(1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 900.0),
)
LOOKED: Final = Family(
    "remit_ledger_looked_timestamp_seconds",
    Kind.GAUGE,
    "When the figures that are read from the ledger were last read.",
    across=Across.MOST,
)
SPANS: Final = Family(
    "remit_spans_total",
    Kind.COUNTER,
    "Spans of traces, by what became of them.",
    {"outcome": ("sent", "dropped", "failed")},
)
CPU: Final = Family(
    "process_cpu_seconds_total",
    Kind.COUNTER,
    "CPU time of a worker process, without those it has started.",
    across=Across.EACH,
)
MEMORY: Final = Family(
    "process_resident_memory_bytes", Kind.GAUGE, "Memory of a worker process that is in RAM.", across=Across.EACH
)
STARTED: Final = Family(
    "process_start_time_seconds", Kind.GAUGE, "When a worker process began to serve.", across=Across.EACH
)
SEEN: Final = Family(
    "remit_worker_seen_timestamp_seconds", Kind.GAUGE, "When a worker last told its figures.", across=Across.EACH
)
LATE: Final = Family(
    "remit_worker_loop_delay_seconds",
    Kind.GAUGE,
    "How late a worker's event loop was with its last look at the clock.",
    across=Across.EACH,
)
_FIXED: Final = (
    RUNNING,
    STEPS,
    STEP_SECONDS,
    DECISIONS,
    GRANTS,
    TASKS,
    RECORDS,
    COMMIT_SECONDS,
    COMMIT_RECORDS,
    WAITING,
    CHECKPOINTS,
    CHECKPOINT_TIME,
    CHECKPOINT_RECORDS,
    LENGTH,
    LIVE,
    BACKLOG,
    BACKLOG_AGE,
    DENIED_SECONDS,
    LOOKED,
    SPANS,
    CPU,
    MEMORY,
    STARTED,
    SEEN,
    LATE,
)
# What is made of the others, or of what is known anyway, when somebody asks.
OUTAGES_MET: Final = Family(
    "remit_outages_total", Kind.COUNTER, "Calls that could not be answered, by what was out.", {"what": ()}
)
BUILD: Final = Family("remit_build_info", Kind.GAUGE, "Which gateway this is.", {"version": (), "python": ()})
REVISION: Final = Family(
    "remit_policy_revision_info",
    Kind.GAUGE,
    "The policy revision in force, and how many workers decide by it.",
    {"revision": ()},
)
WORKERS: Final = Family("remit_workers", Kind.GAUGE, "Worker processes that this gateway has.")
MADE: Final = (OUTAGES_MET, BUILD, REVISION, WORKERS)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every figure of a gateway that serves these methods, and where its numbers stand.

    `codes` are the gRPC codes of reasons, by which calls are counted beside them.
    """

    methods: tuple[Method, ...]
    codes: Mapping[Reason, str]
    calls: Family
    call_seconds: Family
    layout: Layout

    @classmethod
    def of(cls, methods: Sequence[Method], codes: Mapping[Reason, str]) -> Self:
        """Returns the catalogue."""
        endings = ((OK, ""), (CANCELLED, ""), (UNKNOWN, ""), *((codes[reason], reason.value) for reason in Reason))
        calls = Family(
            "remit_calls_total",
            Kind.COUNTER,
            "Calls that have ended, by method, gRPC code and reason.",
            dict.fromkeys(("service", "method", "code", "reason"), ()),
            rows=(
                *((*method.labels, *ending) for method in methods for ending in endings),
                (*NOT_SERVED.labels, UNIMPLEMENTED, ""),
            ),
            rare=True,
        )
        seconds = Family(
            "remit_call_duration_seconds",
            Kind.HISTOGRAM,
            "How long calls took the gateway, from the first look at them to their answer; not streams.",
            dict.fromkeys(("service", "method"), ()),
            rows=tuple(method.labels for method in methods if not method.streams),
            bounds=SECONDS,
            rare=True,
        )
        return cls(tuple(methods), codes, calls, seconds, Layout.of((calls, seconds, *_FIXED)))

    @property
    def families(self) -> tuple[Family, ...]:
        """Every figure that is told."""
        return (*self.layout.families, *MADE)
