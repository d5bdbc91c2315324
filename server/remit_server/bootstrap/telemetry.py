"""Wires who looks on at the gateway: figures and traces. Where nobody does, nothing stands between its parts."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final

from remit_server.adapters.database.ledger import DatabaseLedger
from remit_server.adapters.database.reading.own_reader import own_reader
from remit_server.adapters.database.writing.group_commit import GroupCommit
from remit_server.adapters.metrics import catalogue
from remit_server.adapters.metrics.catalogue import Catalogue, Method
from remit_server.adapters.metrics.cells import Cells
from remit_server.adapters.metrics.figures import Figures
from remit_server.adapters.metrics.ledger_figures import CountedCheckpoints, LedgerFigures
from remit_server.adapters.metrics.telling import Telling
from remit_server.adapters.observed import (
    ObservedCommit,
    ObservedDeliberation,
    ObservedPolicy,
    ObservedSts,
    ObservedVerification,
)
from remit_server.adapters.policy.activation.active import ActivePolicy
from remit_server.adapters.system_clock import SystemClock
from remit_server.application.observing import BothOfCalls, BothOfSteps, CallObserver, Observer, RecordsObserver
from remit_server.application.oversight.keep_checkpoints import Keep
from remit_server.application.planning.ceilings import Ceilings
from remit_server.application.planning.deliberation import Deliberation
from remit_server.application.ports import AssumeRole, Policy, VerifyDelegation
from remit_server.bootstrap.background import in_background
from remit_server.config.settings import Settings
from remit_server.config.telemetry.settings import TracingSettings
from remit_server.transport.grpc.methods import code_names, served_methods
from remit_server.transport.http.metrics import metrics_routes
from remit_server.transport.http.server import HttpServer

GRACE: Final = timedelta(seconds=2)  # for a scrape that runs at a stop
_READS_THE_LEDGER: Final = 1  # the worker that does it for all


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Who looks on: at steps, at calls, at records."""

    figures: Figures | None = None
    steps: Observer | None = None
    calls: CallObserver | None = None

    @property
    def records(self) -> RecordsObserver | None:
        """Who is told of records."""
        return None if self.figures is None else self.figures.records

    @property
    def commits(self) -> Callable[..., GroupCommit]:
        """What makes the ledger's writer."""
        return GroupCommit if self.steps is None else partial(ObservedCommit, onlooker=self.steps)

    def verification(self, verify: VerifyDelegation) -> VerifyDelegation:
        """Returns what verifies delegations, as it is looked on."""
        return verify if self.steps is None else ObservedVerification(verify, self.steps)

    def policy(self, policy: Policy) -> Policy:
        """Returns what decides on agents' calls, as it is looked on."""
        return policy if self.steps is None else ObservedPolicy(policy, self.steps)

    def deliberation(self, ceilings: Ceilings) -> Deliberation:
        """Returns what plans, as it is looked on."""
        return Deliberation(ceilings) if self.steps is None else ObservedDeliberation(ceilings, observer=self.steps)

    def sts(self, sts: AssumeRole) -> AssumeRole:
        """Returns what asks AWS for agents' sessions, as it is looked on."""
        return sts if self.steps is None else ObservedSts(sts, self.steps)

    def checkpoints(self, keep: Keep) -> Keep:
        """Returns what keeps checkpoints, as it is counted."""
        return keep if self.figures is None else CountedCheckpoints(keep, self.figures)

    async def tell(
        self,
        stack: AsyncExitStack,
        settings: Settings,
        ledger: DatabaseLedger,
        policy: ActivePolicy,
        clock: SystemClock,
    ) -> str | None:
        """Tells the figures until the stack is left, and returns at which address; None where nobody counts.

        Raises RuntimeError when it cannot listen there, OSError when its certificate cannot be read.
        """
        figures, chosen = self.figures, settings.metrics
        if figures is None or chosen is None:
            return None
        figures.waiting = lambda: ledger.store.commit.waiting
        figures.revision = lambda: policy.active.digest
        if figures.worker == _READS_THE_LEDGER:
            password_file = settings.database_password_file
            reads = await stack.enter_async_context(own_reader(settings.database_url, password_file=password_file))
            in_background(stack, LedgerFigures(reads, figures, clock)(), "figures of the ledger")
        in_background(stack, figures.keep_looking(), "figures")
        routes = metrics_routes(Telling(figures.cells, figures.catalogue), figures.look, chosen.token)
        http = HttpServer(chosen.listener, routes)
        address = await http.start()
        stack.push_async_callback(http.stop, GRACE)
        return address


def look_on(stack: AsyncExitStack, settings: Settings, worker: int, cells: Cells | None) -> Telemetry:
    """Returns who looks on until the stack is left, as it is configured; `cells` are those of the whole gateway.

    Raises RuntimeError where traces are wanted and what makes them is not installed.
    """
    figures = None
    if settings.metrics is not None:
        methods = [Method(name, streams) for name, streams in served_methods()]
        figures = Figures(cells or Cells.of(1), worker, Catalogue.of(methods, code_names()))
    if settings.tracing is None:
        return Telemetry() if figures is None else Telemetry(figures, figures.steps, figures.calls)
    tracing = _tracing(stack, settings.tracing, worker, figures)
    if figures is None:
        return Telemetry(None, tracing, tracing)
    return Telemetry(figures, BothOfSteps(figures.steps, tracing), BothOfCalls(figures.calls, tracing))


def _tracing(stack: AsyncExitStack, chosen: TracingSettings, worker: int, figures: Figures | None) -> Any:
    """Starts to send traces until the stack is left, and returns what makes them; raises RuntimeError."""
    try:  # an extra of its own, which takes a tenth of a second to load
        from remit_server.adapters.tracing.outbox import Collector, Outbox  # noqa: PLC0415
        from remit_server.adapters.tracing.tracing import Tracing  # noqa: PLC0415
    except ImportError as missing:
        why = "[tracing] is configured, and what makes traces is not installed"
        raise RuntimeError(f"{why}: pip install 'remit[server,tracing]', or remove the table") from missing

    def told(outcome: str, count: int) -> None:
        if figures is not None:
            figures.add(catalogue.SPANS, count, outcome)

    collector = Collector(chosen)
    outbox = Outbox(collector, told)
    stack.push_async_callback(collector.close)
    stack.push_async_callback(outbox.close)
    in_background(stack, outbox.keep_sending(), "traces")
    return Tracing.into(outbox, chosen, worker, code_names())
