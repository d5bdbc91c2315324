"""Audit records of policy revisions: published, refused, activated, tried in shadow."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from remit_server.domain.audit import AuditRecord


@dataclass(frozen=True, slots=True)
class RevisionPublished(AuditRecord):
    """A bundle was checked and can be activated from now on."""

    kind: ClassVar[str] = "revision_published"
    signals: ClassVar[bool] = True
    revision: str
    by: str
    source: str
    size: int
    built_time: datetime | None
    signed_by: str


@dataclass(frozen=True, slots=True)
class RevisionRefused(AuditRecord):
    """A bundle was offered that may not decide; what was active stays. `code` is stable, `message` says why."""

    kind: ClassVar[str] = "revision_refused"
    revision: str
    by: str
    source: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class RevisionActivated(AuditRecord):
    """From this record on no replica issues by another revision. `revocation_id` names the revoke that went with it."""

    kind: ClassVar[str] = "revision_activated"
    signals: ClassVar[bool] = True
    revision: str
    previous: str
    activation: str
    by: str
    why: str
    revocation_id: str = ""


@dataclass(frozen=True, slots=True)
class ShadowStarted(AuditRecord):
    """A candidate decides beside the active revision from now on; answers are untouched."""

    kind: ClassVar[str] = "shadow_started"
    signals: ClassVar[bool] = True
    revision: str
    by: str


@dataclass(frozen=True, slots=True)
class ShadowStopped(AuditRecord):
    """That ended."""

    kind: ClassVar[str] = "shadow_stopped"
    signals: ClassVar[bool] = True
    revision: str
    by: str


@dataclass(frozen=True, slots=True)
class PolicyUnconfirmed(AuditRecord):
    """A process decides nothing any more: the policy's source has not confirmed it for longer than it may stay away."""

    kind: ClassVar[str] = "policy_unconfirmed"
    source: str
    revision: str
    confirmed_time: datetime | None
    limit_seconds: int


@dataclass(frozen=True, slots=True)
class PolicyConfirmed(AuditRecord):
    """It decides again: the source has confirmed the policy, or offered a newer one that was adopted."""

    kind: ClassVar[str] = "policy_confirmed"
    source: str
    revision: str
