"""Forgets the examples beside a shadow's counts: they tell whose call it was and what for, as texts do. Counts stay."""

import json
from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, select, update

from remit_server.adapters.database.schema.policy_tables import shadow_counts
from remit_server.adapters.database.writing.batch import Batch

_there = shadow_counts.c.example != ""
_EXAMPLES: Final = select(
    shadow_counts.c.candidate, shadow_counts.c.active, shadow_counts.c.difference, shadow_counts.c.example
).where(_there)
_FORGET: Final = (
    update(shadow_counts)
    .where(
        shadow_counts.c.candidate == bindparam("of_candidate"),
        shadow_counts.c.active == bindparam("of_active"),
        shadow_counts.c.difference == bindparam("of_difference"),
    )
    .values(example="")
)
_FORGET_OLD: Final = (
    update(shadow_counts).where(_there, shadow_counts.c.first_time < bindparam("before")).values(example="")
)


def forget_old_examples(batch: Batch, before: datetime) -> int:
    """Forgets the examples of differences that were first seen before then; returns how many."""
    return batch.connection.execute(_FORGET_OLD, {"before": before}).rowcount


def forget_examples_of(batch: Batch, issuer: str, subject: str) -> int:
    """Forgets the examples of one subject's calls; returns how many."""
    found = [
        {"of_candidate": candidate, "of_active": active, "of_difference": difference}
        for candidate, active, difference, example in batch.connection.execute(_EXAMPLES).all()
        if _is_of(example, issuer, subject)
    ]
    for one in found:
        batch.connection.execute(_FORGET, one)
    return len(found)


def _is_of(example: str, issuer: str, subject: str) -> bool:
    told = json.loads(example)
    return (told.get("subject_issuer"), told.get("subject_id")) == (issuer, subject)
