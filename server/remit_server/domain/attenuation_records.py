"""What is recorded of grants within grants; what is issued of them is recorded as of any other."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from remit_server.domain.audit import AuditRecord, Who


@dataclass(frozen=True, slots=True)
class AttenuationAuthorized(AuditRecord):
    """A grant was attenuated from another one: it was proven to lie within, and STS may now be called.

    It rests on no decision of its own but on `parent_grant_id`, whose session policy then was the one of
    `parent_policy_digest`; `covers` is the containment witness. `approval_id` and `break_glass` are the parent's.
    """

    kind: ClassVar[str] = "attenuation_authorized"
    who: Who
    request_id: str
    task_id: str
    grant_id: str
    parent_grant_id: str
    parent_policy_digest: str
    purpose: str
    role_arn: str
    entitlements: tuple[str, ...]
    session_policy: str
    session_policy_digest: str
    covers: tuple[str, ...]
    unguarded: tuple[str, ...]
    ceiling_digest: str
    policy_revision: str
    source_identity: str
    tags: tuple[tuple[str, str], ...]
    expire_time: datetime
    outlives_task: bool
    approval_id: str = ""
    break_glass: bool = False
