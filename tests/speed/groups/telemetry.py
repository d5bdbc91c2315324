"""What it costs that somebody looks on: a call, a step and a commit, as they are counted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.ledger_values import issued_record
from tests.metrics_world import figures_of
from tests.speed.rows import Group, Row

from remit_server.application.observing import Step
from remit_server.domain.errors import Denied, Reason

ISSUE = "/remit.v1.CredentialService/IssueCredentials"
NO = Denied(Reason.POLICY_DENIED, "no")


@contextmanager
def called(error: BaseException | None) -> Iterator[Callable[[], object]]:
    """A call that ends."""
    (figures,) = figures_of()
    calls = figures.calls

    def work() -> None:
        calls.call_ends(ISSUE, calls.call_begins(ISSUE, str), error)

    yield work


@contextmanager
def stepped() -> Iterator[Callable[[], object]]:
    """A step that ends well."""
    (figures,) = figures_of()
    steps = figures.steps
    yield lambda: steps.ends(Step.STS, steps.begins(Step.STS), None)


@contextmanager
def recorded() -> Iterator[Callable[[], object]]:
    """A commit of two records."""
    (figures,) = figures_of()
    records = [issued_record(1), issued_record(2)]
    yield lambda: figures.records(records, 0.001)


GROUP = Group(
    rows=(
        Row("counting a call that is answered", lambda: called(None)),
        Row("counting a call that is refused", lambda: called(NO)),
        Row("counting a step", stepped),
        Row("counting a commit of two records", recorded),
    ),
)
