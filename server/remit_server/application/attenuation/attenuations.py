"""How an attenuation is asked for, and how its plan becomes a grant of its own within the one it was taken from."""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from remit_server.application.attenuation.planning import Attenuation
from remit_server.application.ports import Authorization, Presented, RequestKey
from remit_server.domain.attenuation_records import AttenuationAuthorized
from remit_server.domain.audit import Who
from remit_server.domain.decision import canonical_json, permission_json
from remit_server.domain.grant import Grant, GrantState
from remit_server.domain.identity import Admitted
from remit_server.domain.session_names import GRANT_TAG
from remit_server.domain.task import GrantId, TaskId, TaskIntent


class FindGrant(Protocol):
    """Finds grants in the ledger."""

    async def grant(self, grant_id: GrantId, /) -> Grant | None:
        """Returns the grant, or None; whose it is must still be checked."""
        ...


@dataclass(frozen=True, slots=True)
class AttenuateRequest:
    """One agent's wish for a part of a live grant of its own, for one call; `request_id` makes a repeat the same."""

    by: Admitted
    request_id: str
    task_id: TaskId
    grant_id: GrantId
    intent: TaskIntent
    requested_duration: timedelta | None = None
    narrow: bool = False

    @property
    def key(self) -> RequestKey:
        """What idempotency goes by: actor and request_id, held to every field."""
        content = canonical_json(
            {
                "attenuate": [self.task_id, self.grant_id],
                "purpose": self.intent.purpose,
                "labels": dict(self.intent.labels),
                "permissions": [permission_json(permission) for permission in self.intent.permissions],
                "capabilities": [[item.name, dict(item.parameters)] for item in self.intent.capabilities],
                "duration": None if self.requested_duration is None else self.requested_duration.total_seconds(),
                "narrow": self.narrow,
            }
        )
        digest = hashlib.sha256(content.encode()).hexdigest()
        return RequestKey(self.by.actor.actor_id, self.request_id, digest)

    def who(self, grant: Grant | None) -> Who:
        """Returns subject and actor as records name them: the subject is the grant's, once that is found."""
        return Who(
            subject_issuer=grant.subject_issuer if grant else "",
            subject_id=grant.subject_id if grant else "",
            actor_id=self.by.actor.actor_id,
            peer=self.by.peer,
        )

    def presented(self, grant: Grant) -> Presented:
        """Returns what revokes and blocks are held against.

        NOTE: no revision decides, so none is held to be the active one. The user's login counts as old as the grant, so
        that a revoke since then refuses it.
        """
        return Presented(
            subject_issuer=grant.subject_issuer,
            subject_id=grant.subject_id,
            subject_token_time=grant.issue_time,
            actor_id=self.by.actor.actor_id,
            actor_token_time=self.by.actor.token_issue_time,
            policy_revision="",
        )


def authorization_of(
    request: AttenuateRequest, parent: Grant, plan: Attenuation, grant_id: GrantId, now: datetime
) -> Authorization:
    """Returns everything that the AUTHORIZED transaction writes of an attenuation: no task, and no decision."""
    grant = _grant(request, parent, plan, grant_id, now)
    record = AttenuationAuthorized(
        who=request.who(parent),
        request_id=request.request_id,
        task_id=grant.task_id,
        grant_id=grant.grant_id,
        parent_grant_id=parent.grant_id,
        parent_policy_digest=parent.session_policy_digest,
        purpose=request.intent.purpose,
        role_arn=grant.role_arn,
        entitlements=grant.entitlements,
        session_policy=grant.session_policy,
        session_policy_digest=grant.session_policy_digest,
        covers=plan.covers,
        unguarded=grant.unguarded,
        ceiling_digest=grant.ceiling_digest,
        policy_revision=grant.policy_revision,
        source_identity=grant.source_identity,
        tags=grant.tags,
        expire_time=grant.expire_time,
        outlives_task=grant.outlives_task,
        approval_id=grant.approval_id or "",
        break_glass=grant.break_glass,
    )
    return Authorization(
        key=request.key,
        presented=request.presented(parent),
        grant=grant,
        new_task=None,
        single_use=None,
        basis=None,
        records=[record],
        proven_within=parent.session_policy_digest,
    )


def _grant(request: AttenuateRequest, parent: Grant, plan: Attenuation, grant_id: GrantId, now: datetime) -> Grant:
    """Returns the narrower grant before STS is asked: whose the parent is, on its role, for the rest of its own."""
    place = f"{parent.subject_part}.{parent.task_id}.{grant_id}"
    return replace(
        parent,
        grant_id=grant_id,
        state=GrantState.AUTHORIZED,
        session_policy=plan.session_policy,
        session_policy_digest=plan.session_policy_digest,
        ceiling_digest=plan.ceiling_digest,
        tags=tuple((key, place if key == GRANT_TAG else value) for key, value in parent.tags),
        issue_time=now,
        expire_time=plan.expire_time,
        unguarded=plan.unguarded,
        outlives_task=plan.outlives_task,
        issuances=(),
        intent=request.intent,
        requested_duration=request.requested_duration,
        narrow=request.narrow,
        offline_renewal=False,
        parent_grant_id=parent.grant_id,
        parent_task_id=parent.task_id,
    )
