"""What AWS must be told so that it refuses every session of what a revoke stopped, as rows of the outbox.

One pattern covers a grant, a task, a subject, an actor or a policy revision. Where a bound in time goes with it, or
where a grant has sessions of other revisions, the pattern does not cover all: those grants are denied by name, too.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, assert_never

from sqlalchemy import ColumnElement, RowMapping, and_, bindparam, exists, func, or_, select

from remit_server.adapters.database.schema.revocation_tables import denies, revocations
from remit_server.adapters.database.schema.tables import UtcTime, grants, issuances
from remit_server.adapters.database.writing.batch import Batch
from remit_server.application.revocation.lines import CLOCK_SLACK
from remit_server.domain.grant import GrantState
from remit_server.domain.revocation import DENY_ROOM, DenyTag, RevokeOrder, Target, TargetKind, opened_before
from remit_server.domain.session_names import revision_part, subject_part

NEVER: Final = datetime.min.replace(tzinfo=UTC)  # before every time guard
SHORT: Final = timedelta(seconds=120)  # credentials that end so soon are not worth a deny of their own
NAMED_AT_MOST: Final = 32  # grants that are denied by name because they are so young; for more the bound is later
OTHERS_AT_MOST: Final = 64  # grants with sessions of other revisions, by name; the others end by their time guards
_QUOTES: Final = 3  # characters around a pattern in a list of them

_of_revision = or_(
    grants.c.policy_revision == bindparam("key"),
    grants.c.grant_id.in_(
        select(issuances.c.grant_id).where(
            issuances.c.policy_revision == bindparam("key"), issuances.c.expire_time > bindparam("over_before")
        )
    ),
)
MATCHES: Final[dict[TargetKind, ColumnElement[bool]]] = {
    TargetKind.GRANT: grants.c.grant_id == bindparam("key"),
    TargetKind.TASK: grants.c.task_id == bindparam("key"),
    TargetKind.SUBJECT: and_(grants.c.subject_id == bindparam("key"), grants.c.subject_issuer == bindparam("issuer")),
    TargetKind.ACTOR: grants.c.actor_id == bindparam("key"),
    TargetKind.REVISION: _of_revision,
}
LIVE: Final = [GrantState.AUTHORIZED.value, GrantState.ISSUED.value]
is_out: Final = and_(grants.c.state == GrantState.REVOKING.value, grants.c.expire_time > bindparam("over_before"))

_NAMES: Final = (grants.c.grant_id, grants.c.task_id, grants.c.account, grants.c.subject_part, grants.c.expire_time)
# May have credentials that no issuance tells of: STS is being asked, or its answer is being recorded.
_UNSETTLED: Final = {
    kind: select(*_NAMES).where(
        matches,
        grants.c.state.in_(LIVE),
        grants.c.expire_time > bindparam("over_before"),
        or_(grants.c.state == GrantState.AUTHORIZED.value, grants.c.renewing_time.is_not(None)),
    )
    for kind, matches in MATCHES.items()
}
_OUT: Final = {
    kind: select(
        grants.c.account,
        grants.c.actor_part,
        grants.c.subject_part,
        func.min(grants.c.task_id).label("task_id"),
        func.max(grants.c.expire_time).label("until"),
        func.max(func.coalesce(grants.c.revoke_time, bindparam("now", type_=UtcTime()))).label("stopped"),
    )
    .where(matches, is_out)
    .group_by(grants.c.account, grants.c.actor_part, grants.c.subject_part)
    for kind, matches in MATCHES.items()
}
_is_its_issuance = issuances.c.grant_id == grants.c.grant_id
# Opened so lately that by AWS's clock it may be later than the bound in time.
_YOUNG: Final = {
    kind: select(*_NAMES)
    .where(matches, is_out, exists().where(_is_its_issuance, issuances.c.issue_time > bindparam("young_after")))
    .order_by(grants.c.grant_id)
    .limit(NAMED_AT_MOST + 1)
    for kind, matches in MATCHES.items()
}
_NEWEST: Final = {
    kind: select(func.max(issuances.c.issue_time)).select_from(issuances.join(grants)).where(matches, is_out)
    for kind, matches in MATCHES.items()
}
# Renewed under another revision than the one that is revoked: a session of either may be out.
_OF_OTHERS_TOO: Final = (
    select(*_NAMES)
    .where(
        MATCHES[TargetKind.REVISION],
        is_out,
        or_(
            grants.c.policy_revision != bindparam("key"),
            exists().where(
                _is_its_issuance,
                issuances.c.policy_revision != bindparam("key"),
                issuances.c.expire_time > bindparam("over_before"),
            ),
        ),
    )
    .order_by(grants.c.expire_time.desc(), grants.c.grant_id)
    .limit(OTHERS_AT_MOST)
)
# Sessions of another revision than the one that was revoked, which no deny of the grant's own name is known to refuse.
_by_name: Final = denies.alias()
has_others_out: Final = exists().where(
    _is_its_issuance,
    issuances.c.expire_time > bindparam("now"),
    revocations.c.revocation_id == grants.c.revocation_id,
    revocations.c.target == TargetKind.REVISION.value,
    issuances.c.policy_revision != revocations.c.target_key,
    ~exists()
    .where(
        _by_name.c.revocation_id == grants.c.revocation_id,
        _by_name.c.pattern == grants.c.subject_part + "." + grants.c.task_id + "." + grants.c.grant_id,
        _by_name.c.effective_time.is_not(None),
    )
    .correlate(grants),
)
_USED: Final = select(func.coalesce(func.sum(func.length(denies.c.pattern) + _QUOTES), 0)).where(
    denies.c.account == bindparam("account"), denies.c.covers_until > bindparam("now")
)


# The same was asked for since the last of these grants was stopped: a repeat tells AWS nothing new.
_ASKED_FOR: Final = (
    select(denies.c.number)
    .where(
        denies.c.account == bindparam("account"),
        denies.c.pattern == bindparam("pattern"),
        denies.c.required.is_(True),
        denies.c.covers_until >= bindparam("until"),
        denies.c.revoke_time >= bindparam("stopped"),
    )
    .limit(1)
)


def unsettled(batch: Batch, kind: TargetKind, these: dict[str, Any]) -> Sequence[RowMapping]:
    """Returns the live grants of a target for which STS may have made what no issuance tells of yet."""
    return batch.connection.execute(_UNSETTLED[kind], these).mappings().all()


def denies_of(
    batch: Batch, order: RevokeOrder, these: dict[str, Any], now: datetime, asking: Sequence[RowMapping]
) -> list[dict[str, Any]]:
    """Returns the denies that a revoke needs, which has stopped its grants; `asking` were unsettled before it did."""
    kind = order.target.kind
    if kind in {TargetKind.GRANT, TargetKind.TASK}:
        return _by_pattern(batch, order, these, now, opened_before(now))
    young = batch.connection.execute(_YOUNG[kind], {**these, "young_after": now - CLOCK_SLACK}).mappings().all()
    bound = opened_before(now)
    if len(young) > NAMED_AT_MOST:  # NOTE: a login within these few seconds finds itself denied; it may be repeated
        young, bound = [], opened_before(max(now, _newest(batch, kind, these)) + CLOCK_SLACK)
    wanted = _by_pattern(batch, order, these, now, bound)
    if not wanted:
        return []
    others = batch.connection.execute(_OF_OTHERS_TOO, these).mappings().all() if kind is TargetKind.REVISION else []
    required = {one["grant_id"]: one for one in (*young, *others)}
    wanted += [_of_one(order, now, one, required=order.cause.is_required) for one in required.values()]
    # NOTE: a session that STS opens for one of these after `now` is not covered by the bound in time. Nobody is given
    # its credentials; its own name is denied all the same.
    wanted += [_of_one(order, now, one, required=False) for one in asking if one["grant_id"] not in required]
    return wanted


def _newest(batch: Batch, kind: TargetKind, these: dict[str, Any]) -> datetime:
    newest: datetime | None = batch.connection.execute(_NEWEST[kind], these).scalar()
    return newest or NEVER


def _by_pattern(
    batch: Batch, order: RevokeOrder, these: dict[str, Any], now: datetime, bound: datetime
) -> list[dict[str, Any]]:
    """Returns the deny of the target's own pattern, for each account where its credentials may still work."""
    required, found = order.cause.is_required, dict[tuple[str, str, str], tuple[datetime, datetime]]()
    for account, actor, subject, task_id, *times in batch.connection.execute(_OUT[order.target.kind], these).all():
        place = (account, *_pattern(order.target, actor, subject, task_id))
        earlier = found.get(place, tuple(times))
        found[place] = (max(times[0], earlier[0]), max(times[1], earlier[1]))
    is_lasting = order.target.kind in {TargetKind.GRANT, TargetKind.TASK}  # it never issues again
    return [
        _deny(
            order,
            now,
            account=account,
            pattern=pattern,
            subject=subject,
            until=until,
            required=required,
            bound=None if is_lasting else bound,
        )
        for (account, pattern, subject), (until, stopped) in sorted(found.items())
        if (required and not _was_asked_for(batch, account, pattern, until=until, stopped=stopped))
        or (not required and until - now > SHORT and _has_room(batch, account, now))
    ]


def _was_asked_for(batch: Batch, account: str, pattern: str, *, until: datetime, stopped: datetime) -> bool:
    """Says whether a deny in the outbox covers the same sessions already, and has to be written as well."""
    these = {"account": account, "pattern": pattern, "until": until, "stopped": stopped}
    return batch.connection.execute(_ASKED_FOR, these).first() is not None


def _pattern(target: Target, actor: str, subject: str, task_id: str) -> tuple[str, str]:
    """Returns the pattern of a target's sessions, and the subject part that it starts with, if it does."""
    match target.kind:
        case TargetKind.GRANT:
            return f"{subject}.{task_id}.{target.key}", subject
        case TargetKind.TASK:
            return f"{subject}.{target.key}.*", subject
        case TargetKind.SUBJECT:
            return f"{subject_part(target.issuer, target.key)}.*", subject_part(target.issuer, target.key)
        case TargetKind.ACTOR:
            return f"{actor}.*", ""
        case TargetKind.REVISION:
            return f"*.{revision_part(target.key)}", ""
        case _:
            assert_never(target.kind)


def _has_room(batch: Batch, account: str, now: datetime) -> bool:
    """Says whether a quarter of the room in an account's policies is free: the rest of it is for what matters more."""
    used: int = batch.connection.execute(_USED, {"account": account, "now": now}).scalar_one()
    return used < DENY_ROOM * 3 // 4


def denies_of_grants(order: RevokeOrder, now: datetime, found: Sequence[RowMapping]) -> list[dict[str, Any]]:
    """Returns a deny of each of these grants by its own name, which has to be written."""
    return [_of_one(order, now, one, required=True) for one in found]


def _of_one(order: RevokeOrder, now: datetime, grant: RowMapping, *, required: bool) -> dict[str, Any]:
    """Returns the deny of one grant by its own name."""
    pattern = f"{grant['subject_part']}.{grant['task_id']}.{grant['grant_id']}"
    return _deny(
        order,
        now,
        account=grant["account"],
        pattern=pattern,
        subject=grant["subject_part"],
        until=grant["expire_time"],
        required=required,
        bound=None,
    )


def _deny(
    order: RevokeOrder,
    now: datetime,
    *,
    account: str,
    pattern: str,
    subject: str,
    until: datetime,
    required: bool,
    bound: datetime | None,
) -> dict[str, Any]:
    """Returns the row of one deny."""
    return {
        "revocation_id": order.revocation_id,
        "account": account,
        "tag": (DenyTag.GRANT if subject else DenyTag.BY).value,
        "pattern": pattern,
        "subject_part": subject,
        "issued_before": bound,
        "last_issued": now,
        "covers_until": until,
        "required": required,
        "revoke_time": now,
    }
