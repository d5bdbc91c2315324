"""Counts how a candidate in shadow differs, until that is written down."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from remit_server.application.policy.ports import RecordedDecision
from remit_server.application.policy.replaying.differences import Finding
from remit_server.application.policy.replaying.gathering import purpose_of
from remit_server.application.policy.replaying.replaying_one import COMPARED, Replayed
from remit_server.domain.decision import canonical_json
from remit_server.domain.policy_revision import ShadowCount

# What is counted beside the names of `Difference`: the same, not compared, and not even tried, for there was no room.
SAME, UNCOMPARED, DROPPED = "SAME", "UNCOMPARED", "DROPPED"
MOST_KEYS: Final = 1_000
_MOST_LINES, _MOST_CHARACTERS = 10, 300


@dataclass(slots=True)
class ShadowTally:
    """Counts by the revision that decided and the difference; a decision with two differences counts in both."""

    _counts: dict[tuple[str, str], ShadowCount] = field(default_factory=dict)

    @property
    def counts(self) -> Sequence[ShadowCount]:
        """What was counted since it was last cleared."""
        return tuple(self._counts.values())

    def add(self, decided: RecordedDecision, replayed: Replayed) -> None:
        """Counts one replay."""
        if replayed.verdict not in COMPARED:
            self._count(decided, UNCOMPARED)
        elif not replayed.findings:
            self._count(decided, SAME)
        for finding in {one.difference: one for one in reversed(replayed.findings)}.values():
            self._count(decided, finding.difference.value, _example(decided, finding))

    def drop(self, decided: RecordedDecision) -> None:
        """Counts a decision that the candidate was never asked about."""
        self._count(decided, DROPPED)

    def clear(self, written: Sequence[ShadowCount]) -> None:
        """Forgets what was written, and keeps what was counted meanwhile."""
        for one in written:
            key = one.active, one.difference
            now = self._counts.pop(key)
            if now.count > one.count:
                self._counts[key] = replace(now, count=now.count - one.count)

    def _count(self, decided: RecordedDecision, difference: str, example: str = "") -> None:
        key = decided.policy_revision, difference
        known = self._counts.get(key)
        if known is not None:
            self._counts[key] = replace(known, count=known.count + 1, last_time=max(known.last_time, decided.time))
        elif len(self._counts) < MOST_KEYS:
            self._counts[key] = ShadowCount(*key, 1, example, decided.time, decided.time)


def _example(decided: RecordedDecision, finding: Finding) -> str:
    """Returns one decision with this difference as JSON, cut to what a person looks at."""
    lines = {name: [line[:_MOST_CHARACTERS] for line in getattr(finding, name)[:_MOST_LINES]] for name in _LINES}
    return canonical_json(
        {
            "time": decided.time.isoformat(timespec="microseconds"),
            "kind": decided.kind,
            "subject_issuer": decided.subject_issuer,
            "subject_id": decided.subject_id,
            "actor_id": decided.actor_id,
            "purpose": purpose_of(decided),
            "input_digest": decided.input_digest,
            "role_arn": finding.role_arn,
            **lines,
        }
    )


_LINES: Final = ("gained", "lost", "reasons", "shown")
