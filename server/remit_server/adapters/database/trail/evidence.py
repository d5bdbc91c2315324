"""Everything that the ledger holds about a grant, for explaining it: its row, its records, what was decided on."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, or_, select
from sqlalchemy.exc import DBAPIError

from remit_server.adapters.database.engine import open_for_reading
from remit_server.adapters.database.engine.unreadable import unreadable
from remit_server.adapters.database.schema.revocation_tables import revocations
from remit_server.adapters.database.schema.rows import grant_of
from remit_server.adapters.database.schema.tables import audit_events, grants, issuances
from remit_server.adapters.database.trail.decisions import archives_of, decisions_among, texts_of
from remit_server.adapters.database.trail.trail import EVENTS, events_of
from remit_server.application.policy.deciding.time_travel import DECIDED, OnRecord
from remit_server.domain.attenuation_records import AttenuationAuthorized
from remit_server.domain.audit import ChainedEvent, PreviewDecided, RequestRefused
from remit_server.domain.grant import Grant

MOST_GRANTS: Final = 100
MOST_RECORDS: Final = 10_000
_NAME: Final = re.compile(r"tasks/[a-z2-7]{26}/grants/(?P<grant>[a-z2-7]{26})")
_ID: Final = re.compile(r"(?:approvals/)?(?P<id>[a-z2-7]{26})")
_KEY: Final = re.compile(r"A[A-Z]{3}[A-Z0-9]{8,124}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_REQUEST: Final = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}")
_PLACE: Final = re.compile(r"#(?P<place>[1-9][0-9]{0,17})")
FORMS: Final = (
    "an access key id, a grant (tasks/TASK/grants/GRANT or its id), a task's or an approval's id, a request_id, "
    "a record (#123), or the digest of a decision or of its input"
)


@dataclass(frozen=True, slots=True)
class RevokedBy:
    """The revoke that ended a grant: what it was aimed at, at whose word, and why."""

    target: str
    by: str
    why: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one grant; `records` are those of its task, `question` what policy was asked, unless erased.

    `decisions` are those about this very grant, `archives` the revisions that decided, where they were published.
    """

    grant: Grant
    records: tuple[ChainedEvent, ...]
    revoked_by: RevokedBy | None
    questions: tuple[tuple[str, str], ...]
    decisions: tuple[OnRecord, ...] = ()
    archives: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ruling:
    """A decision that no grant came of: a refusal or a preview, with its revision where that was published."""

    record: ChainedEvent
    decision: OnRecord
    archives: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def decisions(self) -> tuple[OnRecord, ...]:
        """The one decision."""
        return (self.decision,)


def evidence_of(url: str | Path, what: str, *, password_file: Path | None = None) -> tuple[Evidence | Ruling, ...]:
    """Returns what the ledger holds about each grant and each refusal or preview that is meant, oldest first.

    Nothing when there is none. Raises ValueError for what is no name of any form, DatabaseRefused for what is no
    ledger.
    """
    database = open_for_reading(url, password_file=password_file)
    try:
        return database.read_now(partial(_evidence, what))
    except DBAPIError as error:
        raise unreadable(error) from error
    finally:
        database.close_now()


def _evidence(what: str, connection: Connection) -> tuple[Evidence | Ruling, ...]:
    names, events = _meant(what, connection)
    query = select(grants).where(grants.c.grant_id.in_(names[:MOST_GRANTS])).order_by(grants.c.issue_time)
    rows = connection.execute(query).mappings()
    found = tuple(_of_grant(dict(row), connection) for row in rows.all())
    alone = [event for event in events if event.kind in _ALONE]
    decisions = decisions_among(alone, connection)
    archives = archives_of([one.revision for one in decisions], connection)
    rulings = (Ruling(event, one, archives) for event, one in zip(alone, decisions, strict=True))
    return (*found, *rulings)


_ALONE: Final = frozenset({RequestRefused.kind, PreviewDecided.kind})
_NAMING: Final = (*DECIDED, AttenuationAuthorized.kind)


def _meant(what: str, connection: Connection) -> tuple[Sequence[str], Sequence[ChainedEvent]]:
    """Returns the ids of the grants, and the records of refusals and previews, that a name means."""
    if named := _NAME.fullmatch(what):
        return [named["grant"]], ()
    if named := _PLACE.fullmatch(what):
        return _at(int(named["place"]), connection)
    if named := _ID.fullmatch(what):
        columns = (grants.c.grant_id, grants.c.task_id, grants.c.approval_id)
        query = select(grants.c.grant_id).where(or_(*(column == named["id"] for column in columns)))
    elif _KEY.fullmatch(what):
        query = select(issuances.c.grant_id).where(issuances.c.access_key_id == what)
    elif _DIGEST.fullmatch(what):
        return _told_in(f'_digest":"{what}"', connection)
    elif _REQUEST.fullmatch(what.lower()):
        return _told_in(f'"request_id":"{what.lower()}"', connection)
    else:
        raise ValueError(f"this is none of what can be explained: give {FORMS}")
    return [str(one) for one in connection.execute(query.distinct()).scalars()], ()


def _at(place: int, connection: Connection) -> tuple[Sequence[str], Sequence[ChainedEvent]]:
    """Returns what a record is about; raises ValueError where nothing is decided in it."""
    event = next(iter(events_of(EVENTS.where(audit_events.c.sequence == place), connection)), None)
    if event is None:
        return (), ()
    if event.kind in _ALONE:
        return (), [event]
    grant = json.loads(event.body_text).get("grant_id")
    if not grant:
        raise ValueError(f"record {place} is of the kind {event.kind}: it tells of no decision and of no grant")
    return [str(grant)], ()


def _told_in(part: str, connection: Connection) -> tuple[Sequence[str], Sequence[ChainedEvent]]:
    """Returns what the decisions are about in whose records a text stands; every one is looked at, in no index."""
    query = EVENTS.where(audit_events.c.kind.in_(_NAMING), audit_events.c.body.contains(part, autoescape=True))
    found = events_of(query.order_by(audit_events.c.sequence).limit(MOST_GRANTS), connection)
    named = (json.loads(event.body_text).get("grant_id", "") for event in found)
    return sorted({str(one) for one in named if one}), [event for event in found if event.kind in _ALONE]


def _of_grant(row: dict[str, object], connection: Connection) -> Evidence:
    """Returns what is known of the grant of a row."""
    of_it = select(issuances).where(issuances.c.grant_id == row["grant_id"]).order_by(issuances.c.number)
    grant = grant_of(row, [dict(one) for one in connection.execute(of_it).mappings()])
    query = EVENTS.where(audit_events.c.task_id == grant.task_id).order_by(audit_events.c.sequence)
    events = tuple(events_of(query.limit(MOST_RECORDS), connection))
    own = [event for event in events if f'"grant_id":"{grant.grant_id}"' in event.body_text]
    decisions = decisions_among(own, connection)
    return Evidence(
        grant=grant,
        records=events,
        revoked_by=_revoked_by(grant, connection),
        questions=tuple(texts_of({one.body.get("input_digest", "") for one in decisions}, connection).items()),
        decisions=decisions,
        archives=archives_of([one.revision for one in decisions], connection),
    )


def _revoked_by(grant: Grant, connection: Connection) -> RevokedBy | None:
    if grant.revocation_id is None:
        return None
    query = select(revocations).where(revocations.c.revocation_id == grant.revocation_id)
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    whose = f" of {row['target_issuer']}" if row["target_issuer"] else ""
    return RevokedBy(f"{row['target'].lower()} {row['target_key']}{whose}", row["by"], row["why"])
