"""The real decisions on record, read back for replays: page by page, on a connection of its own, never written to."""

import bisect
import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, select

from remit_server.adapters.database.reading.own_reader import Reads
from remit_server.adapters.database.schema.tables import audit_events, audit_head, audit_texts
from remit_server.application.policy.deciding.observed import NO_DECISIONS
from remit_server.application.policy.ports import Outcome, Page, RecordedDecision, Span
from remit_server.domain.audit import GrantAuthorized, RequestRefused
from remit_server.domain.decision import DecisionInput, KeptText
from remit_server.domain.lifecycle_records import ApprovalAsked, RenewalAuthorized

PAGE: Final = 400
_METHODS: Final = frozenset({"IssueCredentials", "RenewCredentials"})
_KINDS: Final = (GrantAuthorized.kind, RenewalAuthorized.kind, ApprovalAsked.kind, RequestRefused.kind)
# A call whose credentials STS refused leaves two records of one decision, seconds apart.
_REMEMBERED: Final = 10_000
_DIGESTS: Final = ("input_digest", "circumstances_digest", "decision_digest")
_sequence = audit_events.c.sequence


@dataclass(frozen=True, slots=True)
class DatabaseHistory:
    """Reads the decisions of a ledger, or of a copy of one."""

    reader: Reads
    page: int = PAGE

    async def span(self, since: datetime, /, *, most: int) -> Span | None:
        """Returns where the newest `most` decisions since then stand; None where there is no record since then."""
        return await self.reader.read(partial(_span, since, most))

    async def decisions(self, span: Span, /) -> AsyncIterator[Page]:
        """Yields the decisions of a part of the trail, oldest first; raises ValueError for what no gateway wrote."""
        seen = _Seen()
        for first in range(span.first, span.last + 1, self.page):
            through = min(first + self.page - 1, span.last)
            found = await self.reader.read(partial(_decisions, first, through))
            for digests, one in found:
                for digest, kept in zip(digests, (one.question, one.circumstances, one.decision), strict=True):
                    if kept is not None:
                        _held(digest, kept)
            yield Page(through, tuple(one for digests, one in found if seen.is_new(digests, one)))

    async def ceilings(self, digest: str, /) -> KeptText | None:
        """Returns the ceilings that records name so, None where they were erased or never kept."""
        query = select(audit_texts.c.text).where(audit_texts.c.digest == digest)
        text = await self.reader.read(lambda connection: connection.execute(query).scalar())
        return None if text is None else _held(digest, KeptText(str(text)))


@dataclass(slots=True)
class _Seen:
    """Knows the decisions that were seen lately, by what they rest on."""

    _known: OrderedDict[tuple[str, ...], None] = field(default_factory=OrderedDict)

    def is_new(self, digests: tuple[str, ...], decision: RecordedDecision) -> bool:
        """Says whether a decision is not one that an earlier record tells of: that of credentials STS then refused."""
        if not all(digests[:2]):
            return True
        is_repeat = decision.kind == RequestRefused.kind and digests in self._known
        self._known[digests] = None
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return not is_repeat


def _held(digest: str, kept: KeptText) -> KeptText:
    """Returns a text that is what records name; raises ValueError for one that was changed since.

    A text can be erased, and is then missing; nothing that is right ever changes one. What a replay compares with must
    not be what somebody who may write beside the chain would like it to be.
    """
    if kept.digest != digest:
        raise ValueError(f"the text kept as {digest} is not the one that was recorded: run `remit-server audit verify`")
    return kept


def _span(since: datetime, most: int, connection: Connection) -> Span | None:
    """Finds the first record since then by halving the chain, whose times never go back by more than a clock's step."""
    last = connection.execute(select(audit_head.c.sequence).where(audit_head.c.id == 1)).scalar() or 0
    first = 1 + bisect.bisect_left(range(1, last + 1), since, key=partial(_time_of, connection))
    if first > last:
        return None
    if most > last - first:
        return Span(first, last)
    newest = (
        select(_sequence)
        .where(_sequence >= first, audit_events.c.kind.in_(_KINDS))
        .order_by(_sequence.desc())
        .limit(1)
        .offset(most - 1)
    )
    return Span(max(first, connection.execute(newest).scalar() or first), last)


def _time_of(connection: Connection, sequence: int) -> datetime:
    """Returns when a record was written; of one that is missing, when the next was."""
    query = select(audit_events.c.time).where(_sequence >= sequence).order_by(_sequence).limit(1)
    time: datetime = connection.execute(query).scalar_one()
    return time


def _decisions(first: int, last: int, connection: Connection) -> list[tuple[tuple[str, ...], RecordedDecision]]:
    """Reads the decisions between two records, each with the digests of what it rests on."""
    query = (
        select(_sequence, audit_events.c.time, audit_events.c.kind, audit_events.c.body, audit_events.c.task_id)
        .where(_sequence.between(first, last), audit_events.c.kind.in_(_KINDS))
        .order_by(_sequence)
    )
    try:
        rows = [(row, json.loads(row.body)) for row in connection.execute(query)]
        rows = [(row, body) for row, body in rows if _is_decision(row.kind, body)]
        texts = _texts(connection, [body for _, body in rows])
        return [(_digests(body), _recorded(row, body, texts)) for row, body in rows]
    except (KeyError, TypeError) as wrong:
        raise ValueError("a record is not what the ledger writes: run `remit-server audit verify`") from wrong


def _is_decision(kind: str, body: Mapping[str, Any]) -> bool:
    """Says whether a record is the one of a decision.

    A review tells of a decision that has a record of its own. Whoever joins what others wait for was decided on as
    well. A refusal counts once policy had its question, unless something did not work.
    """
    if kind == ApprovalAsked.kind:
        return body["review"] is not True
    if kind == RequestRefused.kind:
        return body["method"] in _METHODS and bool(body.get("input_digest")) and body["reason"] not in NO_DECISIONS
    return True


def _digests(body: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(body.get(name, "")) for name in _DIGESTS)


def _texts(connection: Connection, bodies: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Returns every text that is kept of these records, by digest."""
    digests = sorted({digest for body in bodies for digest in _digests(body) if digest})
    found: dict[str, str] = {}
    for place in range(0, len(digests), PAGE):
        query = select(audit_texts.c.digest, audit_texts.c.text).where(
            audit_texts.c.digest.in_(digests[place : place + PAGE])
        )
        found |= {str(digest): str(text) for digest, text in connection.execute(query)}
    return found


def _recorded(row: Any, body: Mapping[str, Any], texts: Mapping[str, str]) -> RecordedDecision:
    question, circumstances, decision = (texts.get(digest) for digest in _digests(body))
    who = body["who"]
    return RecordedDecision(
        sequence=row.sequence,
        time=row.time,
        kind=row.kind,
        subject_issuer=who["subject_issuer"],
        subject_id=who["subject_id"],
        actor_id=who["actor_id"],
        policy_revision=body["policy_revision"],
        ceiling_digest=body.get("ceiling_digest", ""),
        question=None if question is None else DecisionInput(question),
        circumstances=None if circumstances is None else KeptText(circumstances),
        decision=None if decision is None else KeptText(decision),
        outcome=_outcome(row.kind, body),
        task_id=row.task_id,
        input_digest=body.get("input_digest", ""),
        erased=any(digest and digest not in texts for digest in _digests(body)),
    )


def _outcome(kind: str, body: Mapping[str, Any]) -> Outcome:
    """Returns what was answered."""
    if kind == RequestRefused.kind:
        return Outcome(reason=body["reason"], message=body["message"])
    return Outcome(
        role_arn=body["role_arn"],
        entitlements=tuple(body["entitlements"]),
        session_policy=body["session_policy"],
        waits=kind == ApprovalAsked.kind,
    )
