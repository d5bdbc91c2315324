"""Gathers the replays of a history, one after the other in its order, into a report; in bounded memory."""

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Final

from remit_server.application.policy.ports import RecordedDecision, Span
from remit_server.application.policy.replaying.differences import ORDER, Finding, effect_of
from remit_server.application.policy.replaying.replaying_one import Replayed
from remit_server.application.policy.replaying.report import Example, Group, Report

MOST_GROUPS: Final = 1_000
MOST_COUNTED: Final = 1_000  # different subjects, and agents, of one group
MOST_PURPOSE: Final = 200
MOST_BASELINES: Final = 1_000

Key = tuple[str, str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]


@dataclass(slots=True)
class _Growing:
    """A group that is still counted."""

    finding: Finding
    example: Example
    last_time: datetime
    count: int = 0
    subjects: set[bytes] = field(default_factory=set)
    actors: set[bytes] = field(default_factory=set)

    def add(self, recorded: RecordedDecision) -> None:
        self.count += 1
        self.last_time = max(self.last_time, recorded.time)
        _note(self.subjects, f"{len(recorded.subject_issuer)}:{recorded.subject_issuer}{recorded.subject_id}")
        _note(self.actors, recorded.actor_id)

    def group(self) -> Group:
        found = self.finding
        return Group(
            difference=found.difference,
            role_arn=found.role_arn,
            gained=found.gained,
            lost=found.lost,
            reasons=found.reasons,
            count=self.count,
            subjects=len(self.subjects),
            actors=len(self.actors),
            first_time=self.example.time,
            last_time=self.last_time,
            example=self.example,
        )


@dataclass(slots=True)
class Gathering:
    """A report in the making. Replays are added in the order of their records: who is the example depends on it."""

    candidate: str
    since: datetime
    given_ceilings: bool
    _groups: dict[Key, _Growing] = field(default_factory=dict)
    _verdicts: Counter[str] = field(default_factory=Counter)
    _effects: Counter[str] = field(default_factory=Counter)
    _baselines: Counter[str] = field(default_factory=Counter)
    _partly: int = 0
    _elsewhere: int = 0
    _unrepeated: int = 0
    _untold: int = 0
    _first_time: datetime | None = None
    _last_time: datetime | None = None

    def add(self, recorded: RecordedDecision, replayed: Replayed) -> None:
        """Counts one replay."""
        self._verdicts[replayed.verdict.value] += 1
        if recorded.policy_revision in self._baselines or len(self._baselines) < MOST_BASELINES:
            self._baselines[recorded.policy_revision] += 1
        self._partly += replayed.partly
        self._elsewhere += replayed.elsewhere
        self._unrepeated += replayed.unrepeated
        self._first_time = self._first_time or recorded.time
        self._last_time = recorded.time
        if replayed.findings:
            self._effects[effect_of(replayed.findings).value] += 1
        for finding in replayed.findings:
            self._add(recorded, finding)

    def _add(self, recorded: RecordedDecision, finding: Finding) -> None:
        growing = self._groups.get(finding.key)
        if growing is None:
            if len(self._groups) >= MOST_GROUPS:
                self._untold += 1
                return
            growing = _Growing(finding, _example(recorded, finding), recorded.time)
            self._groups[finding.key] = growing
        growing.add(recorded)

    def report(self, span: Span | None) -> Report:
        """Returns what was gathered over a part of the trail."""
        groups = [growing.group() for growing in self._groups.values()]
        groups.sort(
            key=lambda one: (ORDER[one.difference], -one.count, one.role_arn, one.gained, one.lost, one.reasons)
        )
        return Report(
            candidate=self.candidate,
            baselines=dict(sorted(self._baselines.items())),
            since=self.since,
            first=span.first if span else 0,
            last=span.last if span else 0,
            first_time=self._first_time,
            last_time=self._last_time,
            decisions=self._verdicts.total(),
            verdicts=dict(sorted(self._verdicts.items())),
            effects=dict(sorted(self._effects.items())),
            partly=self._partly,
            elsewhere=self._elsewhere,
            unrepeated=self._unrepeated,
            given_ceilings=self.given_ceilings,
            groups=tuple(groups),
            untold=self._untold,
        )


def _note(seen: set[bytes], name: str) -> None:
    """Notes that somebody is among those of a group, up to so many of them."""
    if len(seen) < MOST_COUNTED:
        seen.add(blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest())


def _example(recorded: RecordedDecision, finding: Finding) -> Example:
    return Example(
        sequence=recorded.sequence,
        time=recorded.time,
        kind=recorded.kind,
        subject_issuer=recorded.subject_issuer,
        subject_id=recorded.subject_id,
        actor_id=recorded.actor_id,
        purpose=purpose_of(recorded),
        task_id=recorded.task_id,
        input_digest=recorded.input_digest,
        policy_revision=recorded.policy_revision,
        shown=finding.shown,
    )


def purpose_of(recorded: RecordedDecision) -> str:
    """Returns what the agent said that the task is for, cut; for people to read."""
    try:
        purpose = json.loads(recorded.question.text)["task"]["purpose"] if recorded.question else ""
    except (ValueError, KeyError, TypeError):
        return ""
    text = str(purpose)
    return text if len(text) <= MOST_PURPOSE else f"{text[:MOST_PURPOSE]}..."
