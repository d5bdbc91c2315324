"""Grants as the security side reads them: one, or a page of those that a filter means and the caller sees."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, assert_never

from sqlalchemy import Connection, Select, and_, false, func, not_, or_, select, true

from remit_server.adapters.database.reading.lookup import Condition, LookUp, Lookup, by_any_index
from remit_server.adapters.database.reading.own_reader import Reads
from remit_server.adapters.database.schema.rows import grant_of
from remit_server.adapters.database.schema.tables import grants, issuances
from remit_server.adapters.database.trail.trail import events_behind, events_of
from remit_server.adapters.database.writing.prepared import Row
from remit_server.application.oversight.ports import Change, Place
from remit_server.domain.administration import Scope, Visibility
from remit_server.domain.grant import Grant
from remit_server.domain.grant_filter.terms import AllOf, AnyOf, Comparison, Filter, IsSet, Not, Operator

_COLUMNS: Final[Mapping[str, Any]] = {
    "task_id": grants.c.task_id,
    "subject.issuer": grants.c.subject_issuer,
    "subject.id": grants.c.subject_id,
    "actor": grants.c.actor_id,
    "state": grants.c.state,
    "role_arn": grants.c.role_arn,
    "policy_revision": grants.c.policy_revision,
    "break_glass": grants.c.break_glass,
    "issue_time": grants.c.issue_time,
    "expire_time": grants.c.expire_time,
    "revoke_time": grants.c.revoke_time,
}
# Records after which a grant stands otherwise than before.
CHANGES: Final = (
    "approval_asked",
    "approval_closed",
    "approval_decided",
    "credentials_issued",
    "credentials_renewed",
    "denial_effective",
    "grant_expired",
    "grant_withheld",
    "grants_revoked",
    "issuance_failed",
    "task_ended",
)
RECORDS_AT_ONCE: Final = 100
READ_AT_ONCE: Final = 500
MOST_OF_A_RECORD: Final = 2000
_NEWEST_FIRST: Final = (grants.c.issue_time.desc(), grants.c.grant_id.desc())


@dataclass(frozen=True, slots=True)
class DatabaseGrants:
    """Reads grants (implements `application.oversight.ports.GrantShelf`)."""

    reads: Reads

    async def grant(self, grant_id: str, /) -> Grant | None:
        """Returns the grant, or None; whether the caller sees it must still be checked."""
        found = await self.reads.read(partial(read_grants, select(grants).where(grants.c.grant_id == grant_id)))
        return found[0] if found else None

    async def of_task(self, task_id: str, at_most: int, /) -> Sequence[Grant]:
        """Returns the grants of a task, newest first, at most so many."""
        query = select(grants).where(grants.c.task_id == task_id).order_by(*_NEWEST_FIRST).limit(at_most)
        return await self.reads.read(partial(read_grants, query))

    async def page(
        self, wanted: Filter | None, visibility: Visibility, /, *, at_most: int, after: Place | None = None
    ) -> Sequence[Grant]:
        """Returns the newest grants that are wanted and visible; `after` is the place of the last one seen."""
        return await self.reads.read(
            partial(read_page, wanted=wanted, visibility=visibility, at_most=at_most, after=after)
        )

    async def changes(self, after: int, until: int, /) -> tuple[int, Sequence[Change]]:
        """Returns the grants that records after one place in the chain tell of, as they stand now, and up to where."""
        return await self.reads.read(partial(_changes, after, until))


def read_page(
    connection: Connection, wanted: Filter | None, visibility: Visibility, *, at_most: int, after: Place | None = None
) -> list[Grant]:
    """Returns the grants of a page.

    NOTE: where many grants have one value, SQLite would take that value's index and sort them all, for seconds.
    """
    look_up = Lookup(connection) if connection.dialect.name == "sqlite" else by_any_index
    return read_grants(page_query(wanted, visibility, at_most=at_most, after=after, look_up=look_up), connection)


def page_query(
    wanted: Filter | None,
    visibility: Visibility,
    *,
    at_most: int,
    after: Place | None = None,
    look_up: LookUp = by_any_index,
) -> Select[Any]:
    """Returns the query of a page; whatever came from a caller is a bound parameter of it."""
    conditions = [_visible(visibility, look_up)]
    if wanted is not None:
        conditions.append(condition_of(wanted, look_up))
    if after is not None:
        earlier = and_(grants.c.issue_time == after.time, grants.c.grant_id < after.key)
        # NOTE: the first half alone bounds the walk along the index; databases do not see that in the second.
        conditions += [grants.c.issue_time <= after.time, or_(grants.c.issue_time < after.time, earlier)]
    return select(grants).where(*conditions).order_by(*_NEWEST_FIRST).limit(at_most)


def condition_of(wanted: Filter, look_up: LookUp = by_any_index) -> Condition:
    """Returns a filter as a condition that is true or false for every grant, never unknown."""
    match wanted:
        case Comparison():
            return _comparison(wanted, look_up)
        case IsSet(field):
            return _is_set(field)
        case Not(term):
            return not_(condition_of(term, look_up))
        case AllOf(terms):
            return and_(*(condition_of(term, look_up) for term in terms))
        case AnyOf(terms):
            return or_(*(condition_of(term, look_up) for term in terms))
        case _:
            assert_never(wanted)


def _is_set(field: str) -> Condition:
    column: Condition = _COLUMNS[field].is_not(None)
    return column


def _comparison(wanted: Comparison, look_up: LookUp) -> Condition:
    """Returns one comparison, by the column's own type."""
    if wanted.operator is Operator.HAS:
        return _has(wanted.field, str(wanted.value))
    column = _COLUMNS[wanted.field]
    if wanted.operator is Operator.EQUAL and isinstance(wanted.value, str):
        return look_up(column, [wanted.value])
    compared: Condition = _COMPARE[wanted.operator](column, wanted.value)
    if not column.nullable:
        return compared
    if wanted.operator is Operator.UNEQUAL:
        return or_(column.is_(None), compared)
    return and_(column.is_not(None), compared)


_COMPARE: Final[Mapping[Operator, Callable[[Any, Any], Any]]] = {
    Operator.EQUAL: lambda column, value: column == value,
    Operator.UNEQUAL: lambda column, value: column != value,
    Operator.LESS: lambda column, value: column < value,
    Operator.GREATER: lambda column, value: column > value,
    Operator.AT_MOST: lambda column, value: column <= value,
    Operator.AT_LEAST: lambda column, value: column >= value,
}


def _has(field: str, value: str) -> Condition:
    """Returns whether one of a grant's several values is this one."""
    if field == "access_key_id":
        return grants.c.grant_id.in_(select(issuances.c.grant_id).where(issuances.c.access_key_id == value))
    # NOTE: no LIKE, which takes one case for the other in SQLite. A quote inside of a value is escaped in the list, so
    # the quoted value stands there as a whole item only.
    return func.replace(grants.c.entitlements, json.dumps(value), "") != grants.c.entitlements


def _visible(visibility: Visibility, look_up: LookUp) -> Condition:
    """Returns whether the caller sees a grant."""
    if visibility.everything:
        return true()
    seen = [_in_scope(scope, look_up) for scope in visibility.scopes]
    if visibility.own is not None:
        issuer, subject = visibility.own
        seen.append(and_(grants.c.subject_issuer == issuer, grants.c.subject_id == subject))
    return or_(false(), *seen)


def _in_scope(scope: Scope, look_up: LookUp) -> Condition:
    """Returns whether a grant lies in a scope."""
    named = (
        (grants.c.account, scope.accounts),
        (grants.c.role_arn, scope.roles),
        (grants.c.actor_id, scope.actors),
        (grants.c.subject_issuer, scope.subject_issuers),
    )
    return and_(true(), *(look_up(column, sorted(values)) for column, values in named if values))


def read_grants(query: Select[Any], connection: Connection) -> list[Grant]:
    """Returns the grants of a query with their issuances, which are read at once for all of them."""
    rows: list[Row] = [dict(row) for row in connection.execute(query).mappings()]
    issued: defaultdict[str, list[Row]] = defaultdict(list)
    if rows:
        of_these = issuances.c.grant_id.in_([row["grant_id"] for row in rows])
        for row in connection.execute(select(issuances).where(of_these).order_by(issuances.c.number)).mappings():
            issued[row["grant_id"]].append(dict(row))
    return [grant_of(row, issued[row["grant_id"]]) for row in rows]


def _changes(after: int, until: int, connection: Connection) -> tuple[int, Sequence[Change]]:
    """Reads the grants of a bounded number of records: each once, at the last record that tells of it."""
    events = events_of(events_behind(after, until, CHANGES, RECORDS_AT_ONCE), connection)
    reached = events[-1].sequence if len(events) == RECORDS_AT_ONCE else until
    told: dict[str, int] = {}
    for event in events:
        for grant_id in _grants_told_of(json.loads(event.body_text), connection):
            told.pop(grant_id, None)
            told[grant_id] = event.sequence
    names = list(told)
    found: dict[str, Grant] = {}
    for start in range(0, len(names), READ_AT_ONCE):
        part = names[start : start + READ_AT_ONCE]
        found |= {
            grant.grant_id: grant
            for grant in read_grants(select(grants).where(grants.c.grant_id.in_(part)), connection)
        }
    return reached, [Change(found[name], sequence) for name, sequence in told.items() if name in found]


def _grants_told_of(record: Mapping[str, Any], connection: Connection) -> list[str]:
    """Returns the ids of the grants that a record is about; of a large revoke, the first 2,000."""
    if grant_id := record.get("grant_id"):
        return [str(grant_id)]
    revocations = record.get("revocations") or [record.get("revocation_id", "")]
    conditions: list[Condition] = []
    if any(revocations):
        conditions.append(grants.c.revocation_id.in_([str(one) for one in revocations]))
    if names := record.get("grants"):
        conditions.append(grants.c.grant_id.in_([str(name).rpartition("/")[2] for name in names[:MOST_OF_A_RECORD]]))
    if approval_id := record.get("approval_id"):
        conditions.append(grants.c.approval_id == str(approval_id))
    if not conditions:
        return []
    query = select(grants.c.grant_id).where(or_(*conditions)).order_by(grants.c.grant_id).limit(MOST_OF_A_RECORD)
    return [str(name) for name in connection.execute(query).scalars()]
