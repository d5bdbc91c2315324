"""What a replay and its workers say to each other: frames as `rego.wire` has them, with JSON in them."""

import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

from remit_server.application.policy.ports import Outcome, RecordedDecision
from remit_server.application.policy.replaying.differences import Difference, Finding
from remit_server.application.policy.replaying.replaying_one import Replayed, Verdict
from remit_server.domain.decision import DecisionInput, KeptText

HEADER: Final = struct.Struct(">cI")
MAX_FRAME: Final = 256 << 20

# What a worker is sent: the candidate's archive, ceilings, decisions.
CANDIDATE: Final = b"B"
CEILINGS: Final = b"C"
DECISIONS: Final = b"D"

# What it answers: the candidate's digest, what forbids the candidate to decide, replays.
READY: Final = b"Y"
REFUSED: Final = b"N"
REPLAYS: Final = b"R"

_TEXTS: Final = ("question", "circumstances", "decision")
_PLAIN: Final = tuple(one.name for one in fields(RecordedDecision) if one.name not in {*_TEXTS, "time", "outcome"})


def frame(kind: bytes, payload: bytes) -> bytes:
    """Returns one frame."""
    return HEADER.pack(kind, len(payload)) + payload


def decisions_text(batch: Iterable[RecordedDecision]) -> bytes:
    """Returns decisions as JSON."""
    return json.dumps([_decision(one) for one in batch]).encode()


def decisions_of(payload: bytes) -> tuple[RecordedDecision, ...]:
    """Returns the decisions that `decisions_text` wrote."""
    return tuple(_decision_of(one) for one in json.loads(payload))


def replays_text(replays: Sequence[Replayed]) -> bytes:
    """Returns replays as JSON."""
    return json.dumps(
        [
            [
                one.verdict.value,
                [
                    [found.difference.value, found.role_arn, found.gained, found.lost, found.reasons, found.shown]
                    for found in one.findings
                ],
                one.partly,
                one.elsewhere,
                one.unrepeated,
            ]
            for one in replays
        ]
    ).encode()


def replays_of(payload: bytes) -> tuple[Replayed, ...]:
    """Returns the replays that `replays_text` wrote; raises ValueError, TypeError or KeyError for anything else."""
    return tuple(
        Replayed(Verdict(verdict), tuple(_finding(one) for one in findings), *flags)
        for verdict, findings, *flags in json.loads(payload)
    )


def _finding(value: Any) -> Finding:
    difference, role_arn, *lines = value
    gained, lost, reasons, shown = (tuple(one) for one in lines)
    return Finding(Difference(difference), role_arn, gained, lost, reasons, shown)


def _decision(one: RecordedDecision) -> dict[str, Any]:
    texts = {name: None if (text := getattr(one, name)) is None else text.text for name in _TEXTS}
    outcome = {each.name: getattr(one.outcome, each.name) for each in fields(Outcome)}
    plain = {name: getattr(one, name) for name in _PLAIN}
    return {**plain, **texts, "time": one.time.isoformat(), "outcome": outcome}


def _decision_of(value: dict[str, Any]) -> RecordedDecision:
    question, circumstances, decision = (value[name] for name in _TEXTS)
    outcome = value["outcome"]
    return RecordedDecision(
        **{name: value[name] for name in _PLAIN},
        question=None if question is None else DecisionInput(question),
        circumstances=None if circumstances is None else KeptText(circumstances),
        decision=None if decision is None else KeptText(decision),
        time=datetime.fromisoformat(value["time"]),
        outcome=Outcome(**{**outcome, "entitlements": tuple(outcome["entitlements"])}),
    )
