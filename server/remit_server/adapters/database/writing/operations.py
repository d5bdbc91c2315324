"""What the ledger writes, each as one operation of a batch: check, then write, and a loser returns its error.

Every state change is a compare-and-set on the states that `TRANSITIONS` allows.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Update, bindparam, exists, literal, select, update
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is also SQLite's; a test holds both to it

from remit_server.adapters.database.approvals.approving import add, not_approved
from remit_server.adapters.database.revoking.presented import is_revoked_unissued, refusal_of_presented
from remit_server.adapters.database.schema.rows import (
    GRANT_COLUMNS,
    ISSUANCE_COLUMNS,
    TASK_COLUMNS,
    grant_row,
    issuance_row,
    refusal_text,
    task_of,
    task_row,
)
from remit_server.adapters.database.schema.tables import grants, issuances, requests, single_use_tokens, tasks
from remit_server.adapters.database.writing.above import above_lost, above_stands
from remit_server.adapters.database.writing.attenuated import too_many_within
from remit_server.adapters.database.writing.batch import Batch
from remit_server.adapters.database.writing.prepared import Prepared, Row
from remit_server.application.ports import Authorization, Presented, RequestKey
from remit_server.domain.audit import AuditRecord
from remit_server.domain.decision import KeptText
from remit_server.domain.errors import Denied, Outage, Reason, Refusal, Remedy, RemitError, RequestKnown
from remit_server.domain.grant import GrantState, Issuance, sources_of
from remit_server.domain.task import GrantId, TaskId, TaskState

_REQUEST = Prepared(
    select(
        requests,
        grants.c.state.label("grant_state"),
        grants.c.task_id.label("grant_task_id"),
        grants.c.approval_id.label("grant_approval_id"),
    )
    .select_from(requests.outerjoin(grants, grants.c.grant_id == requests.c.grant_id))
    .where(requests.c.actor_id == bindparam("actor_id"), requests.c.request_id == bindparam("request_id"))
)
_TASK = Prepared(select(tasks).where(tasks.c.task_id == bindparam("task_id")))
_TOKEN = select(single_use_tokens.c.task_id, single_use_tokens.c.actor_id).where(
    single_use_tokens.c.issuer == bindparam("issuer"), single_use_tokens.c.jti == bindparam("jti")
)
_ADD_TASK = Prepared(insert(tasks).on_conflict_do_nothing().returning(tasks.c.task_id), columns=TASK_COLUMNS)
_ADD_REQUEST = Prepared(insert(requests).on_conflict_do_nothing().returning(requests.c.request_id))
_ADD_TOKEN = insert(single_use_tokens)
_ADD_GRANT = Prepared(insert(grants), columns=GRANT_COLUMNS)
_ADD_ISSUANCE = Prepared(insert(issuances), columns=ISSUANCE_COLUMNS)
_COUNT_GRANT = Prepared(
    update(tasks).where(tasks.c.task_id == bindparam("this_task")).values(grants_so_far=tasks.c.grants_so_far + 1)
)


def moves(target: GrantState) -> Update:
    """Returns the compare-and-set that moves grants to a state, from wherever that is legal."""
    legal = [literal(state.value) for state in sorted(sources_of(target))]
    return update(grants).where(grants.c.state.in_(legal)).values(state=target.value)


_AUTHORIZE_AGAIN = (
    moves(GrantState.AUTHORIZED).where(grants.c.grant_id == bindparam("this_grant")).returning(grants.c.grant_id)
)
_ISSUE = Prepared(
    moves(GrantState.ISSUED)
    .where(
        grants.c.grant_id == bindparam("this_grant"),
        grants.c.expire_time > bindparam("now"),
        exists().where(
            tasks.c.task_id == grants.c.task_id,
            tasks.c.state == TaskState.LIVE.value,
            tasks.c.end_time > bindparam("now"),
        ),
        above_stands,
    )
    .values(state_time=bindparam("now"))
    .returning(grants.c.grant_id)
)
_REMEMBER_REFUSAL = (
    update(requests)
    .where(
        requests.c.actor_id == bindparam("this_actor"),
        requests.c.request_id == bindparam("this_request"),
        requests.c.content_hash == bindparam("this_hash"),
        requests.c.refusal.is_(None),
        exists().where(grants.c.grant_id == requests.c.grant_id, grants.c.state == GrantState.FAILED.value),
    )
    .values(refusal=bindparam("why"))
)


def authorize(batch: Batch, authorization: Authorization) -> RemitError | None:
    """Writes everything of an AUTHORIZED transaction, or nothing of it."""
    known = _request(batch, authorization.key)
    if known is not None and not _may_be_tried_again(known, authorization):
        return RequestKnown()
    if lost := _lost(batch, authorization, known):
        return lost
    grant, token = authorization.grant, authorization.single_use
    if token is not None and (lost := _token_lost(batch, token, grant.task_id, grant.actor_id)):
        return lost
    waited, state = (known["grant_approval_id"], known["grant_state"]) if known else (None, None)
    if lost := not_approved(batch, authorization, waited, state):
        return lost
    if authorization.new_task is not None:
        row = task_row(authorization.new_task)
        row["grants_so_far"] += grant.state is GrantState.AUTHORIZED
        added = _ADD_TASK.first(batch.connection, row)
        if added is None:  # two random ids of 130 bits are the same: somebody's randomness is broken
            return Outage(Reason.INTERNAL, "The gateway made an id that is taken: try again.")
    _write_grant(batch, authorization, state)
    if authorization.review is not None:
        add(batch, authorization.review)
    batch.keep(authorization.basis.texts if authorization.basis else ())
    batch.append(*authorization.records)
    return None


def tie_token(batch: Batch, token: tuple[str, str], task_id: TaskId, actor_id: str) -> RemitError | None:
    """Ties a single-use token (issuer, jti) to a task and its actor, unless it is tied to another."""
    issuer, jti = token
    tie = {"issuer": issuer, "jti": jti, "task_id": task_id, "actor_id": actor_id, "write_time": batch.now}
    if (lost := _token_lost(batch, token, task_id, actor_id)) is None:
        batch.connection.execute(_ADD_TOKEN.on_conflict_do_nothing(), tie)
    return lost


def issue(batch: Batch, grant_id: GrantId, issuance: Issuance, record: AuditRecord) -> RemitError | None:
    """Moves a grant to ISSUED if it and its task are live, and adds the issuance."""
    won = _ISSUE.first(batch.connection, {"this_grant": grant_id, "now": batch.now})
    if won is None:
        return not_live()
    _ADD_ISSUANCE.run(batch.connection, issuance_row(grant_id, issuance))
    batch.append(record)
    return None


def refuse(
    batch: Batch, key: RequestKey | None, refusal: Denied | None, record: AuditRecord, kept: Sequence[KeptText]
) -> None:
    """Records a no and remembers it for its request, unless that was answered otherwise meanwhile."""
    if key is not None and refusal is not None:
        _remember(batch, key, refusal_text(refusal))
    batch.keep(kept)
    batch.append(record)


def record(batch: Batch, told: AuditRecord, kept: Sequence[KeptText], presented: Presented | None) -> RemitError | None:
    """Records what is told, unless what it was decided on was revoked or is decided otherwise by now."""
    if presented is not None and (lost := refusal_of_presented(batch.connection, presented)):
        return lost
    batch.keep(kept)
    batch.append(told)
    return None


def _request(batch: Batch, key: RequestKey) -> Row | None:
    return _REQUEST.first(batch.connection, {"actor_id": key.actor_id, "request_id": key.request_id})


def _may_be_tried_again(known: Row, authorization: Authorization) -> bool:
    """Says whether the request's own grant failed in an outage, or waited for people, and is authorized now.

    It is the same request, under the same grant.
    """
    return (
        known["refusal"] is None
        and known["grant_state"] in {GrantState.FAILED, GrantState.PENDING_APPROVAL}
        and authorization.grant.state is GrantState.AUTHORIZED
        and known["grant_id"] == authorization.grant.grant_id
        and known["grant_task_id"] == authorization.grant.task_id
        and known["content_hash"] == authorization.key.content_hash
        and authorization.new_task is None
    )


def _lost(batch: Batch, authorization: Authorization, known: Row | None) -> RemitError | None:
    """Returns what this call, or an earlier try of it, has lost by a revoke or by the end of its task, or None."""
    if refused := refusal_of_presented(batch.connection, authorization.presented):
        return refused
    tried = authorization.grant.grant_id
    if known is not None and is_revoked_unissued(batch.connection, tried, known["grant_approval_id"]):
        return not_live()
    if lost := above_lost(batch, authorization.grant.parent_grant_id, authorization.proven_within):
        return lost
    return _task_lost(batch, authorization) or too_many_within(batch, authorization)


def _task_lost(batch: Batch, authorization: Authorization) -> RemitError | None:
    """Returns why this task may not have the grant, or None."""
    if authorization.new_task is not None:
        return None
    grant = authorization.grant
    row = _TASK.first(batch.connection, {"task_id": grant.task_id})
    task = None if row is None else task_of(row)
    if task is None or not task.belongs_to(grant.subject_issuer, grant.subject_id, grant.actor_id):
        return Denied(Reason.NOT_FOUND, "There is no such task of this subject and actor.")
    return None if task.is_live(batch.now) else not_live()


def _token_lost(batch: Batch, token: tuple[str, str], task_id: TaskId, actor_id: str) -> RemitError | None:
    """Returns why the single-use token may not be used here, or None; a tie to the same task and actor is no reason."""
    issuer, jti = token
    tie = batch.connection.execute(_TOKEN, {"issuer": issuer, "jti": jti}).first()
    if tie is None or tuple(tie) == (task_id, actor_id):
        return None
    return Denied(
        Reason.TOKEN_REPLAYED,
        "This subject token is good for one task and was used for another: the user has to log in again.",
        Refusal(remedy=Remedy.REAUTHENTICATE),
    )


def _write_grant(batch: Batch, authorization: Authorization, state: str | None) -> None:
    """Writes the grant, and ties request and token to it.

    A second try takes the place of the one that failed, and what was waited for that of the one that waited; a grant
    counts for its task once it is authorized, unless it was attenuated from another one and gives nothing new.
    """
    grant, key = authorization.grant, authorization.key
    row = {**grant_row(grant), "state_time": batch.now}
    counts = authorization.new_task is None and not grant.is_attenuated
    if counts and state != GrantState.FAILED and grant.state is GrantState.AUTHORIZED:
        _COUNT_GRANT.run(batch.connection, {"this_task": grant.task_id})
    if state is not None:
        batch.connection.execute(_AUTHORIZE_AGAIN.values(**row), {"this_grant": grant.grant_id}).one()
    else:
        _ADD_GRANT.run(batch.connection, row)
        if _ADD_REQUEST.first(batch.connection, _request_row(batch, key, grant_id=grant.grant_id)) is None:
            raise RuntimeError("a request was written between its check and its write")
    if authorization.single_use is not None:
        tie_token(batch, authorization.single_use, grant.task_id, grant.actor_id)


def _remember(batch: Batch, key: RequestKey, text: str) -> None:
    """Ties the refusal to its request; one that is tied to a grant keeps it, unless that grant failed."""
    if _ADD_REQUEST.first(batch.connection, _request_row(batch, key, refusal=text)) is None:
        these = {"this_actor": key.actor_id, "this_request": key.request_id, "this_hash": key.content_hash}
        batch.connection.execute(_REMEMBER_REFUSAL, {**these, "why": text})


def _request_row(
    batch: Batch, key: RequestKey, *, grant_id: GrantId | None = None, refusal: str | None = None
) -> dict[str, Any]:
    return {
        "actor_id": key.actor_id,
        "request_id": key.request_id,
        "content_hash": key.content_hash,
        "grant_id": grant_id,
        "refusal": refusal,
        "write_time": batch.now,
    }


def not_live() -> Denied:
    """Returns the refusal of whatever needs a live task and grant."""
    return Denied(Reason.GRANT_NOT_LIVE, "The task or its grant is over: start a new task to get credentials.")
