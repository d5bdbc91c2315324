"""Wires what lets agents hand tasks on."""

from collections.abc import Callable

from remit_server.adapters.database.ledger import DatabaseLedger
from remit_server.adapters.database.lifecycle.delegating import DatabaseDelegations
from remit_server.adapters.system_clock import SystemClock, system_entropy
from remit_server.application.delegating.delegate_task import DelegateTask
from remit_server.bootstrap.oversight import known_names
from remit_server.config.settings import Settings
from remit_server.domain.revocation import Target, TargetKind
from remit_server.domain.task import TaskId


def let_agents_delegate(
    settings: Settings, ledger: DatabaseLedger, clock: SystemClock, called_for: Callable[[TaskId], None]
) -> DelegateTask:
    """Returns what opens tasks under tasks, for agents that can come to this gateway alone."""
    names = known_names(settings)
    return DelegateTask(
        DatabaseDelegations(ledger.store),
        ledger,
        clock,
        system_entropy,
        lambda agent: names.mistake(Target(TargetKind.ACTOR, agent)),
        settings.limits.delegation_depth,
        called_for,
    )
