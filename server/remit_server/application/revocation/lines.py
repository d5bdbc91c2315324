"""One line of a revocation policy, and which sessions it denies."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from remit_server.domain.revocation import DenyTag, SessionDeny

CLOCK_SLACK: Final = timedelta(seconds=5)  # how far AWS's clock and the ledger's may differ
SECOND: Final = timedelta(seconds=1)
EVERY: Final = "*"
CANARY_PREFIX: Final = "canary.canary."  # as many parts as a grant's tag, and no subject is called so
_PART: Final = r"[a-z0-9]{1,64}"
_NEVER_AGAIN: Final = re.compile(rf"{_PART}\.{_PART}\.(?:{_PART}|\*)")  # a grant, a task
_BY_TIME: Final = {
    DenyTag.GRANT: re.compile(rf"{_PART}\.(?:\*|{_PART}\.(?:{_PART}|\*))"),
    DenyTag.BY: re.compile(rf"{_PART}\.\*|\*\.{_PART}"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """Denies the sessions whose tag is like the pattern and, where a time is given, that were opened before it."""

    tag: DenyTag
    pattern: str
    before: datetime | None = None

    @property
    def is_canary(self) -> bool:
        """Whether it denies nobody but a canary of the gateway's own."""
        return self.tag is DenyTag.GRANT and self.pattern.startswith(CANARY_PREFIX)

    def denies_all_of(self, deny: SessionDeny) -> bool:
        """Says whether each session of the deny is refused by this line; in doubt it is not."""
        if self.tag is not deny.tag or not is_wider(self.pattern, deny.pattern):
            return False
        if self.before is None:
            return True
        return before_which_all_began(deny) <= self.before

    def denies_all_of_line(self, other: "Line") -> bool:
        """Says whether this line denies each session that the other one does."""
        if self.tag is not other.tag or not is_wider(self.pattern, other.pattern):
            return False
        return self.before is None or (other.before is not None and other.before <= self.before)


def line_of(deny: SessionDeny) -> Line:
    """Returns the deny as it stands."""
    return Line(deny.tag, deny.pattern, deny.issued_before)


def is_sound(deny: SessionDeny) -> bool:
    """Says whether the deny has a shape that Remit makes: one that has not could refuse everybody.

    Only a grant's or a task's own pattern may go without a time, because neither ever issues again.
    """
    if deny.issued_before is None:
        return deny.tag is DenyTag.GRANT and _NEVER_AGAIN.fullmatch(deny.pattern) is not None
    whole = deny.issued_before.tzinfo is not None and deny.issued_before.microsecond == 0
    return whole and _BY_TIME[deny.tag].fullmatch(deny.pattern) is not None


def before_which_all_began(deny: SessionDeny) -> datetime:
    """Returns the first whole second such that every session of the deny was opened before it, by AWS's clock too."""
    if deny.issued_before is not None:
        return deny.issued_before
    return (deny.last_issued + CLOCK_SLACK).astimezone(UTC).replace(microsecond=0) + SECOND


def is_wider(wide: str, narrow: str) -> bool:
    """Says whether each text that is like the narrow pattern is like the wide one; a star stands at one end at most."""
    if wide == narrow:
        return True
    if wide.endswith("*"):
        return narrow.startswith(wide[:-1])
    return wide.startswith("*") and narrow.endswith(wide[1:])


def wider_patterns(pattern: str) -> Iterator[str]:
    """Yields each pattern above this one that a line could have: its task's, its subject's, everybody's."""
    parts = pattern.removesuffix(".*").split(".")
    for count in range(len(parts) - 1, 0, -1):
        yield ".".join([*parts[:count], EVERY])
    if pattern != EVERY:
        yield EVERY
