"""Policy revisions as the gateway keeps them: published bundles, and which of them decided since when."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from remit_server.domain.errors import Denied, Reason


class RevisionSource(StrEnum):
    """How a revision came to the gateway."""

    OPERATOR = "OPERATOR"
    FOLDER = "FOLDER"
    SERVER = "SERVER"
    OFFLINE = "OFFLINE"


class ActivationKind(StrEnum):
    """What made a revision the active one: a source offered it, somebody chose it first, or went back to it."""

    ADOPTED = "ADOPTED"
    ACTIVATED = "ACTIVATED"
    ROLLED_BACK = "ROLLED_BACK"


@dataclass(frozen=True, slots=True)
class BundleFacts:
    """What is known of a bundle: its digest, the bytes of its files, and what stands in it.

    `built_time` is what its manifest says, `signed_by` the id of the key whose signature was verified; empty for none.
    """

    revision: str
    size: int
    built_time: datetime | None
    signed_by: str
    rule_files: int
    capabilities: int
    entitlements: int


@dataclass(frozen=True, slots=True)
class PublishedRevision:
    """A bundle that can be activated; `number` is the order of publishing, from 1."""

    number: int
    facts: BundleFacts
    publish_time: datetime
    publisher: str
    source: RevisionSource

    @property
    def revision(self) -> str:
        """Its digest."""
        return self.facts.revision


@dataclass(frozen=True, slots=True)
class Activation:
    """From `time` on this revision decides, until the next activation; `number` is its place among all, from 1."""

    number: int
    revision: str
    kind: ActivationKind
    time: datetime
    by: str
    why: str
    revocation_id: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyFinding:
    """One thing that is wrong in a bundle, or that its author hardly meant: where, what and why, and how to mend it.

    `line` counts from 1, 0 means the whole file. `rule` is the stable name of what found it; empty where it has none.
    `refuses` says that it forbids the bundle to decide; else it is advice.
    """

    path: str
    line: int
    problem: str
    mend: str
    rule: str = ""
    refuses: bool = True

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else self.path
        return f"{where}: {self.problem}. {self.mend}."


class BundleDenied(Denied):
    """The bundle may not decide; `findings` names everything that forbids it."""

    def __init__(self, findings: tuple[PolicyFinding, ...]) -> None:
        rest = len(findings) - 1
        more = f" And {rest} more." if rest > 0 else ""
        super().__init__(Reason.REVISION_REFUSED, f"this bundle may not decide: {findings[0]}{more}")
        self.findings = findings


@dataclass(frozen=True, slots=True)
class ShadowCount:
    """How often a candidate in shadow differed in one way from what was active; `example` is JSON, or empty."""

    active: str
    difference: str
    count: int
    example: str
    first_time: datetime
    last_time: datetime


@dataclass(frozen=True, slots=True)
class Shadow:
    """A candidate and what was counted of it; `start_time` is unset when it is not in shadow."""

    revision: str
    start_time: datetime | None
    counts: tuple[ShadowCount, ...] = ()
