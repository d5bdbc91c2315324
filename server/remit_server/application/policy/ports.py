"""What the use cases of policy revisions need from outside."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from remit_server.application.ports import Revision
from remit_server.domain.decision import Decision, DecisionInput, KeptText
from remit_server.domain.policy_revision import (
    Activation,
    BundleFacts,
    PolicyFinding,
    PublishedRevision,
    RevisionSource,
    Shadow,
    ShadowCount,
)


@dataclass(frozen=True, slots=True)
class NewRevision:
    """A bundle that was checked: what is known of it, and its files as one archive."""

    facts: BundleFacts
    archive: bytes


@dataclass(frozen=True, slots=True)
class Examined:
    """What is known of an archive that was offered: its revision, empty when it could not be read, and every finding.

    `new` is what can be published; None when a finding refuses it.
    """

    revision: str
    findings: tuple[PolicyFinding, ...]
    new: NewRevision | None

    @property
    def refusing(self) -> tuple[PolicyFinding, ...]:
        """What forbids it to decide."""
        return tuple(finding for finding in self.findings if finding.refuses)


class ExamineBundle(Protocol):
    """Does with an archive everything that this gateway does before it decides by one."""

    async def __call__(self, archive: bytes, /) -> Examined:
        """Returns what was found; nothing that stands in the archive is a failure. Raises Outage.

        Whoever goes away takes the work with them.
        """
        ...


@dataclass(frozen=True, slots=True)
class ActivationOrder:
    """Asks that a published revision decide.

    `revoke_issued` revokes what the revision before issued and blocks it. `expected_active` is what must be active
    now, `only_back` demands a revision that was active before. `adopted` says that a source offered it, not a person:
    then exactly `expected_active` must be active (empty: none), and it must not have been active before.
    """

    revision: str
    by: str
    why: str
    revoke_issued: bool = False
    expected_active: str = ""
    only_back: bool = False
    adopted: bool = False


@dataclass(frozen=True, slots=True)
class Activated:
    """What an order did: the activation that is now the last, what decided before, and how many grants it revoked."""

    activation: Activation
    previous: str
    revoked_grants: int
    changed: bool


class Revisions(Protocol):
    """The published revisions and which of them decides. Each call is one transaction, as the ledger's are.

    Each raises Outage(LEDGER_UNAVAILABLE | OVERLOADED) when it could not be done.
    """

    async def publish(self, new: NewRevision, /, *, by: str, source: RevisionSource) -> tuple[PublishedRevision, bool]:
        """Keeps a bundle, and returns it as it is kept and whether it is new; puts it on record when it is."""
        ...

    async def matching(self, digits: str, /) -> Sequence[PublishedRevision]:
        """Returns the revisions whose digests begin so, two at the most."""
        ...

    async def archive(self, revision: str, /) -> bytes | None:
        """Returns the files of a revision as they were published, or None."""
        ...

    async def listed(self, *, before: int | None, limit: int) -> Sequence[PublishedRevision]:
        """Returns revisions, newest first: those with a lower number than `before`."""
        ...

    async def activations(self, revision: str | None, /, *, limit: int) -> Sequence[Activation]:
        """Returns activations, newest first: of one revision, or of all."""
        ...

    async def blocks(self, revisions: Sequence[str], /) -> Mapping[str, str]:
        """Returns which of these revisions are blocked, and by which block."""
        ...

    async def active(self) -> Activation | None:
        """Returns the last activation, or None before the first."""
        ...

    async def activate(self, order: ActivationOrder, /) -> Activated:
        """Makes a revision the one that decides: from the commit on no replica authorizes by another.

        The one that is active already is left so, and `changed` says it. Whether the revision may decide here is for
        `Prepare` to say before.
        Raises Denied(NOT_FOUND) for what was not published, Denied(REVISION_REFUSED) for what was never active where
        that is asked for, what is blocked, or what is older and adopted; Denied(REVISION_CHANGED) when another than
        `expected_active` is active, and when a revoke is asked for of what was active before an active one.
        """
        ...


class Prepare(Protocol):
    """Makes ready for a revision before it is activated: on this process it then decides at once."""

    async def __call__(self, revision: str, /) -> None:
        """Returns once a published revision is loaded, fits this gateway's roles, and has refused strangers.

        Raises Denied(NOT_FOUND), Denied(REVISION_REFUSED) with everything that forbids it to decide here, or Outage.
        """
        ...


class Shadows(Protocol):
    """Which candidate decides beside the active revision, and what was counted of it.

    Each raises Outage(LEDGER_UNAVAILABLE | OVERLOADED) when it could not be done.
    """

    async def start(self, revision: str, /, *, by: str) -> None:
        """Puts a published revision into shadow, in place of another one; raises Denied(NOT_FOUND).

        At a repeat nothing changes.
        """
        ...

    async def stop(self, *, by: str) -> str:
        """Ends the shadow and returns which revision was in it; empty when none was."""
        ...

    async def shown(self, revision: str | None, /) -> Shadow | None:
        """Returns a candidate with its counts, or the one in shadow; None when nothing is known of it."""
        ...


class ShadowCounting(Protocol):
    """Which candidate is in shadow, and the counts of every process. Raises Outage when it could not be done."""

    async def candidate(self) -> str:
        """Returns which revision is in shadow; empty for none."""
        ...

    async def add(self, candidate: str, counts: Sequence[ShadowCount], /) -> None:
        """Adds counts to those that are kept; the example that was kept first stays."""
        ...


class Judge(Protocol):
    """One revision that decides beside the active one: for simulations, replays and shadows."""

    @property
    def revision(self) -> Revision:
        """Which revision, and its capabilities."""
        ...

    async def decide(self, question: DecisionInput, /) -> Decision:
        """Returns its complete decision; raises Outage(POLICY_UNAVAILABLE) for anything else, and OVERLOADED."""
        ...


class OpenJudge(Protocol):
    """Loads a published revision beside the active one."""

    def __call__(self, revision: str, /, *, workers: int = 1) -> AbstractAsyncContextManager[Judge]:
        """Gives the judge while the block runs; with one worker it may share an engine that is warm already.

        Raises Denied(NOT_FOUND) for what was not published, Denied(REVISION_REFUSED) for what no engine takes, and
        Outage(OVERLOADED) when as many judges are open in this process as may be.
        """
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was really answered: a session policy on a role, or a refusal's reason.

    `waits` says that people were asked before anything was issued.
    """

    role_arn: str = ""
    entitlements: tuple[str, ...] = ()
    session_policy: str = ""
    reason: str = ""
    message: str = ""
    waits: bool = False


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """One real decision as the records tell it. Texts that were erased, or were not kept yet then, are None.

    `sequence` is its record's place in the chain, `input_digest` names its question also where that was erased.
    `erased` says that texts are missing which were kept once; without `circumstances` it is else of a time before those
    were kept. Previews are no real decisions and never among them.
    """

    sequence: int
    time: datetime
    kind: str
    subject_issuer: str
    subject_id: str
    actor_id: str
    policy_revision: str
    ceiling_digest: str
    question: DecisionInput | None
    circumstances: KeptText | None
    decision: KeptText | None
    outcome: Outcome
    task_id: str = ""
    input_digest: str = ""
    erased: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the audit trail, by the places of its first and last record."""

    first: int
    last: int

    @property
    def records(self) -> int:
        """How many records of any kind it has."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Page:
    """Decisions in the order of their records, and up to which record they are all there are."""

    through: int
    decisions: tuple[RecordedDecision, ...]


class History(Protocol):
    """The real decisions that are on record. Each call raises Outage(LEDGER_UNAVAILABLE) when it could not be done."""

    async def span(self, since: datetime, /, *, most: int) -> Span | None:
        """Returns where the newest `most` decisions since then stand; None where there is no record since then."""
        ...

    def decisions(self, span: Span, /) -> AsyncIterator[Page]:
        """Yields the decisions of a part of the trail, oldest first."""
        ...

    async def ceilings(self, digest: str, /) -> KeptText | None:
        """Returns the ceilings that records name so, None where they were erased or never kept."""
        ...
