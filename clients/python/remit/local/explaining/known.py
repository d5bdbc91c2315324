"""What is known of one reason."""

from dataclasses import dataclass

from remit.errors import Remedy, RemitError

MEND_HERE = "the message that came with it says what"


@dataclass(frozen=True, slots=True)
class Known:
    """A reason: what it says and why it comes about, the exception that carries it, and the usual way out.

    `todo` says more than the exception's own advice can, or says it instead where `is_all`.
    """

    what: str
    why: str
    carrier: type[RemitError]
    remedy: Remedy = Remedy.UNKNOWN
    todo: str = ""
    is_all: bool = False
