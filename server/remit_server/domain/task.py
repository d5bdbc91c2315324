"""The bounded piece of work that credentials are tied to, and what it declares that it needs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NewType

from remit_server.domain.base32 import base32
from remit_server.domain.permission import Permission

TaskId = NewType("TaskId", str)
GrantId = NewType("GrantId", str)

TASK_ID_BYTES = 17  # 130 bits in 26 base32 characters; the last six bits of the 17th byte are dropped
TASK_ID = re.compile(r"[a-z2-7]{26}")
MAX_PURPOSE = 512
MAX_PERMISSIONS = 50
MAX_CAPABILITIES = 20
MAX_LABELS = 16


def opaque_id(entropy: bytes) -> str:
    """Returns 26 lower-case base32 characters (130 bits) made of at least 17 random bytes."""
    if len(entropy) < TASK_ID_BYTES:
        raise ValueError("an id is made of at least 17 random bytes")
    return base32(entropy, 26)


@dataclass(frozen=True, slots=True)
class Capability:
    """Asks for a named permission template of the catalogue with these parameters, each taken literally."""

    name: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TaskIntent:
    """What the task declares it needs. `purpose` is for people and never decides."""

    purpose: str
    permissions: tuple[Permission, ...] = ()
    capabilities: tuple[Capability, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


class TaskState(StrEnum):
    """A task is live until its end time or until somebody ends it."""

    LIVE = "LIVE"
    ENDED = "ENDED"


@dataclass(frozen=True, slots=True)
class Task:
    """A task as the ledger keeps it: whose it is, who works on it, and until when at the most.

    `parent_task_id` is the task of the agent that handed this one on, `depth` how many tasks there are above it.
    """

    task_id: TaskId
    subject_issuer: str
    subject_id: str
    actor_id: str
    purpose: str
    labels: Mapping[str, str]
    state: TaskState
    start_time: datetime
    end_time: datetime
    grants_so_far: int = 0
    parent_task_id: TaskId | None = None
    depth: int = 0

    def is_live(self, now: datetime) -> bool:
        """Says whether new credentials may still be issued for it."""
        return self.state is TaskState.LIVE and now < self.end_time

    def belongs_to(self, subject_issuer: str, subject_id: str, actor_id: str) -> bool:
        """Says whether exactly this subject and this actor work on it."""
        return (self.subject_issuer, self.subject_id, self.actor_id) == (subject_issuer, subject_id, actor_id)
