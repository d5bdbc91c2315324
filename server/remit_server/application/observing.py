"""Who looks on while calls run, and sees neither what they carry nor what they say: figures, traces, or nobody."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from remit_server.domain.audit import AuditRecord

T = TypeVar("T")


class Step(StrEnum):
    """What a call goes through, in this order; a call needs not all of them, and may come back to some."""

    VERIFY = "verify"
    DECIDE = "decide"
    PLAN = "plan"
    RECORD = "record"
    STS = "sts"


class Observer(Protocol):
    """Is told when something begins and how it ends; never of whom or for what. It raises nothing and never waits."""

    def begins(self, what: Step, /) -> Any:
        """Is told that a step of the call that is running begins; returns what `ends` is to be given."""
        ...

    def ends(self, what: Step, begun: Any, error: BaseException | None, /) -> None:
        """Is told that the step is over."""
        ...


class CallObserver(Protocol):
    """Is told of calls by the full name of their method, as an `Observer` is of steps."""

    def call_begins(self, method: str, traceparent: Callable[[], str], /) -> Any:
        """Is told that a call begins. `traceparent` returns that header: the caller's word, and empty if there is none.

        A method that is not served has an empty name.
        """
        ...

    def call_ends(self, method: str, begun: Any, error: BaseException | None, /) -> None:
        """Is told that the call is over, for the gateway: with its answer, or with this failure."""
        ...


class RecordsObserver(Protocol):
    """Is told of records once they are on disk."""

    def __call__(self, records: Sequence[AuditRecord], seconds: float, /) -> None:
        """Takes the records of one transaction, which took so long."""
        ...


async def observed(observer: Observer, step: Step, work: Awaitable[T]) -> T:
    """Returns the outcome of a step while an observer looks on."""
    begun = observer.begins(step)
    try:
        outcome = await work
    except BaseException as error:
        observer.ends(step, begun, error)
        raise
    observer.ends(step, begun, None)
    return outcome


@dataclass(frozen=True, slots=True)
class BothOfSteps:
    """Two observers of steps as one."""

    one: Observer
    other: Observer

    def begins(self, what: Step, /) -> tuple[Any, Any]:
        """Tells both."""
        return self.one.begins(what), self.other.begins(what)

    def ends(self, what: Step, begun: tuple[Any, Any], error: BaseException | None, /) -> None:
        """Tells both."""
        self.one.ends(what, begun[0], error)
        self.other.ends(what, begun[1], error)


@dataclass(frozen=True, slots=True)
class BothOfCalls:
    """Two observers of calls as one."""

    one: CallObserver
    other: CallObserver

    def call_begins(self, method: str, traceparent: Callable[[], str], /) -> tuple[Any, Any]:
        """Tells both."""
        return self.one.call_begins(method, traceparent), self.other.call_begins(method, traceparent)

    def call_ends(self, method: str, begun: tuple[Any, Any], error: BaseException | None, /) -> None:
        """Tells both."""
        self.one.call_ends(method, begun[0], error)
        self.other.call_ends(method, begun[1], error)
