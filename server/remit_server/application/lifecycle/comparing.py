"""Whether what a renewal gives is less than what the grant had."""

from enum import StrEnum

from remit_server.application.planning.choosing import EXACT
from remit_server.iam import Counterexample, Document, Witness, contains, without_end


class Compared(StrEnum):
    """What a new session policy is, held against the one before; when each ends does not count."""

    NOT_LESS = "NOT_LESS"
    LESS = "LESS"
    UNPROVEN = "UNPROVEN"


def is_alike(before: str, after: str) -> bool:
    """Says at once whether two session policies differ in when they end alone."""
    old, new = _both(before, after)
    return old.text == new.text


def compared(before: str, after: str) -> Compared:
    """Compares two session policies by containment: not less only where the one before is proven to lie within."""
    old, new = _both(before, after)
    match contains(old, new, budget=EXACT):
        case Witness():
            return Compared.NOT_LESS
        case Counterexample():
            return Compared.LESS
        case _:
            return Compared.UNPROVEN


def _both(before: str, after: str) -> tuple[Document, Document]:
    old, new = (without_end(Document.parse(text, authored=True)) for text in (before, after))
    return old, new
