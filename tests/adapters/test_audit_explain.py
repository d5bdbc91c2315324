"""`audit explain`: who, for whom, why, under what, what it could do, when it ended, by every name it has."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tests.databases import Place
from tests.fakes import NOON, FakeClock, permission, world
from tests.ledger_values import told_story
from typer.testing import CliRunner, Result

from remit_server.adapters.database.revoking.revocations import DatabaseRevocations
from remit_server.cli.main import app
from remit_server.domain.errors import Denied
from remit_server.domain.grant import Grant
from remit_server.domain.revocation import RevokeCause, RevokeOrder, Target, TargetKind


def explain(place: Place, what: str, *options: str) -> Result:
    arguments = ["audit", "explain", what, "--database", str(place), *options]
    with ThreadPoolExecutor(1) as beside:  # a command runs in a process of its own, with no loop around it
        return beside.submit(CliRunner().invoke, app, arguments).result()


def told(place: Place, what: str) -> list[dict[str, Any]]:
    outcome = explain(place, what, "--json")
    assert outcome.exit_code == 0, outcome.output
    return [json.loads(line) for line in outcome.stdout.splitlines()]


async def issued(folder: Path, *, revoke: bool = False) -> tuple[Path, Grant]:
    """Has credentials issued by the real use case, and revokes them where that is asked for."""
    clock = FakeClock()
    async with world(folder, clock=clock) as house:
        issue: Any = await house.issue(house.request())
        if revoke:
            clock.advance(minutes=1)
            target = Target(TargetKind.SUBJECT, "alice", "https://idp.example")
            order = RevokeOrder("r" * 26, target, RevokeCause.REQUESTED, "corp:olga", "stolen \x1b[31mlaptop")
            await DatabaseRevocations(house.ledger.store).revoke(order)
        return house.database, issue.grant


async def test_a_key_that_was_found_is_explained(tmp_path: Path) -> None:
    database, grant = await issued(tmp_path)

    (answer,) = told(database, grant.issuances[0].access_key_id)

    assert (answer["grant"], answer["agent"], answer["user"]["id"]) == (grant.name, "corp:copilot", "alice")
    assert answer["purpose"] == "summarise Q3"
    assert answer["decision"]["entitlements"] == ["reports-reader"]
    assert answer["decision"]["policy_revision"] == "5" * 64
    assert answer["decision"]["user_groups"] == ["analysts"]
    assert answer["could_do"] == [
        {"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::reports/2026/q3/*"], "conditions": {}}
    ]
    assert answer["proven_by"]
    assert answer["revoke"] is None
    assert answer["records"] == [1, 2, 3]


@pytest.mark.parametrize("name", ["name", "grant_id", "task_id", "key", "decision"])
async def test_a_grant_is_found_by_every_name_it_has(tmp_path: Path, name: str) -> None:
    database, grant = await issued(tmp_path)
    digest = told(database, grant.name)[0]["decision"]["input_digest"]
    names = {
        "name": grant.name,
        "grant_id": grant.grant_id,
        "task_id": grant.task_id,
        "key": grant.issuances[0].access_key_id,
        "decision": digest,
    }

    assert [one["grant"] for one in told(database, names[name])] == [grant.name]


async def test_a_revoke_is_explained_with_who_and_why(tmp_path: Path) -> None:
    database, grant = await issued(tmp_path, revoke=True)

    (answer,) = told(database, grant.name)
    words = explain(database, grant.name).stdout

    assert answer["revoke"]["by"] == "corp:olga"
    assert answer["revoke"]["aimed_at"] == "subject alice of https://idp.example"
    assert answer["revoke"]["revoke_time"] == (NOON + timedelta(minutes=1)).isoformat()
    assert "revoked at 2026-11-23 12:01:00 UTC by corp:olga" in words
    assert "AWS is not known to refuse it before 2026-11-23 12:15:00 UTC, its time guard" in words
    assert "\x1b" not in words  # what somebody wrote cannot steer a terminal


async def test_it_is_told_in_words(tmp_path: Path) -> None:
    database, grant = await issued(tmp_path)

    lines = explain(database, grant.name).stdout.splitlines()

    said = {line[2:14].strip(): line[15:] for line in lines if line.startswith("  ") and line[2:14].strip()}
    assert said["agent"] == "corp:copilot, from 127.0.0.1"
    assert said["for"] == "alice of https://idp.example, of the groups analysts"
    assert said["why"] == "summarise Q3"
    assert said["could do"] == "s3:GetObject on arn:aws:s3:::reports/2026/q3/*"
    assert said["approved"] == "nobody was asked"
    assert said["ended"].startswith("not revoked; AWS refuses its credentials from 2026-11-23 12:15:00 UTC on")
    assert lines[-1].startswith("So the records say; `remit-server audit verify`")


async def test_both_databases_explain_alike(place: Place) -> None:
    await told_story(place)

    (answer,) = told(place, "ASIAEXAMPLE000000001")

    assert answer["state"] == "REVOKING"
    assert answer["revoke"]["cause"] == "TASK_ENDED"
    assert len(answer["records"]) == 4


@pytest.mark.parametrize(
    ("what", "code", "said"),
    [
        ("ASIANOBODYKNOWSTHIS0", 1, "knows nothing of ASIANOBODYKNOWSTHIS0"),
        ("#99999", 1, "knows nothing of #99999: it has no record of that number, or this is another ledger."),
        ("a" * 26, 1, "knows nothing"),
        ("f" * 64, 1, "knows nothing"),
        ("*", 2, "none of what can be explained: give an access key id"),
        ("tasks/*/grants/*", 2, "none of what can be explained"),
        ("' OR 1=1 --", 2, "none of what can be explained"),
        ("%", 2, "none of what can be explained"),
    ],
)
async def test_what_is_not_known_and_what_is_no_name_are_told_apart(
    tmp_path: Path, what: str, code: int, said: str
) -> None:
    database, _ = await issued(tmp_path)

    outcome = explain(database, what)

    assert (outcome.exit_code, outcome.stdout) == (code, "")
    assert said in outcome.stderr


async def test_a_part_of_a_grant_tells_its_parent_and_a_grant_its_parts(tmp_path: Path) -> None:
    async with world(tmp_path) as house:
        whole: Any = await house.issue(house.request())
        asked = house.attenuation(whole.grant)
        part = await house.attenuate(asked)

    (of_part,) = told(house.database, part.credentials.access_key_id)
    by_request = told(house.database, str(UUID(asked.request_id)).replace("-", ""))
    (of_whole,) = told(house.database, whole.grant.name)
    words = explain(house.database, part.grant.name).stdout

    assert (of_part["parent"], of_part["is_attenuated"]) == (whole.grant.name, True)
    assert (of_part["purpose"], of_part["request_id"]) == ("read one report", asked.request_id)
    assert (of_part["again"], of_part["proven_by"][0].endswith(f"statement 0 of {whole.grant.name}")) == ([], True)
    assert [one["grant"] for one in by_request] == [part.grant.name]
    assert (of_whole["attenuated_to"], of_whole["parent"]) == ([part.grant.name], "")
    assert f"attenuated from {whole.grant.name}" in words
    assert "nothing anew" in words


async def test_a_part_that_was_refused_is_explained_and_asks_no_policy_again(tmp_path: Path) -> None:
    async with world(tmp_path) as house:
        whole: Any = await house.issue(house.request())
        asked = house.attenuation(whole.grant, permission("s3:PutObject", "arn:aws:s3:::reports/2026/q3/x"))
        with pytest.raises(Denied):
            await house.attenuate(asked)

    (answer,) = told(house.database, str(UUID(asked.request_id)).replace("-", ""))

    assert (answer["method"], answer["reason"]) == ("AttenuateCredentials", "CEILING_EXCEEDED")
    assert answer["failures"][0][2] == "parent_grant"
    assert [one["lacking"] for one in answer["again"]] == [["attenuating asks no policy"]]
