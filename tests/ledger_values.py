"""Values that tests of the ledger write, and ways to look at what it wrote."""

from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from tests.databases import Place, asked
from tests.fakes import NOON, FakeClock

from remit_server.adapters.database.ledger import open_ledger
from remit_server.application.ports import Authorization, Presented, RequestKey
from remit_server.domain.audit import (
    CredentialsIssued,
    GrantAuthorized,
    IssuanceFailed,
    RequestRefused,
    TaskStarted,
    Who,
)
from remit_server.domain.decision import Basis, DecisionInput, KeptText
from remit_server.domain.grant import Grant, GrantState, Issuance
from remit_server.domain.identity import Actor, ActorKind
from remit_server.domain.task import GrantId, Task, TaskId, TaskState, opaque_id

__all__ = ["asked"]  # with what it asks for

P = TypeVar("P", str, Path, Place)
ISSUER = "https://login.example"
COPILOT = Actor("spiffe://example/copilot", ActorKind.SPIFFE, "spiffe://example", token_fingerprint="f" * 32)
ANOTHER = Actor("spiffe://example/another", ActorKind.SPIFFE, "spiffe://example")
WHO = Who(subject_issuer=ISSUER, subject_id="alice", actor_id=COPILOT.actor_id)


def task_id(number: int) -> TaskId:
    return TaskId(opaque_id(number.to_bytes(8, "big") + b"of-a-task"))


def grant_id(number: int) -> GrantId:
    return GrantId(opaque_id(number.to_bytes(8, "big") + b"of-a-grant"))


NAME = f"tasks/{task_id(1)}/grants/{grant_id(1)}"


def a_task(number: int = 1, **changes: Any) -> Task:
    values: dict[str, Any] = {
        "task_id": task_id(number),
        "subject_issuer": ISSUER,
        "subject_id": "alice",
        "actor_id": COPILOT.actor_id,
        "purpose": "summarise Q3",
        "labels": {"ticket": "A-1"},
        "state": TaskState.LIVE,
        "start_time": NOON,
        "end_time": NOON + timedelta(hours=1),
    }
    return Task(**{**values, **changes})


def a_grant(number: int = 1, task: int = 1, **changes: Any) -> Grant:
    values: dict[str, Any] = {
        "grant_id": grant_id(number),
        "task_id": task_id(task),
        "subject_issuer": ISSUER,
        "subject_id": "alice",
        "actor_id": COPILOT.actor_id,
        "state": GrantState.AUTHORIZED,
        "role_arn": "arn:aws:iam::111122223333:role/reports",
        "region": "eu-central-1",
        "session_policy": '{"Statement":[]}',
        "session_policy_digest": "a" * 64,
        "entitlements": ("reports-read", "reports-list"),
        "policy_revision": "b" * 64,
        "ceiling_digest": "c" * 64,
        "source_identity": "login.alice",
        "tags": (("remit:grant", "x.y.z"), ("remit:by", "p.q")),
        "issue_time": NOON,
        "expire_time": NOON + timedelta(minutes=15),
        "unguarded": ("aws:SourceVpc",),
        "outlives_task": True,
    }
    return Grant(**{**values, **changes})


def a_presented(grant: Grant | None = None, **changes: Any) -> Presented:
    """Comes with tokens that were issued a minute before noon."""
    grant = grant or a_grant()
    values: dict[str, Any] = {
        "subject_issuer": grant.subject_issuer,
        "subject_id": grant.subject_id,
        "subject_token_time": NOON - timedelta(minutes=1),
        "actor_id": grant.actor_id,
        "actor_token_time": NOON - timedelta(minutes=1),
        "policy_revision": grant.policy_revision,
    }
    return Presented(**{**values, **changes})


def a_key(
    request_id: str = "request-1", *, actor_id: str = COPILOT.actor_id, content_hash: str = "1" * 64
) -> RequestKey:
    return RequestKey(actor_id, request_id, content_hash)


def an_authorization(
    request_id: str = "request-1",
    *,
    grant: Grant | None = None,
    new_task: Task | None = None,
    single_use: tuple[str, str] | None = None,
    content_hash: str = "1" * 64,
) -> Authorization:
    """Authorizes a grant; without `new_task` its task must be there."""
    grant = grant or a_grant()
    question = DecisionInput('{"asked":"%s"}' % request_id)  # noqa: UP031 - braces
    started = [] if new_task is None else [TaskStarted(WHO, grant.task_id, new_task.purpose, new_task.end_time)]
    return Authorization(
        presented=a_presented(grant),
        key=a_key(request_id, actor_id=grant.actor_id, content_hash=content_hash),
        grant=grant,
        new_task=new_task,
        single_use=single_use,
        basis=a_basis(question),
        records=[*started, authorized_record(grant, request_id, question)],
    )


def a_basis(question: DecisionInput) -> Basis:
    """What a decision on this question rests on, with circumstances and an answer of its own."""
    of_it = question.digest[:8]
    return Basis(question, KeptText(f'{{"circumstances":"{of_it}"}}'), KeptText(f'{{"answer":"{of_it}"}}'))


def opening(number: int = 1, **changes: Any) -> Authorization:
    """Authorizes the grant of this number, which opens the task of this number, in the request of this number."""
    return an_authorization(f"request-{number}", grant=a_grant(number, number), new_task=a_task(number), **changes)


def authorized_record(grant: Grant, request_id: str, question: DecisionInput) -> GrantAuthorized:
    return GrantAuthorized(
        who=WHO,
        request_id=request_id,
        task_id=grant.task_id,
        grant_id=grant.grant_id,
        role_arn=grant.role_arn,
        entitlements=grant.entitlements,
        session_policy=grant.session_policy,
        session_policy_digest=grant.session_policy_digest,
        covers=("s3:GetObject on arn:aws:s3:::reports/* by 0",),
        unguarded=grant.unguarded,
        ceiling_digest=grant.ceiling_digest,
        input_digest=question.digest,
        policy_revision=grant.policy_revision,
        source_identity=grant.source_identity,
        tags=grant.tags,
        expire_time=grant.expire_time,
        outlives_task=grant.outlives_task,
    )


def an_issuance(number: int = 1) -> Issuance:
    return Issuance(
        access_key_id=f"ASIAEXAMPLE{number:09}",
        session_policy_digest="a" * 64,
        policy_revision="b" * 64,
        issue_time=NOON,
        expire_time=NOON + timedelta(minutes=15),
        packed_policy_percent=12,
    )


def issued_record(number: int = 1, task: int | None = None) -> CredentialsIssued:
    issuance = an_issuance(number)
    return CredentialsIssued(
        who=WHO,
        request_id=f"request-{number}",
        task_id=task_id(task or number),
        grant_id=grant_id(number),
        access_key_id=issuance.access_key_id,
        session_policy_digest=issuance.session_policy_digest,
        policy_revision=issuance.policy_revision,
        expire_time=issuance.expire_time,
        packed_policy_percent=issuance.packed_policy_percent,
        repeated=False,
    )


def failed_record(number: int = 1, state: str = "FAILED") -> IssuanceFailed:
    return IssuanceFailed(task_id(number), grant_id(number), "STS_UNAVAILABLE", state)


def refused_record(message: str = "policy says no", request_id: str = "request-1") -> RequestRefused:
    return RequestRefused(WHO, request_id, "IssueCredentials", "POLICY_DENIED", message)


def state_of(database: Place, number: int = 1) -> str:
    return str(asked(database, "SELECT state FROM grants WHERE grant_id = ?", grant_id(number))[0][0])


def kinds(database: Place) -> list[str]:
    return [kind for (kind,) in asked(database, "SELECT kind FROM audit_events ORDER BY sequence")]


async def told_story(database: P) -> P:
    """Writes a ledger of nine records about two tasks, and closes it."""
    async with open_ledger(database, FakeClock()) as ledger:
        for number in (1, 2):
            await ledger.authorize(opening(number))
            await ledger.issue(grant_id(number), an_issuance(number), issued_record(number))
            await ledger.end_task(task_id(number), COPILOT, NOON)
        await ledger.refuse(None, None, refused_record())
    return database
