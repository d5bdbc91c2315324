"""Erases what is kept beside the audit chain: for its age, step by step, and for one subject, when a person says so."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, select

from remit_server.adapters.database.policies.shadow_examples import forget_examples_of, forget_old_examples
from remit_server.adapters.database.schema.tables import audit_events, audit_texts, grants
from remit_server.adapters.database.writing.batch import KEPT_ANEW_AFTER, Batch
from remit_server.adapters.database.writing.store import Store
from remit_server.application.policy.deciding.time_travel import DECIDED
from remit_server.domain.decision import KeptText
from remit_server.domain.erasing_records import TextsErased
from remit_server.domain.grant import GrantState

AT_ONCE: Final = 500
PAGE: Final = 2000
PAUSE: Final = timedelta(minutes=1)
KEEP_ANEW_EVERY: Final = timedelta(hours=1)
LIVE: Final = (GrantState.AUTHORIZED.value, GrantState.ISSUED.value, GrantState.PENDING_APPROVAL.value)

_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_OLD: Final = (
    select(audit_texts.c.digest)
    .where(audit_texts.c.time < bindparam("before"))
    .order_by(audit_texts.c.time)
    .limit(AT_ONCE)
)
_ERASE_OLD: Final = delete(audit_texts).where(audit_texts.c.digest.in_(_OLD))
_OLDEST_LIVE: Final = select(func.min(grants.c.issue_time)).where(grants.c.state.in_(LIVE))
_DECISIONS: Final = (
    select(audit_events.c.sequence, audit_events.c.task_id, audit_events.c.body)
    .where(audit_events.c.sequence > bindparam("after"), audit_events.c.kind.in_(DECIDED))
    .order_by(audit_events.c.sequence)
    .limit(PAGE)
)
_LIVE_TASKS: Final = select(grants.c.task_id).where(
    grants.c.subject_issuer == bindparam("issuer"),
    grants.c.subject_id == bindparam("subject"),
    grants.c.state.in_(LIVE),
)


@dataclass(slots=True)
class DatabaseErasing:
    """Erases what has not been used for `keep`, as a part of the sweep; keeps the ceilings of this process anew."""

    store: Store
    keep: timedelta
    ceilings: KeptText
    _next: datetime = field(default=_NEVER, init=False)
    _keep_anew: datetime = field(default=_NEVER, init=False)

    async def sweep(self, now: datetime, /) -> int:
        """Takes one bounded step where there is something to do; looks once a minute."""
        if now < self._next:
            return 0
        self._next = now + PAUSE
        done = await self.store.commit(partial(self._step, now=now))
        if done >= AT_ONCE:
            self._next = now
        return done

    def _step(self, batch: Batch, now: datetime) -> int:
        if now >= self._keep_anew:
            batch.keep([self.ceilings])  # a gateway that runs for longer than texts are kept still decides under them
            self._keep_anew = now + KEEP_ANEW_EVERY
        forget_old_examples(batch, now - self.keep)
        return erase_unused(batch, now - self.keep)


def erase_unused(batch: Batch, before: datetime) -> int:
    """Erases the oldest texts that were last used before then, a bounded number, and records that; returns how many.

    NOTE: whatever the bound, nothing that a live grant or one that waits for people rests on: a text's time is its
    last use, or up to a day before.
    """
    connection = batch.connection
    if connection.execute(_OLD.limit(1), {"before": before}).first() is None:
        return 0
    oldest = connection.execute(_OLDEST_LIVE).scalar()
    if oldest is not None:
        before = min(before, oldest - KEPT_ANEW_AFTER)
    erased = connection.execute(_ERASE_OLD, {"before": before}).rowcount
    if erased:
        batch.append(TextsErased(erased, unused_since=before))
    return erased


@dataclass(frozen=True, slots=True)
class OfSubject:
    """The digests of texts about one subject: those that may be erased, and those that live grants rest on."""

    erasable: tuple[str, ...]
    live: tuple[str, ...]


def texts_of_subject(issuer: str, subject: str, connection: Connection) -> OfSubject:
    """Returns which texts beside the chain are about a subject and about nobody else; looks at every decision."""
    query = {"issuer": issuer, "subject": subject}
    tasks = {str(one) for one in connection.execute(_LIVE_TASKS, query).scalars()}
    own: set[str] = set()
    live: set[str] = set()
    for task_id, whose, named in _decisions(connection):
        if whose == (issuer, subject):
            (live if task_id in tasks else own).update(named)
    # Two people may share a text: what policy answers is often the same for many.
    known = own | live
    shared = {
        digest for _, whose, named in _decisions(connection) if whose != (issuer, subject) for digest in named & known
    }
    return OfSubject(tuple(sorted(own - shared - live)), tuple(sorted(live - shared)))


_KEYS: Final = ("input_digest", "circumstances_digest", "decision_digest")


def _decisions(connection: Connection) -> Iterator[tuple[str, tuple[str, str], set[str]]]:
    """Yields task, subject and named texts of every record of a decision, holding one page of them at a time."""
    after = 0
    while rows := connection.execute(_DECISIONS, {"after": after}).all():
        for sequence, task_id, text in rows:
            after, body = sequence, json.loads(text)
            who = body.get("who", {})
            named = {digest for key in _KEYS if (digest := body.get(key, ""))}
            yield task_id, (who.get("subject_issuer", ""), who.get("subject_id", "")), named


async def erase_texts(store: Store, digests: Iterable[str], record: TextsErased) -> int:
    """Erases these texts as far as they are kept, step by step, each step with its record; returns how many.

    The examples of a candidate in shadow that tell of the subject go first, and count.
    """
    left, erased = list(digests), await store.commit(partial(_erase_examples, record=record))
    while left:
        step, left = left[:AT_ONCE], left[AT_ONCE:]
        erased += await store.commit(partial(_erase, digests=step, record=record))
    return erased


def _erase_examples(batch: Batch, record: TextsErased) -> int:
    return _recorded(batch, forget_examples_of(batch, record.subject_issuer, record.subject_id), record)


def _erase(batch: Batch, digests: list[str], record: TextsErased) -> int:
    erased = batch.connection.execute(delete(audit_texts).where(audit_texts.c.digest.in_(digests))).rowcount
    return _recorded(batch, erased, record)


def _recorded(batch: Batch, erased: int, record: TextsErased) -> int:
    """Puts on record how much was erased, and returns it."""
    if erased:
        batch.append(
            TextsErased(erased, subject_issuer=record.subject_issuer, subject_id=record.subject_id, by=record.by)
        )
    return erased
