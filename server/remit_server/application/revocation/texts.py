"""Revocation policies as text: how lines are written, how many characters that takes, and how they are read back."""

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from remit_server.application.revocation.lines import Line
from remit_server.domain.revocation import DenyTag

MOST_CHARACTERS: Final = 6_144  # of a managed policy, white space excepted (IAM and AWS STS quotas)
_TAG_KEY: Final = "aws:PrincipalTag/"
_TIME_KEY: Final = "aws:TokenIssueTime"
_NOBODY: Final = "-"  # no tag of a session: a policy must have a statement, and this one denies nobody
_MARK: Final = re.compile("Remit[A-Z2-7]{20}")
MARK_CHARACTERS: Final = len('"Sid":"') + len("Remit") + 20 + len('",')
_Group = tuple[DenyTag, datetime | None]


def mark_of_ledger(first_hash: str) -> str:
    """Returns the mark of the ledger whose audit chain begins with the record of this hash."""
    digest = sha256(f"remit revocations {first_hash}".encode()).digest()
    return f"Remit{base64.b32encode(digest).decode()[:20]}"


def mark_of(text: str) -> str:
    """Returns the mark of the ledger that a text was written for, whatever else it says; empty where it has none."""
    try:
        marks = [str(statement.get("Sid")) for statement in json.loads(text)["Statement"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""
    return next((mark for mark in marks if _MARK.fullmatch(mark)), "")


def policy_text(lines: Iterable[Line], mark: str = "") -> str:
    """Returns the managed policy that denies exactly these lines: compact, and the same for the same lines.

    `mark` is the ledger's, as the Sid of a statement that is there anyway.
    """
    groups: dict[_Group, list[str]] = {}
    for line in lines:
        groups.setdefault((line.tag, line.before), []).append(line.pattern)
    ordered = sorted(groups.items(), key=lambda item: (_moment(item[0][1]), item[0][0] is DenyTag.BY))
    statements = [_statement(tag, before, sorted(patterns)) for (tag, before), patterns in ordered]
    first, *others = statements or [_statement(DenyTag.GRANT, None, [_NOBODY])]
    return _document([{"Sid": mark, **first} if mark else first, *others])


def lines_of(text: str) -> frozenset[Line] | None:
    """Returns the lines of a text that `policy_text` wrote; None for any other text."""
    try:
        statements = json.loads(text)["Statement"]
        lines = frozenset(line for statement in statements for line in _lines_of_statement(statement))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    lines = frozenset(line for line in lines if line.pattern != _NOBODY)
    return lines if policy_text(lines, mark_of(text)) == text else None


@dataclass(slots=True)
class Page:
    """One policy while it is filled: which lines stand in it, and how many characters they take."""

    room: int
    lines: set[Line] = field(default_factory=set)
    used: int = field(default_factory=lambda: len(_document([])))
    _groups: set[_Group] = field(default_factory=set)

    def cost(self, line: Line) -> int:
        """Returns how many characters the line would add."""
        opened = (line.tag, line.before) in self._groups
        return len(line.pattern) + len('"",') + (0 if opened else _statement_cost(line))

    def takes(self, line: Line) -> bool:
        """Adds the line if there is room for it; says whether there was."""
        cost = self.cost(line)
        if self.used + cost > self.room:
            return False
        self.lines.add(line)
        self._groups.add((line.tag, line.before))
        self.used += cost
        return True


def _statement_cost(line: Line) -> int:
    """Returns the characters of a statement without patterns, and of the comma before it."""
    return len(json.dumps(_statement(line.tag, line.before, []), separators=(",", ":"))) + 1


def _statement(tag: DenyTag, before: datetime | None, patterns: list[str]) -> dict[str, object]:
    condition: dict[str, object] = {"StringLike": {f"{_TAG_KEY}{tag}": patterns}}
    if before is not None:
        condition["DateLessThan"] = {_TIME_KEY: _written(before)}
    return {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition}


def _document(statements: list[dict[str, object]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))


def _lines_of_statement(statement: Mapping[str, Mapping[str, Mapping[str, object]]]) -> Iterable[Line]:
    """Yields the lines of a statement; raises KeyError, TypeError or ValueError for one that we did not write."""
    condition = statement["Condition"]
    written = condition.get("DateLessThan", {}).get(_TIME_KEY)
    before = datetime.fromisoformat(str(written)) if written is not None else None
    for key, patterns in condition["StringLike"].items():
        tag = DenyTag(key.removeprefix(_TAG_KEY))
        if not isinstance(patterns, list):
            raise TypeError("not a statement of ours")
        yield from (Line(tag, str(pattern), before) for pattern in patterns)


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(before: datetime | None) -> float:
    return float("-inf") if before is None else before.timestamp()
