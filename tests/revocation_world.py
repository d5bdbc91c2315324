"""Sessions and denies made up for tests of revocation, and a reader of policies that shares nothing with the writer."""

import fnmatch
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from remit_server.domain.revocation import DenyTag, SessionDeny

NOW = datetime(2026, 11, 29, 20, 0, 0, tzinfo=UTC)
ACCOUNT = "111122223333"
LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


def part(number: int) -> str:
    """Returns the 26 characters that stand for a number."""
    digits = []
    for _ in range(4):
        number, digit = divmod(number, len(LETTERS))
        digits.append(LETTERS[digit])
    return "".join(reversed(digits)).rjust(26, "q")


@dataclass(frozen=True, slots=True)
class Session:
    """One set of credentials that is out: whose it is, and when AWS says that it was opened."""

    subject: int
    task: int
    grant: int
    opened: datetime
    actor: int = 1
    revision: int = 1
    lives: timedelta = timedelta(hours=1)

    @property
    def grant_tag(self) -> str:
        return f"{part(self.subject)}.{part(self.task)}.{part(self.grant)}"

    @property
    def by_tag(self) -> str:
        return f"{part(self.actor)}.{part(self.revision)}"

    @property
    def ends(self) -> datetime:
        return self.opened + self.lives


def deny(
    number: int,
    sessions: Sequence[Session],
    *,
    by: str = "grant",
    required: bool = True,
    at: datetime = NOW,
    written: bool = False,
) -> SessionDeny:
    """Returns the deny of these sessions by grant, task, subject, actor or revision of the first of them."""
    first = sessions[0]
    tag, pattern, timed = {
        "grant": (DenyTag.GRANT, first.grant_tag, False),
        "task": (DenyTag.GRANT, f"{part(first.subject)}.{part(first.task)}.*", False),
        "subject": (DenyTag.GRANT, f"{part(first.subject)}.*", True),
        "actor": (DenyTag.BY, f"{part(first.actor)}.*", True),
        "revision": (DenyTag.BY, f"*.{part(first.revision)}", True),
    }[by]
    return SessionDeny(
        number=number,
        account=ACCOUNT,
        tag=tag,
        pattern=pattern,
        subject=part(first.subject) if tag is DenyTag.GRANT else "",
        issued_before=at.replace(microsecond=0) if timed else None,
        last_issued=max(session.opened for session in sessions),
        covers_until=max(session.ends for session in sessions),
        required=required,
        revoke_time=at,
        written=written,
    )


def is_denied(session: Session, texts: Iterable[str], *, opened: datetime | None = None) -> bool:
    """Says whether the policies refuse the session, opened at this time by AWS's clock, every action."""
    tags = {"aws:PrincipalTag/remit:grant": session.grant_tag, "aws:PrincipalTag/remit:by": session.by_tag}
    statements = [statement for text in texts for statement in json.loads(text)["Statement"]]
    return any(_matches(statement, tags, opened or session.opened) for statement in statements)


def _matches(statement: dict[str, object], tags: dict[str, str], opened: datetime) -> bool:
    assert (statement["Effect"], statement["Action"], statement["Resource"]) == ("Deny", "*", "*")
    conditions = statement["Condition"]
    assert isinstance(conditions, dict)
    assert conditions.keys() <= {"StringLike", "DateLessThan"}
    [(key, patterns)] = conditions["StringLike"].items()
    before = conditions.get("DateLessThan", {}).get("aws:TokenIssueTime")
    in_time = before is None or opened < datetime.fromisoformat(before)
    return in_time and any(fnmatch.fnmatchcase(tags[key], pattern) for pattern in patterns)
