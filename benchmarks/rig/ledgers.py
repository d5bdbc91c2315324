"""Ledgers of a size: filled by plain inserts, as a gateway would have left them after so many grants."""

import asyncio
import itertools
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, insert

from remit_server.adapters.database.engine import Database
from remit_server.adapters.database.ledger import open_ledger
from remit_server.adapters.database.prepared import Prepared
from remit_server.adapters.database.rows import GRANT_COLUMNS, ISSUANCE_COLUMNS, TASK_COLUMNS
from remit_server.adapters.database.tables import grants, issuances, requests, tasks
from remit_server.adapters.system_clock import SystemClock
from remit_server.domain.session_names import revision_part, subject_part

ISSUER = "https://bench.example"
ACCOUNT = "111122223333"
REVISION = "b" * 64
ACTOR = "spiffe://bench.example/agent"
AT_ONCE = 5_000
_POLICY = '{"Version":"2012-10-17","Statement":[]}'
_ADD_TASK = Prepared(insert(tasks), columns=TASK_COLUMNS)
_ADD_GRANT = Prepared(insert(grants), columns=GRANT_COLUMNS)
_ADD_ISSUANCE = Prepared(insert(issuances), columns=ISSUANCE_COLUMNS)
_ADD_REQUEST = Prepared(insert(requests))


def base32(number: int) -> str:
    """Returns an id in the ledger's form, in the order of the numbers."""
    digits = "abcdefghijklmnopqrstuvwxyz234567"
    text = "".join(digits[(number >> (5 * place)) & 31] for place in range(7, -1, -1))
    return f"{'a' * 18}{text}"


def fill(database: Database, *, over: int, live: int, subject: str = "alice", first: int = 0) -> None:
    """Writes so many grants that are over and so many that live, a task each; the live ones are this subject's."""
    now = datetime.now(UTC)
    for numbers in _parts(range(first, first + over + live)):
        database.write_now(partial(_write, numbers, first + over, subject, now))


def _parts(numbers: Iterable[int]) -> Iterator[list[int]]:
    numbers = iter(numbers)
    while part := list(itertools.islice(numbers, AT_ONCE)):
        yield part


def _write(numbers: list[int], first_live: int, subject: str, now: datetime, connection: Connection) -> None:
    """Writes the rows of these grants."""
    rows = [_rows(number, subject if number >= first_live else f"user-{number % 5_000}", now) for number in numbers]
    for place, add in enumerate((_ADD_TASK, _ADD_GRANT, _ADD_ISSUANCE, _ADD_REQUEST)):
        add.run_each(connection, [row[place] for row in rows])


def _rows(number: int, subject: str, now: datetime) -> tuple[dict[str, Any], ...]:
    """Returns the rows of a task, its grant, its issuance and its request."""
    lives = not subject.startswith("user-")
    start = now if lives else now - timedelta(days=30) + timedelta(seconds=number % 2_000_000)
    end = start + timedelta(minutes=15)
    who = {"subject_issuer": ISSUER, "subject_id": subject, "actor_id": ACTOR}
    key, part = base32(number), subject_part(ISSUER, subject)
    task = {
        **who,
        "task_id": key,
        "purpose": "bench",
        "labels": "{}",
        "state": "LIVE",
        "start_time": start,
        "end_time": start + timedelta(hours=8),
        "grants_so_far": 1,
    }
    digests = {"session_policy_digest": "a" * 64, "policy_revision": REVISION}
    grant = {
        **dict.fromkeys(GRANT_COLUMNS),
        **who,
        **digests,
        "grant_id": key,
        "task_id": key,
        "state": "ISSUED" if lives else ("EXPIRED", "REVOKED")[number % 10 == 0],
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
    issuance = {
        **digests,
        "grant_id": key,
        "access_key_id": f"ASIA{number:016d}",
        "issue_time": start,
        "expire_time": end,
        "packed_policy_percent": 10,
    }
    request = {
        "actor_id": ACTOR,
        "request_id": f"request-{number}",
        "content_hash": "1" * 64,
        "grant_id": key,
        "refusal": None,
        "write_time": start,
    }
    return task, grant, issuance, request


async def filled(url: str, *, over: int, live: int, subject: str = "alice", first: int = 0) -> None:
    """Makes the ledger at the URL and fills it."""
    async with open_ledger(url, SystemClock(), denying=True) as ledger:
        database = ledger.store.database
        await asyncio.to_thread(fill, database, over=over, live=live, subject=subject, first=first)
