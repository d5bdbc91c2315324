"""`audit export`: every record once, resumable, OCSF as its schema requires, and not a secret in it."""

import dataclasses
import inspect
import json
import types
import typing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from tests.databases import Place
from tests.fakes import NOON
from tests.ledger_values import WHO, told_story
from typer.testing import CliRunner, Result

from remit_server.adapters.database.trail.audit_log import events
from remit_server.cli.main import app
from remit_server.cli.ocsf import OPERATIONS, VERSION, ocsf_of
from remit_server.domain import attenuation_records, audit, audit_events, lifecycle_records
from remit_server.domain.audit import AuditRecord, ChainedEvent, ChainIntact, Who, chained, verify_chain
from remit_server.domain.audit_kinds import audit_kinds

SCHEMA = Draft202012Validator(json.loads((Path(__file__).parents[1] / "ocsf/required_1_3_0.json").read_text("utf-8")))


@pytest.fixture
async def story(place: Place) -> Place:
    return await told_story(place)


def export(place: Place, *options: str) -> Result:
    return CliRunner().invoke(app, ["audit", "export", "--database", str(place), *options])


def lines(outcome: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in outcome.stdout.splitlines()]


def test_every_record_is_exported_as_the_chain_holds_it(story: Place) -> None:
    outcome = export(story)

    assert outcome.exit_code == 0, outcome.output
    assert "9 records were exported; go on with --after 9." in outcome.stderr
    read = [
        ChainedEvent(
            line["sequence"],
            datetime.fromisoformat(line["time"]),
            line["kind"],
            line["body"],
            line["previous_hash"],
            line["event_hash"],
        )
        for line in lines(outcome)
    ]
    assert isinstance(verify_chain(read), ChainIntact)
    assert read == list(events(story))


def test_an_export_goes_on_where_one_ended(story: Place) -> None:
    whole = lines(export(story))

    first = lines(export(story, "--after", "0"))[:4]
    rest = export(story, "--after", str(first[-1]["sequence"]))

    assert [*first, *lines(rest)] == whole
    assert export(story, "--after", "9").stdout == ""
    assert "go on with --after 9" in export(story, "--after", "9").stderr


def test_a_time_bounds_what_is_exported(story: Place) -> None:
    noon = f"{NOON:%Y-%m-%dT%H:%M:%SZ}"

    assert len(lines(export(story, "--since", noon))) == 9
    assert lines(export(story, "--until", noon)) == []
    assert lines(export(story, "--since", "2027-01-01")) == []


@pytest.mark.parametrize("record", ["missing", "no-ledger"])
def test_what_is_no_ledger_is_told(tmp_path: Path, record: str) -> None:
    file = tmp_path / "x.db"
    if record == "no-ledger":
        file.write_text("not a database, but long enough to be read as one" * 40)

    outcome = export(file)

    assert outcome.exit_code == 2
    assert outcome.stdout == ""


def test_ocsf_events_are_what_their_schema_requires(story: Place) -> None:
    exported = lines(export(story, "--format", "ocsf"))

    assert len(exported) == 9
    for event in exported:
        assert [error.message for error in SCHEMA.iter_errors(event)] == []
        assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
        assert event["category_uid"] == event["class_uid"] // 1000
        assert event["metadata"]["version"] == VERSION
    assert {event["class_uid"] for event in exported} == {3003, 6003}


def test_an_ocsf_event_says_who_for_whom_and_on_what(story: Place) -> None:
    exported = lines(export(story, "--format", "ocsf"))
    issued = next(event for event in exported if event["metadata"]["event_code"] == "credentials_issued")

    assert issued["actor"] == {"app_uid": WHO.actor_id, "user": {"uid": "alice", "domain": WHO.subject_issuer}}
    assert issued["api"]["operation"] == "IssueCredentials"
    assert {one["type"] for one in issued["resources"]} == {"grant", "task", "access key"}
    assert json.loads(issued["raw_data"])["access_key_id"].startswith("ASIA")


# --- every kind of record there is -----------------------------------------------------------------------------------


def record_types() -> list[type[AuditRecord]]:
    found = [
        one for module in (attenuation_records, audit, audit_events, lifecycle_records) for one in vars(module).values()
    ]
    records = [one for one in found if inspect.isclass(one) and issubclass(one, AuditRecord) and one.kind]
    return sorted(set(records), key=lambda one: one.kind)


def a_value(kind: Any, name: str) -> Any:
    """Makes up a value of a field's type."""
    if typing.get_origin(kind) in {types.UnionType, typing.Union}:
        kind = next(one for one in typing.get_args(kind) if one is not type(None))
    if typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)[0]
        return (a_value(inner, name),) if typing.get_origin(inner) is not tuple else (("remit:grant", "a.b.c"),)
    made = {str: f"a-{name}", int: 3, bool: True, datetime: NOON, Who: WHO}
    return made[kind]


@pytest.mark.parametrize("record", record_types(), ids=lambda one: one.kind)
@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize("who", [WHO, Who()])
def test_every_kind_of_record_becomes_a_right_event(record: type[AuditRecord], flag: bool, who: Who) -> None:
    hints = typing.get_type_hints(record)
    values = {one.name: a_value(hints[one.name], one.name) for one in dataclasses.fields(record)}
    values |= {name: flag for name, value in values.items() if isinstance(value, bool)}
    values |= {name: who for name, value in values.items() if isinstance(value, Who)}
    values |= {"target": "SUBJECT"} if "target" in values else {}
    event = chained(record(**values), sequence=7, time=NOON, previous_hash="0" * 64)

    exported = ocsf_of(event)

    assert [error.message for error in SCHEMA.iter_errors(exported)] == []
    assert exported["metadata"]["event_code"] == record.kind
    assert exported["raw_data"] == event.body_text
    assert json.dumps(exported)


def test_what_shuts_a_user_out_or_lets_one_in_is_an_account_change() -> None:
    revoke = lifecycle_records.GrantsRevoked(
        *("r" * 26, "SUBJECT", "alice", "https://idp", "REQUESTED", "corp:olga", "left"),
        block=True,
        grant_count=0,
        grants=(),
        grants_digest="",
        credentials_until=None,
        denying=False,
    )
    lifted = lifecycle_records.BlockLifted("r" * 26, "SUBJECT", "alice", "https://idp", "corp:olga", "back")
    told = [ocsf_of(chained(one, sequence=1, time=NOON, previous_hash="")) for one in (revoke, lifted)]

    assert [(one["class_uid"], one["activity_id"], one["user"]["uid"]) for one in told] == [
        (3001, 5, "alice"),
        (3001, 2, "alice"),
    ]


def test_every_operation_belongs_to_a_kind_that_exists() -> None:
    assert OPERATIONS.keys() <= set(audit_kinds())
