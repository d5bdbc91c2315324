"""Policy revisions as the gateway keeps them: published bundles, and which of them decided since when."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


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
