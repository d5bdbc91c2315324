"""The audit record of what is erased beside the chain."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from remit_server.domain.audit import AuditRecord


@dataclass(frozen=True, slots=True)
class TextsErased(AuditRecord):
    """So many texts beside the chain (inputs, circumstances, decisions, ceilings) are gone from here on.

    `unused_since` is set when that was for their age: none had been used since. Else a person had them erased, all that
    was known of one subject.
    """

    kind: ClassVar[str] = "texts_erased"
    texts: int
    unused_since: datetime | None = None
    subject_issuer: str = ""
    subject_id: str = ""
    by: str = ""
