"""The one way in which a platform's identity is not to be had, told so that somebody can mend it."""

import re
from typing import Any

from remit.errors import Remedy, RemitError

LONGEST_HEARD, LONGEST_TOLD = 2000, 300
# What might be a token or a key: no sentence of a platform's is repeated with such a thing in it. Host names and the
# names of errors, which are long, too, have no capitals or no digits.
_RUN = r"[A-Za-z0-9_\-.=+/]"
_SECRET = re.compile(rf"(?={_RUN}*[A-Z])(?={_RUN}*[0-9]){_RUN}{{24,}}|[0-9a-f-]{{32,}}", re.ASCII)


class NoWorkloadIdentity(RemitError):  # noqa: N818 - named for what it says
    """The platform gave this workload no token or certificate; `advice` says what to set, and where.

    `reason` is WORKLOAD_TOKEN_UNAVAILABLE, WORKLOAD_TOKEN_EXPIRED (it cannot be renewed by whoever reads it),
    WORKLOAD_CERTIFICATE_UNAVAILABLE, WORKLOAD_NOT_FOUND or WORKLOAD_AMBIGUOUS (`detect`).
    """

    __module__ = "remit"
    _remedy_unless_said = Remedy.CORRECT

    def __init__(
        self, message: str, *, advice: str = "", reason: str = "WORKLOAD_TOKEN_UNAVAILABLE", **told: Any
    ) -> None:
        super().__init__(message, reason=reason, **told)
        self._mend = advice

    def _advice(self) -> str:
        return self._mend


def harmless(text: str) -> str:
    """Returns what a platform said as one short line, without anything that might be a token."""
    line = " ".join(
        "".join(character if character.isprintable() else " " for character in text[:LONGEST_HEARD]).split()
    )
    return _SECRET.sub("***", line)[:LONGEST_TOLD]
