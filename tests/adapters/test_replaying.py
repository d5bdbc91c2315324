"""Replays of real histories, by the use cases on both databases, on real candidates: the same, edited, and broken."""

import json
import os
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.databases import Place
from tests.fakes import permission
from tests.opa_server import opa_server
from tests.policy_bundles import DEFAULT_POLICIES
from tests.replay_world import (
    DRAFT,
    EPOCH,
    ORDER,
    REPORT,
    Recorded,
    edited,
    known_archive,
    recording,
    replayed,
    some_history,
    told,
)

from remit_server.adapters.database.reading.history import DatabaseHistory
from remit_server.adapters.database.reading.own_reader import own_reader
from remit_server.adapters.opa.engine import OpaLimits, OpaServer
from remit_server.adapters.policy.bundles.bundle import read_bundle
from remit_server.adapters.replaying.team import OpenTeam
from remit_server.application.policy.replaying.report import Report
from remit_server.application.policy.replaying.report_json import report_of, report_text
from remit_server.cli.policy.replaying.markdown import markdown
from remit_server.cli.policy.replaying.page import page
from remit_server.cli.policy.replaying.text import lines
from remit_server.domain.errors import Denied, Reason

GOLDEN = Path(__file__).parents[1] / "golden" / "replay"
RANDOM = re.compile(r"[0-9a-f]{64}|[a-z2-7]{26}")
SQLITE_ONLY = pytest.mark.parametrize("place", ["sqlite"], indirect=True)


@pytest.fixture
async def gateway(place: Place) -> AsyncIterator[Recorded]:
    async with recording(place) as made:
        yield made


async def test_replaying_a_revision_on_its_own_history_shows_no_difference(gateway: Recorded) -> None:
    await some_history(gateway)

    report = await replayed(gateway.place, DEFAULT_POLICIES)

    assert report.groups == ()
    assert report.verdicts == {"IDENTICAL": 13}
    assert (report.unrepeated, report.uncompared) == (0, 0)


def change_everything(catalogue: dict[str, Any]) -> None:
    """Widens, narrows and re-terms entitlements, gives some to strangers, and takes some away."""
    entries, groups = catalogue["entitlements"], catalogue["by_group"]
    everywhere = {"actions": ["s3:PutObject"], "resources": ["arn:aws:s3:::reports/*"], "conditions": []}
    entries["reports-reader"]["permissions"].append(everywhere)
    entries["reports-writer"]["permissions"][0]["actions"].remove("s3:GetObject")
    entries["reports-writer"]["max_credential_seconds"] = 600
    del entries["reports-publisher"]["approval"]
    del entries["orders-writer"]
    groups["engineers"].remove("orders-writer")
    groups["guests"] = ["reports-reader"]


@SQLITE_ONLY
async def test_known_edits_of_a_catalogue_are_told_in_aws_permissions(gateway: Recorded, tmp_path: Path) -> None:
    await some_history(gateway)

    report = await replayed(gateway.place, edited(tmp_path / "candidate", catalogue=change_everything))

    as_text = RANDOM.sub("*", "\n".join(lines(report)) + "\n")
    as_json = RANDOM.sub("*", report_text(report))
    assert as_text == (GOLDEN / "everything.txt").read_text(encoding="utf-8")
    assert as_json == (GOLDEN / "everything.json").read_text(encoding="utf-8").rstrip("\n")


@SQLITE_ONLY
async def test_a_report_comes_back_from_its_text(gateway: Recorded, tmp_path: Path) -> None:
    await some_history(gateway)
    report = await replayed(gateway.place, edited(tmp_path / "candidate", catalogue=change_everything))

    again = report_of(json_of(report))

    assert again == report


def json_of(report: Report) -> Any:
    return json.loads(report_text(report))


async def test_one_worker_and_four_make_the_same_bytes(gateway: Recorded, tmp_path: Path) -> None:
    for _ in range(5):
        await some_history(gateway)
    candidate = edited(tmp_path / "candidate", catalogue=change_everything)

    alone = await replayed(gateway.place, candidate, jobs=1, page=400)
    together = await replayed(gateway.place, candidate, jobs=4, page=7)

    assert alone.decisions == 5 * 13
    assert report_text(alone) == report_text(together)


def edit(name: str, **changes: Any) -> Any:
    """Returns an edit of one entitlement."""
    return lambda catalogue: catalogue["entitlements"][name].update(changes)


@SQLITE_ONLY
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (edit("reports-reader", max_credential_seconds=60), [("SHORTER", 1), ("TERMS_STRICTER", 1)]),
        (edit("reports-reader", max_task_seconds=36_000), [("LONGER", 1), ("TERMS_LOOSER", 1)]),
        (
            edit("reports-reader", approval={"groups": ["x"], "by": "others", "min_approvers": 1, "valid_seconds": 60}),
            [("NEWLY_ASKED", 1), ("REACH_ASKED", 1), ("TERMS_STRICTER", 1)],
        ),
        (
            edit("reports-reader", bind={"source_cidrs": ["192.0.2.0/24"]}),
            [("BOUND", 1), ("TERMS_STRICTER", 1)],
        ),
        (edit("reports-reader", offline_renewal=True), [("OFFLINE", 1), ("TERMS_LOOSER", 1)]),
        (
            edit("reports-reader", role_arn="arn:aws:iam::111122223333:role/remit-data"),
            [("NEWLY_REFUSED", 1)],
        ),
        (edit("reports-reader", actors=["spiffe://remit.sandbox/agent/other"]), [("NEWLY_REFUSED", 1)]),
        (edit("reports-reader", description="In other words"), []),
        (lambda tree: tree["by_group"].update(chiefs=tree["by_group"].pop("analysts")), [("NEWLY_REFUSED", 1)]),
    ],
    ids=["shorter", "longer", "asked", "bound", "offline", "other role", "other agent", "description", "taken"],
)
async def test_each_edit_of_an_entitlement_is_its_own_difference(
    gateway: Recorded, tmp_path: Path, change: Any, expected: list[tuple[str, int]]
) -> None:
    await gateway.issued(REPORT)

    report = await replayed(gateway.place, edited(tmp_path / "candidate", catalogue=change))

    assert [one for one in told(report) if one[0] != "REACH_NARROWER"] == expected


def rename_reader(**changes: Any) -> Any:
    """Returns an edit that gives one entitlement another name, and other terms."""

    def change(catalogue: dict[str, Any]) -> None:
        entries, groups = catalogue["entitlements"], catalogue["by_group"]
        entries["reader-of-reports"] = entries.pop("reports-reader") | changes
        for name, ids in groups.items():
            groups[name] = ["reader-of-reports" if one == "reports-reader" else one for one in ids]

    return change


@SQLITE_ONLY
@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ({}, [("OTHER_ENTITLEMENTS", 1)]),
        ({"max_credential_seconds": 60}, [("SHORTER", 1)]),
        ({"max_credential_seconds": 3601}, [("OTHER_ENTITLEMENTS", 1), ("TERMS_LOOSER", 1)]),
    ],
    ids=["same", "harder", "easier"],
)
async def test_easier_terms_are_seen_under_another_name(
    gateway: Recorded, tmp_path: Path, terms: dict[str, Any], expected: list[tuple[str, int]]
) -> None:
    await gateway.issued(REPORT)

    report = await replayed(gateway.place, edited(tmp_path / "candidate", catalogue=rename_reader(**terms)))

    assert told(report) == expected
    assert report.widens is (("TERMS_LOOSER", 1) in expected)


@SQLITE_ONLY
async def test_a_widening_that_nobody_has_asked_for_is_seen_all_the_same(gateway: Recorded, tmp_path: Path) -> None:
    await gateway.issued(REPORT)
    await gateway.asks(REPORT, user="zoe")
    wider = [{"actions": ["s3:PutObject"], "resources": ["arn:aws:s3:::reports/*"], "conditions": []}]

    def widen(catalogue: dict[str, Any]) -> None:
        catalogue["entitlements"]["reports-reader"]["permissions"] += wider

    report = await replayed(gateway.place, edited(tmp_path / "candidate", catalogue=widen))

    assert told(report) == [("REACH_WIDER", 1)]
    assert report.groups[0].gained == ("s3:PutObject on arn:aws:s3:::reports/*",)
    assert report.widens


@SQLITE_ONLY
async def test_a_plus_is_only_what_could_not_be_had_before(gateway: Recorded, tmp_path: Path) -> None:
    await gateway.asks(REPORT, permission("s3:GetObject", "arn:aws:s3:::reports/2025/q4.csv"))
    last_year = {"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::reports/2025/*"], "conditions": []}

    def add_last_year(catalogue: dict[str, Any]) -> None:
        catalogue["entitlements"]["reports-reader"]["permissions"].append(last_year)

    report = await replayed(gateway.place, edited(tmp_path / "candidate", catalogue=add_last_year))

    allowed = report.groups[0]
    had = "would get, could have had before: s3:GetObject on arn:aws:s3:::reports/2026"
    assert (allowed.difference.value, allowed.gained) == (
        "NEWLY_ALLOWED",
        ("s3:GetObject on arn:aws:s3:::reports/2025/*",),
    )
    assert f"{had}/*" in allowed.reasons
    assert allowed.example.shown == (
        "+ s3:GetObject on arn:aws:s3:::reports/2025/q4.csv",
        f"{had}/q3/summary.csv",
    )
    for form in ("\n".join(lines(report)), markdown(report), page(report)):
        assert not re.search(r"(\+ |data-sign=\"\+\"><code>)s3:GetObject on arn:aws:s3:::reports/2026", form)
        assert "could have had before" in form


@SQLITE_ONLY
async def test_what_the_role_itself_may_not_do_is_no_widening(gateway: Recorded, tmp_path: Path) -> None:
    await gateway.issued(REPORT)
    beyond = {"actions": ["s3:PutObject"], "resources": ["arn:aws:s3:::elsewhere/*"], "conditions": []}

    def widen(catalogue: dict[str, Any]) -> None:
        catalogue["entitlements"]["reports-reader"]["permissions"].append(beyond)

    report = await replayed(gateway.place, edited(tmp_path / "candidate", catalogue=widen))

    assert told(report) == []
    assert report.verdicts == {"SAME": 1}


FAILING = {
    "error on some inputs": 'fails := 1 / 0 if input.subject.id == "eve"',
    "no decision": None,
    "endless": (
        "fails := count([1 | some a in numbers.range(1, 100000); some b in numbers.range(1, 100000); a + b == 0])"
        ' if input.subject.id == "eve"'
    ),
    "much memory": 'fails := count(numbers.range(1, 200000000)) if input.subject.id == "eve"',
}
WHY = {
    "error on some inputs": "zero",
    "no decision": "undefined",
    "endless": "no answer within 2 s",
    "much memory": "engine died",
}


@SQLITE_ONLY
@pytest.mark.parametrize("how", FAILING)
async def test_a_broken_candidate_fails_on_its_inputs_and_the_replay_goes_on(
    gateway: Recorded, tmp_path: Path, how: str
) -> None:
    await gateway.issued(REPORT)
    await gateway.issued(DRAFT, user="eve")
    await gateway.issued(ORDER, user="eve")
    await gateway.issued(REPORT)
    yes = 'decision := {"allow": true, "entitlements": entitlements, "reasons": []} if count(reasons) == 0'
    broken = f"{yes}\n\n{FAILING[how]}\n"
    rego = {yes: broken.replace("} if count(reasons) == 0", "} if {\n\tcount(reasons) == 0\n\tnot fails == -1\n}")}
    if FAILING[how] is None:
        rego = {
            yes: yes.replace("count(reasons) == 0", 'count(reasons) == 0\n\tinput.subject.id != "eve"\n}').replace(
                "if count", "if {\n\tcount"
            )
        }

    report = await replayed(gateway.place, edited(tmp_path / "candidate", rego=rego))

    assert told(report) == [("FAILED", 2)]
    assert WHY[how] in report.groups[0].reasons[0]
    assert report.verdicts == {"FAILED": 2, "IDENTICAL": 2}
    assert report.refuses


@SQLITE_ONLY
async def test_a_candidate_that_names_an_unknown_role_fails_on_who_would_get_it(
    gateway: Recorded, tmp_path: Path
) -> None:
    await gateway.issued(REPORT)
    await gateway.issued(DRAFT, user="eve")
    unknown = "arn:aws:iam::111122223333:role/unheard-of"

    def misname(catalogue: dict[str, Any]) -> None:
        catalogue["roles"].append(unknown)
        catalogue["entitlements"]["reports-reader"]["role_arn"] = unknown

    report = await replayed(gateway.place, edited(tmp_path / "candidate", catalogue=misname))

    assert told(report) == [("FAILED", 1)]
    assert report.groups[0].reasons == (f"it names a role that the ceilings do not have: {unknown}",)


@SQLITE_ONLY
async def test_a_candidate_that_may_not_decide_at_all_is_refused_before_anything_is_replayed(
    gateway: Recorded, tmp_path: Path
) -> None:
    await gateway.issued(REPORT)
    now = {"count(reasons) == 0": "time.now_ns() > count(reasons)"}

    with pytest.raises(Denied) as refused:
        await replayed(gateway.place, edited(tmp_path / "candidate", rego=now))

    assert refused.value.reason is Reason.REVISION_REFUSED
    assert "time.now_ns" in refused.value.message


@SQLITE_ONLY
async def test_other_rules_for_refusing_are_told_with_both_reasons(gateway: Recorded, tmp_path: Path) -> None:
    await gateway.asks(REPORT, user="zoe")
    await gateway.asks(permission("s3:GetObject", "arn:aws:s3:::reports/drafts/q4.md"))
    rego = {'"code": "no_entitlement"': '"code": "nothing_for_you"'}

    report = await replayed(gateway.place, edited(tmp_path / "candidate", rego=rego))

    assert told(report) == [("REFUSED_OTHERWISE", 1)]
    assert report.groups[0].reasons == ("was policy: no_entitlement", "would be policy: nothing_for_you")


@SQLITE_ONLY
async def test_what_was_refused_by_something_else_than_policy_is_not_taken_for_its_no(
    gateway: Recorded, tmp_path: Path
) -> None:
    both = (REPORT, permission("s3:GetObject", "arn:aws:s3:::reports/2026/q4/summary.csv"))
    issued = await gateway.issued(*both, narrow=True)
    less = [{"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::reports/2026/q3/*"], "conditions": []}]
    narrower = edited(tmp_path / "narrower", catalogue=edit("reports-reader", permissions=less))
    await gateway.engine.activate(read_bundle(narrower, stamped=False))
    refused = await gateway.renews(issued)

    report = await replayed(gateway.place, narrower)

    assert isinstance(refused, Denied), refused
    assert "allows less than the grant's credentials" in refused.message
    assert report.elsewhere == 1
    assert told(report) == [("NARROWER", 1), ("REACH_NARROWER", 1)]


@SQLITE_ONLY
async def test_credentials_that_sts_refused_are_one_decision_though_two_records_tell_of_it(gateway: Recorded) -> None:
    gateway.world.sts.failure = Denied(Reason.INTENT_TOO_LARGE, "AWS packs it too large")
    refused = await gateway.asks(REPORT)

    report = await replayed(gateway.place, DEFAULT_POLICIES)

    assert isinstance(refused, Denied)
    assert (await gateway.world.trail())[-3:] == ["grant_authorized", "issuance_failed", "request_refused"]
    assert report.verdicts == {"IDENTICAL": 1}


async def test_what_opa_decided_the_embedded_engine_decides_again_bit_for_bit(tmp_path: Path) -> None:
    bundle = read_bundle(DEFAULT_POLICIES, stamped=False)
    with opa_server(tmp_path / "opa") as opa:
        engine = await OpaServer.start(bundle, opa.settings(), OpaLimits(decision_seconds=5.0))
        async with recording(tmp_path / "ledger.db", decides_by=engine) as gateway:
            await some_history(gateway)

    report = await replayed(tmp_path / "ledger.db", DEFAULT_POLICIES)

    assert report.verdicts == {"IDENTICAL": 13}


@SQLITE_ONLY
async def test_a_worker_that_is_lost_is_replaced_and_nothing_of_the_history_with_it(gateway: Recorded) -> None:
    await some_history(gateway)
    async with own_reader(gateway.place) as reader, OpenTeam(2)(known_archive(DEFAULT_POLICIES)) as team:
        history = DatabaseHistory(reader)
        span = await history.span(EPOCH, most=100)
        assert span is not None
        decisions = [one for page in [each async for each in history.decisions(span)] for one in page.decisions]
        team.know(gateway.kept.digest, gateway.kept)
        before = team.pids
        for pid in before:
            os.kill(pid, signal.SIGKILL)

        replays = await team(decisions)

        assert {one.verdict.value for one in replays} == {"IDENTICAL"}
        assert len(replays) == 13
        assert not team.pids & before
