"""Decisions as the ledger has them on record, with what is kept beside the chain to decide them again."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import Connection, select

from remit_server.adapters.database.policies.publishing import archive_of
from remit_server.adapters.database.schema.tables import audit_texts
from remit_server.application.policy.deciding.time_travel import DECIDED, OnRecord
from remit_server.domain.audit import ChainedEvent
from remit_server.domain.decision import DecisionInput, KeptText

_AT_ONCE: Final = 500
_NAMED: Final = ("input_digest", "circumstances_digest", "decision_digest", "ceiling_digest")


def decisions_among(events: Iterable[ChainedEvent], connection: Connection) -> tuple[OnRecord, ...]:
    """Returns those events that tell of a decision, each with the texts of it that are still kept."""
    bodies = [(event, _body(event)) for event in events if event.kind in DECIDED]
    texts = texts_of({body.get(name, "") for _, body in bodies for name in _NAMED}, connection)
    return tuple(_on_record(event, body, texts) for event, body in bodies)


def texts_of(digests: Iterable[str], connection: Connection) -> Mapping[str, str]:
    """Returns the texts that are kept under these digests."""
    found: dict[str, str] = {}
    wanted = sorted(digest for digest in digests if digest)
    for start in range(0, len(wanted), _AT_ONCE):
        query = select(audit_texts.c.digest, audit_texts.c.text).where(
            audit_texts.c.digest.in_(wanted[start : start + _AT_ONCE])
        )
        found.update((str(digest), str(text)) for digest, text in connection.execute(query))
    return found


def archives_of(revisions: Iterable[str], connection: Connection) -> Mapping[str, bytes]:
    """Returns the archives of those revisions that were published."""
    found = {revision: archive_of(connection, revision) for revision in sorted(set(revisions)) if revision}
    return {revision: archive for revision, archive in found.items() if archive is not None}


def _body(event: ChainedEvent) -> dict[str, Any]:
    """Returns what a record says; raises ValueError for one that no gateway wrote."""
    try:
        body = json.loads(event.body_text)
    except ValueError:
        body = None
    is_one = isinstance(body, dict) and isinstance(body.get("who", {}), dict)
    if not is_one:
        raise ValueError(f"record {event.sequence} is not what a gateway records: run `remit-server audit verify`")
    return dict(body)


def _on_record(event: ChainedEvent, body: Mapping[str, Any], texts: Mapping[str, str]) -> OnRecord:
    question, circumstances, decision, ceilings = (texts.get(body.get(name, "")) for name in _NAMED)
    return OnRecord(
        sequence=event.sequence,
        kind=event.kind,
        body=body,
        question=None if question is None else DecisionInput(question),
        circumstances=None if circumstances is None else KeptText(circumstances),
        decision=None if decision is None else KeptText(decision),
        ceilings=None if ceilings is None else KeptText(ceilings),
    )
