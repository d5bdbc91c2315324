"""The report as one canonical JSON text (docs/policy-replay.md), and back."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from remit_server.application.policy.replaying.differences import Difference
from remit_server.application.policy.replaying.report import Example, Group, Report
from remit_server.domain.decision import canonical_json

VERSION: Final = 1


def report_text(report: Report) -> str:
    """Returns the report as canonical JSON: equal reports are equal texts."""
    return canonical_json(
        {
            "version": VERSION,
            "candidate": report.candidate,
            "baselines": dict(report.baselines),
            "since": _text(report.since),
            "records": {"first": report.first, "last": report.last},
            "first_time": _text(report.first_time),
            "last_time": _text(report.last_time),
            "decisions": report.decisions,
            "compared": report.compared,
            "verdicts": dict(report.verdicts),
            "effects": dict(report.effects),
            "partly": report.partly,
            "elsewhere": report.elsewhere,
            "unrepeated": report.unrepeated,
            "ceilings": "GIVEN" if report.given_ceilings else "RECORDED",
            "widens": report.widens,
            "refuses": report.refuses,
            "untold": report.untold,
            "groups": [_group(one) for one in report.groups],
        }
    )


def report_of(value: Mapping[str, Any]) -> Report:
    """Returns the report that `report_text` wrote; raises ValueError for anything else."""
    try:
        if value["version"] != VERSION:
            raise ValueError("the report is of another version of the gateway")
        return Report(
            candidate=_str(value["candidate"]),
            baselines={_str(name): int(count) for name, count in value["baselines"].items()},
            since=datetime.fromisoformat(value["since"]),
            first=int(value["records"]["first"]),
            last=int(value["records"]["last"]),
            first_time=_time(value["first_time"]),
            last_time=_time(value["last_time"]),
            decisions=int(value["decisions"]),
            verdicts={_str(name): int(count) for name, count in value["verdicts"].items()},
            effects={_str(name): int(count) for name, count in value["effects"].items()},
            partly=int(value["partly"]),
            elsewhere=int(value["elsewhere"]),
            unrepeated=int(value["unrepeated"]),
            given_ceilings=value["ceilings"] == "GIVEN",
            groups=tuple(_group_of(one) for one in value["groups"]),
            untold=int(value["untold"]),
        )
    except (KeyError, TypeError, AttributeError) as wrong:
        raise ValueError("this is no report of a replay") from wrong


def _group(group: Group) -> Mapping[str, Any]:
    example = group.example
    return {
        "difference": group.difference.value,
        "role_arn": group.role_arn,
        "gained": list(group.gained),
        "lost": list(group.lost),
        "reasons": list(group.reasons),
        "count": group.count,
        "subjects": group.subjects,
        "actors": group.actors,
        "first_time": _text(group.first_time),
        "last_time": _text(group.last_time),
        "example": {
            "sequence": example.sequence,
            "time": _text(example.time),
            "kind": example.kind,
            "subject_issuer": example.subject_issuer,
            "subject_id": example.subject_id,
            "actor_id": example.actor_id,
            "purpose": example.purpose,
            "task_id": example.task_id,
            "input_digest": example.input_digest,
            "policy_revision": example.policy_revision,
            "shown": list(example.shown),
        },
    }


def _group_of(value: Mapping[str, Any]) -> Group:
    example = value["example"]
    return Group(
        difference=Difference(value["difference"]),
        role_arn=_str(value["role_arn"]),
        gained=_lines(value["gained"]),
        lost=_lines(value["lost"]),
        reasons=_lines(value["reasons"]),
        count=int(value["count"]),
        subjects=int(value["subjects"]),
        actors=int(value["actors"]),
        first_time=datetime.fromisoformat(value["first_time"]),
        last_time=datetime.fromisoformat(value["last_time"]),
        example=Example(
            sequence=int(example["sequence"]),
            time=datetime.fromisoformat(example["time"]),
            kind=_str(example["kind"]),
            subject_issuer=_str(example["subject_issuer"]),
            subject_id=_str(example["subject_id"]),
            actor_id=_str(example["actor_id"]),
            purpose=_str(example["purpose"]),
            task_id=_str(example["task_id"]),
            input_digest=_str(example["input_digest"]),
            policy_revision=_str(example["policy_revision"]),
            shown=_lines(example["shown"]),
        ),
    )


def _str(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _lines(value: Any) -> tuple[str, ...]:
    return tuple(_str(one) for one in value)


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat(timespec="microseconds")


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
