"""`audit explain` decides again (grants, renewals, refusals, approvals) by the revision of each, or says what lacks."""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.policy_bundles import DEFAULT_POLICIES
from tests.property.test_time_travel_laws import PATIENT
from tests.recorded_world import default_bundle, recorded
from typer.testing import CliRunner, Result

from remit_server.adapters.rego.embedded import EmbeddedRego
from remit_server.cli.main import app

REVISION = default_bundle()[0].revision


def explain(place: Path, what: str, *options: str) -> Result:
    return CliRunner().invoke(app, ["audit", "explain", what, "--database", str(place), *options])


def told(place: Path, what: str, *options: str) -> list[dict[str, Any]]:
    outcome = explain(place, what, "--json", *options)
    assert outcome.stdout, outcome.output
    return [json.loads(line) for line in outcome.stdout.splitlines()]


def changed(place: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(place, isolation_level=None)) as ledger:
        assert ledger.execute(statement, values).rowcount > 0


def rows(place: Path, statement: str) -> Sequence[Any]:
    with closing(sqlite3.connect(place)) as ledger:
        return ledger.execute(statement).fetchall()


async def history(place: Path) -> None:
    """Has a grant issued and renewed, one refused, one approved and one previewed."""
    engine = await EmbeddedRego.start(default_bundle()[0], PATIENT)
    try:
        async with recorded(place, engine) as house:
            await house.issues("alice", "reads")
            house.waits(5)
            await house.renews(0)
            await house.issues("gus", "reads", request_id="1b4e28ba-2fa1-11d2-883f-0016d3cca427")
            await house.issues("alice", "publishes")
            await house.previews("eve", "both roles")
    finally:
        await engine.close()


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("lived") / "remit.sqlite3"
    asyncio.run(history(place))
    return place


@pytest.fixture
def ledger(lived: Path, tmp_path: Path) -> Path:
    """A copy of its own for each test, to be spoilt."""
    return Path(shutil.copy(lived, tmp_path / "remit.sqlite3"))


def grant_in(place: Path) -> str:
    ((task, grant),) = rows(place, "SELECT task_id, grant_id FROM grants ORDER BY issue_time LIMIT 1")
    return f"tasks/{task}/grants/{grant}"


def place_of(place: Path, kind: str) -> int:
    ((sequence,),) = rows(place, f"SELECT min(sequence) FROM audit_events WHERE kind = '{kind}'")  # noqa: S608 - ours
    return int(sequence)


def test_a_grant_is_decided_again_with_its_renewals_on_a_copy_with_no_gateway_near(
    ledger: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.sqlite3"
    shutil.copy(ledger, copy)

    (answer,) = told(copy, grant_in(ledger))
    words = explain(copy, grant_in(ledger)).stdout

    assert [(one["kind"], one["verdict"]) for one in answer["again"]] == [
        ("grant_authorized", "same"),
        ("renewal_authorized", "same"),
    ]
    assert words.count(f"decided again under revision {REVISION[:12]}: the same, byte for byte") == 2


@pytest.mark.parametrize("by", ["record", "request", "input"])
def test_a_refusal_is_explained_by_every_name_it_has_and_refused_again(ledger: Path, by: str) -> None:
    place = place_of(ledger, "request_refused")
    ((body,),) = rows(ledger, f"SELECT body FROM audit_events WHERE sequence = {place}")  # noqa: S608 - ours
    names = {"record": f"#{place}", "request": "1B4E28BA-2FA1-11D2-883F-0016D3CCA427"}
    names["input"] = json.loads(body)["input_digest"]

    (answer,) = told(ledger, names[by])
    words = explain(ledger, names[by]).stdout.splitlines()

    assert (answer["record"], answer["reason"], answer["user"]["id"]) == (place, "POLICY_DENIED", "gus")
    assert [one["code"] for one in answer["policy_said"]["reasons"]] == ["no_entitlement"]
    assert [one["verdict"] for one in answer["again"]] == ["same"]
    assert words[0].startswith(f"Record #{place} (request_refused, ")
    assert any(line.startswith("  decided      by policy revision") for line in words)


def test_an_approval_leads_to_its_grant_and_what_was_asked_is_asked_again(ledger: Path) -> None:
    ((approval,),) = rows(ledger, "SELECT approval_id FROM approvals")

    (answer,) = told(ledger, f"approvals/{approval}")

    assert [(one["kind"], one["verdict"]) for one in answer["again"]] == [
        ("approval_asked", "same"),
        ("grant_authorized", "same"),
    ]
    assert [one["approved"] for one in answer["approvals"]] == [True]


def test_a_preview_is_explained_by_its_record(ledger: Path) -> None:
    (answer,) = told(ledger, f"#{place_of(ledger, 'preview_decided')}")

    assert (answer["kind"], answer["allowed"], answer["reason"]) == ("preview_decided", False, "INTENT_SPANS_ROLES")
    assert [one["verdict"] for one in answer["again"]] == ["same"]


def test_a_record_in_which_nothing_was_decided_is_told(ledger: Path) -> None:
    outcome = explain(ledger, f"#{place_of(ledger, 'gateway_started')}")

    assert outcome.exit_code == 2
    assert "tells of no decision" in outcome.stderr


@pytest.mark.parametrize("what", ["input", "circumstances"])
def test_what_was_erased_is_named(ledger: Path, what: str) -> None:
    grant = grant_in(ledger)
    place = place_of(ledger, "grant_authorized")
    ((body,),) = rows(ledger, f"SELECT body FROM audit_events WHERE sequence = {place}")  # noqa: S608 - ours
    changed(ledger, "DELETE FROM audit_texts WHERE digest = ?", json.loads(body)[f"{what}_digest"])

    outcome = explain(ledger, grant)

    assert outcome.exit_code == 0
    assert f"cannot be decided again: the {what} {'was' if what == 'input' else 'were'} erased" in outcome.stdout


def test_a_revision_that_was_never_published_is_named_and_may_be_given(ledger: Path) -> None:
    changed(ledger, "DELETE FROM policy_archives")
    grant = grant_in(ledger)

    without = explain(ledger, grant)
    given = explain(ledger, grant, "--bundle", str(DEFAULT_POLICIES))

    assert f"revision {REVISION} was never published to this database: give it with --bundle" in without.stdout
    assert given.stdout.count("the same, byte for byte") == 2


def test_another_floor_than_it_was_then_is_named(ledger: Path) -> None:
    changed(
        ledger, """UPDATE audit_texts SET text = replace(text, '"floor":"', '"floor":"0') WHERE text LIKE '%"floor"%'"""
    )

    outcome = explain(ledger, grant_in(ledger))

    assert (
        outcome.stdout.count("the forbidden floor of this version of the gateway is another one than it was then") == 2
    )


@pytest.mark.parametrize(
    ("was", "becomes", "part"),
    [
        ("T12:00:00.000000", "T12:00:01.000000", "expire_time"),
        ('"requested_seconds":null', '"requested_seconds":60', "expire_time"),
    ],
    ids=["time", "duration"],
)
def test_what_comes_out_otherwise_is_told_and_ends_with_1(ledger: Path, was: str, becomes: str, part: str) -> None:
    changed(
        ledger,
        """UPDATE audit_texts SET text = replace(text, ?, ?) WHERE text LIKE '%"now":"2026-11-23T12:00:00.0%'""",
        was,
        becomes,
    )

    outcome = explain(ledger, grant_in(ledger))

    assert outcome.exit_code == 1
    assert "NOT THE SAME" in outcome.stdout
    assert f"{part} on record: " in outcome.stdout


def test_nothing_is_decided_again_when_that_is_not_wanted(ledger: Path) -> None:
    (answer,) = told(ledger, grant_in(ledger), "--no-again")

    assert answer["again"] == []


@pytest.mark.parametrize(
    ("marked", "what"),
    [
        ('"delegation_history"', "the input it was decided on"),
        ('"token_end"', "the circumstances it was decided under"),
        ('"entitlements":', "the decision that policy gave"),
        ('"floor"', "the ceilings it was decided under"),
    ],
)
def test_every_text_beside_the_chain_is_held_to_its_digest(ledger: Path, marked: str, what: str) -> None:
    changed(ledger, "UPDATE audit_texts SET text = text || ' ' WHERE text LIKE ?", f"%{marked}%")

    outcome = CliRunner().invoke(app, ["audit", "verify", "--database", str(ledger)])

    assert outcome.exit_code == 1
    assert f"{what} is not what was recorded" in outcome.stdout


def test_verifying_counts_what_is_kept_of_each_sort(ledger: Path) -> None:
    changed(ledger, "DELETE FROM audit_texts WHERE text LIKE '%\"token_end\"%'")

    outcome = CliRunner().invoke(app, ["audit", "verify", "--database", str(ledger), "--json"])

    counts = json.loads(outcome.stdout)
    assert counts["circumstances"]["kept"] == 0
    assert counts["circumstances"]["named"] > 3
    assert counts["decision"]["kept"] == counts["decision"]["named"] > 1
    assert counts["ceilings"] == {"named": 1, "kept": 1}


@pytest.mark.parametrize("text", ["{}", "[]", "null", '{"subject": 3}', "no JSON at all"])
@pytest.mark.parametrize("what", ["grant", "refusal"])
def test_a_text_that_was_replaced_is_told_and_never_a_traceback(ledger: Path, text: str, what: str) -> None:
    changed(ledger, "UPDATE audit_texts SET text = ? WHERE text LIKE '%\"delegation_history\"%'", text)
    name = grant_in(ledger) if what == "grant" else f"#{place_of(ledger, 'request_refused')}"

    outcome = explain(ledger, name)

    assert isinstance(outcome.exception, SystemExit)
    assert outcome.exit_code == 1
    assert "the digest of the kept input on record:" in outcome.stdout


def test_a_record_that_no_gateway_wrote_is_told(ledger: Path) -> None:
    place = place_of(ledger, "request_refused")
    changed(ledger, f"UPDATE audit_events SET body = '[1]' WHERE sequence = {place}")  # noqa: S608 - ours

    outcome = explain(ledger, f"#{place}")

    assert outcome.exit_code == 2
    assert "is not what a gateway records" in outcome.stderr
