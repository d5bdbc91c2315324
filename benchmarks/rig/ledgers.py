"""Ledgers of a size: what is over is written by the database itself, what lives by plain inserts."""

import itertools
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, Table, insert, text

from remit_server.adapters.database.engine import Database
from remit_server.adapters.database.schema.rows import GRANT_COLUMNS, ISSUANCE_COLUMNS, TASK_COLUMNS
from remit_server.adapters.database.schema.tables import grants, issuances, requests, tasks
from remit_server.adapters.database.writing.prepared import Prepared
from remit_server.domain.session_names import revision_part, subject_part

ISSUER = "https://bench.example"
ACCOUNT = "111122223333"
REVISION = "b" * 64
ACTOR = "spiffe://bench.example/agent"
AT_ONCE = 5_000
PARTS = 20_000  # a statement of the ledger may take half a second on PostgreSQL
_POLICY = '{"Version":"2012-10-17","Statement":[]}'
_ADD_TASK = Prepared(insert(tasks), columns=TASK_COLUMNS)
_ADD_GRANT = Prepared(insert(grants), columns=GRANT_COLUMNS)
_ADD_ISSUANCE = Prepared(insert(issuances), columns=ISSUANCE_COLUMNS)
_ADD_REQUEST = Prepared(insert(requests))
_NUMBERS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})",
    "postgresql": "WITH n AS (SELECT generate_series({first}, {last}) AS i)",
}
_PAD = {"sqlite": "printf('%0{width}d', {what})", "postgresql": "lpad(({what})::text, {width}, '0')"}


def fill_with_what_is_over(database: Database, count: int) -> None:
    """Writes so many tasks, each with a grant that is over, its issuance and its request."""
    for first in range(1, count + 1, PARTS):
        database.write_now(partial(_over, first, min(first + PARTS - 1, count)))


def _over(first: int, last: int, connection: Connection) -> None:
    """Has the database write the rows of these numbers."""
    dialect = connection.dialect.name
    numbers = _NUMBERS[dialect].format(first=first, last=last)

    def pad(what: str, width: int) -> str:
        return _PAD[dialect].format(what=what, width=width)

    day, second = pad("i % 28 + 1", 2), pad("i % 60", 2)
    time = f"'2026-10-' || {day} || 'T12:{{}}:' || {second} || '.000000+00:00'"
    start, end, key = time.format("00"), time.format("15"), pad("i", 26)
    state = "CASE WHEN i % 10 = 0 THEN 'REVOKED' ELSE 'EXPIRED' END"
    shared = {"subject_issuer": f"'{ISSUER}'", "subject_id": "'user-' || (i % 5000)", "actor_id": f"'{ACTOR}'"}
    digests = {"session_policy_digest": f"'{'a' * 64}'", "policy_revision": f"'{REVISION}'"}
    task = {"task_id": key, "purpose": "'bench'", "labels": "'{}'", "state": "'LIVE'", "grants_so_far": "1"}
    grant = {
        "grant_id": key,
        "task_id": key,
        "state": state,
        "state_time": end,
        "role_arn": f"'arn:aws:iam::{ACCOUNT}:role/remit-reports'",
        "region": "'eu-central-1'",
        "session_policy": f"'{_POLICY}'",
        "entitlements": "'[]'",
        "ceiling_digest": f"'{'c' * 64}'",
        "source_identity": "'bench'",
        "tags": "'[]'",
        "issue_time": start,
        "expire_time": end,
        "unguarded": "'[]'",
        "outlives_task": "false",
        "account": f"'{ACCOUNT}'",
    }
    issuance = {"grant_id": key, "access_key_id": f"'ASIA' || {pad('i', 16)}", "issue_time": start, "expire_time": end}
    request = {"actor_id": f"'{ACTOR}'", "request_id": key, "content_hash": "'1'", "grant_id": key, "write_time": start}
    for table, columns in (
        (tasks, {**shared, **task, "start_time": start, "end_time": end}),
        (grants, {**shared, **digests, **grant}),
        (issuances, {**digests, **issuance}),
        (requests, request),
    ):
        _insert(connection, table, columns, numbers)


def _insert(connection: Connection, table: Table, columns: dict[str, str], numbers: str) -> None:
    """Inserts a row for each number."""
    named, values = ", ".join(columns), ", ".join(columns.values())
    if connection.dialect.name == "sqlite":
        statement = f"INSERT INTO {table.name} ({named}) {numbers} SELECT {values} FROM n"  # noqa: S608 - no input
    else:
        statement = f"{numbers} INSERT INTO {table.name} ({named}) SELECT {values} FROM n"  # noqa: S608 - no input
    connection.execute(text(statement.replace(":", r"\:")))


def fill_with_what_lives(database: Database, count: int, subject: str = "alice", first: int = 1 << 30) -> None:
    """Writes so many tasks of a subject, each with a grant that lives for a quarter of an hour from now on."""
    now = datetime.now(UTC)
    for numbers in _parts(range(first, first + count)):
        database.write_now(partial(_live, numbers, subject, now))


def base32(number: int) -> str:
    """Returns an id in the ledger's form, in the order of the numbers."""
    digits = "abcdefghijklmnopqrstuvwxyz234567"
    written = "".join(digits[(number >> (5 * place)) & 31] for place in range(7, -1, -1))
    return f"{'a' * 18}{written}"


def _parts(numbers: Iterable[int]) -> Iterator[list[int]]:
    numbers = iter(numbers)
    while part := list(itertools.islice(numbers, AT_ONCE)):
        yield part


def _live(numbers: list[int], subject: str, now: datetime, connection: Connection) -> None:
    """Writes the rows of these grants."""
    rows = [_rows(number, subject, now) for number in numbers]
    for place, add in enumerate((_ADD_TASK, _ADD_GRANT, _ADD_ISSUANCE, _ADD_REQUEST)):
        add.run_each(connection, [row[place] for row in rows])


def _rows(number: int, subject: str, start: datetime) -> tuple[dict[str, Any], ...]:
    """Returns the rows of a task, its grant, its issuance and its request."""
    end = start + timedelta(minutes=15)
    who = {"subject_issuer": ISSUER, "subject_id": subject, "actor_id": ACTOR}
    key, part = base32(number), subject_part(ISSUER, subject)
    digests = {"session_policy_digest": "a" * 64, "policy_revision": REVISION}
    task = {
        **dict.fromkeys(TASK_COLUMNS),
        **who,
        "task_id": key,
        "depth": 0,
        "purpose": "bench",
        "labels": "{}",
        "state": "LIVE",
        "start_time": start,
        "end_time": start + timedelta(hours=8),
        "grants_so_far": 1,
    }
    grant = {
        **dict.fromkeys(GRANT_COLUMNS),
        **who,
        **digests,
        "grant_id": key,
        "task_id": key,
        "state": "ISSUED",
        "state_time": start,
        "role_arn": f"arn:aws:iam::{ACCOUNT}:role/remit-reports",
        "region": "eu-central-1",
        "session_policy": _POLICY,
        "entitlements": '["reports-reader"]',
        "ceiling_digest": "c" * 64,
        "source_identity": f"bench.{subject}",
        "tags": f'[["remit:grant","{part}.{key}.{key}"],["remit:by","{"a" * 26}.{revision_part(REVISION)}"]]',
        "issue_time": start,
        "expire_time": end,
        "unguarded": "[]",
        "outlives_task": False,
        "intent": "",
        "narrow": False,
        "offline_renewal": False,
        "break_glass": False,
        "account": ACCOUNT,
        "subject_part": part,
        "actor_part": "a" * 26,
    }
    times = {"issue_time": start, "expire_time": end}
    issuance = {
        **dict.fromkeys(ISSUANCE_COLUMNS),
        **digests,
        **times,
        "grant_id": key,
        "access_key_id": f"ASIA{number:016d}",
        "packed_policy_percent": 10,
    }
    request = {
        **dict.fromkeys(column.name for column in requests.columns),
        "actor_id": ACTOR,
        "request_id": f"request-{number}",
        "content_hash": "1" * 64,
        "grant_id": key,
        "refusal": None,
        "write_time": start,
    }
    return task, grant, issuance, request
