"""Everything that the ledger holds about a grant, for explaining it: its row, its records, what was decided on."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, or_, select
from sqlalchemy.exc import DBAPIError

from remit_server.adapters.database.engine import open_for_reading
from remit_server.adapters.database.engine.unreadable import unreadable
from remit_server.adapters.database.schema.revocation_tables import revocations
from remit_server.adapters.database.schema.rows import grant_of
from remit_server.adapters.database.schema.tables import audit_events, audit_texts, grants, issuances
from remit_server.domain.audit import ChainedEvent
from remit_server.domain.grant import Grant

MOST_GRANTS: Final = 100
MOST_RECORDS: Final = 10_000
_NAME: Final = re.compile(r"tasks/[a-z2-7]{26}/grants/(?P<grant>[a-z2-7]{26})")
_ID: Final = re.compile(r"[a-z2-7]{26}")
_KEY: Final = re.compile(r"A[A-Z]{3}[A-Z0-9]{8,124}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
FORMS: Final = "an access key id, a grant (tasks/TASK/grants/GRANT or its id), a task's id, or the digest of a decision"


@dataclass(frozen=True, slots=True)
class RevokedBy:
    """The revoke that ended a grant: what it was aimed at, at whose word, and why."""

    target: str
    by: str
    why: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one grant; `records` are those of its task, `question` what policy was asked, unless erased."""

    grant: Grant
    records: tuple[ChainedEvent, ...]
    revoked_by: RevokedBy | None
    questions: tuple[tuple[str, str], ...]


def evidence_of(url: str | Path, what: str, *, password_file: Path | None = None) -> tuple[Evidence, ...]:
    """Returns what the ledger holds about each grant that is meant, oldest first; nothing when there is none.

    Raises ValueError for what is no name of any form, DatabaseRefused for what is no ledger.
    """
    database = open_for_reading(url, password_file=password_file)
    try:
        return database.read_now(partial(_evidence, what))
    except DBAPIError as error:
        raise unreadable(error) from error
    finally:
        database.close_now()


def _evidence(what: str, connection: Connection) -> tuple[Evidence, ...]:
    names = _grants_meant(what, connection)[:MOST_GRANTS]
    query = select(grants).where(grants.c.grant_id.in_(names)).order_by(grants.c.issue_time)
    rows = connection.execute(query).mappings()
    return tuple(_of_grant(dict(row), connection) for row in rows.all())


def _grants_meant(what: str, connection: Connection) -> Sequence[str]:
    """Returns the ids of the grants that a name means."""
    if named := _NAME.fullmatch(what):
        return [named["grant"]]
    if _ID.fullmatch(what):
        query = select(grants.c.grant_id).where(or_(grants.c.grant_id == what, grants.c.task_id == what))
    elif _KEY.fullmatch(what):
        query = select(issuances.c.grant_id).where(issuances.c.access_key_id == what)
    elif _DIGEST.fullmatch(what):
        return _grants_decided(what, connection)
    else:
        raise ValueError(f"this is none of what can be explained: give {FORMS}")
    return [str(one) for one in connection.execute(query.distinct()).scalars()]


def _grants_decided(digest: str, connection: Connection) -> Sequence[str]:
    """Returns the grants that were decided on one input; there is no index of inputs, so every record is looked at."""
    query = select(audit_events.c.task_id).where(
        audit_events.c.kind.in_(("grant_authorized", "renewal_authorized", "approval_asked")),
        audit_events.c.body.contains(f'"input_digest":"{digest}"', autoescape=True),
    )
    tasks = [str(one) for one in connection.execute(query.distinct()).scalars()]
    found = connection.execute(select(grants.c.grant_id).where(grants.c.task_id.in_(tasks))).scalars()
    return [str(one) for one in found]


def _of_grant(row: dict[str, object], connection: Connection) -> Evidence:
    """Returns what is known of the grant of a row."""
    of_it = select(issuances).where(issuances.c.grant_id == row["grant_id"]).order_by(issuances.c.number)
    grant = grant_of(row, [dict(one) for one in connection.execute(of_it).mappings()])
    records = connection.execute(
        select(
            audit_events.c.sequence,
            audit_events.c.time,
            audit_events.c.kind,
            audit_events.c.body,
            audit_events.c.previous_hash,
            audit_events.c.event_hash,
        )
        .where(audit_events.c.task_id == grant.task_id)
        .order_by(audit_events.c.sequence)
        .limit(MOST_RECORDS)
    )
    events = tuple(ChainedEvent(*record) for record in records)
    return Evidence(grant, events, _revoked_by(grant, connection), _questions(events, connection))


def _revoked_by(grant: Grant, connection: Connection) -> RevokedBy | None:
    if grant.revocation_id is None:
        return None
    query = select(revocations).where(revocations.c.revocation_id == grant.revocation_id)
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    whose = f" of {row['target_issuer']}" if row["target_issuer"] else ""
    return RevokedBy(f"{row['target'].lower()} {row['target_key']}{whose}", row["by"], row["why"])


def _questions(events: Sequence[ChainedEvent], connection: Connection) -> tuple[tuple[str, str], ...]:
    """Returns the inputs that records name and that are still kept, by digest."""
    digests = {found[1] for event in events if (found := _INPUT.search(event.body_text))}
    query = select(audit_texts.c.digest, audit_texts.c.text).where(audit_texts.c.digest.in_(sorted(digests)))
    return tuple((str(digest), str(text)) for digest, text in connection.execute(query))


_INPUT: Final = re.compile(r'"input_digest":"([0-9a-f]{64})"')
