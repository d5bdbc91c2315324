"""`policy replay`: from a ledger or a copy of it, in every form, with the exit codes that CI goes by."""

import asyncio
import json
import re
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from tests.databases import Place
from tests.policy_bundles import DEFAULT_POLICIES
from tests.replay_world import REPORT, edited, known, recording, some_history
from typer.testing import CliRunner, Result

from remit_server.adapters.policy.bundles.archive import archive_of_files
from remit_server.adapters.policy.bundles.bundle_files import read_files
from remit_server.application.policy.replaying.report import Report
from remit_server.application.policy.replaying.report_json import report_of
from remit_server.cli.main import app
from remit_server.cli.policy.replaying.markdown import MOST_CHARACTERS, markdown
from remit_server.cli.policy.replaying.page import page
from remit_server.cli.policy.replaying.text import lines

SCHEMA = Path(__file__).parents[2] / "docs" / "policy-replay.schema.json"
GOLDEN = Path(__file__).parents[1] / "golden" / "replay" / "everything.json"
NASTY = "</code><script>alert(1)</script><img src=x onerror=alert(1)>\x1b[31m\u202e[x](javascript:alert(1))`@all"


def replay(place: Place, candidate: Path | str, *options: str) -> Result:
    arguments = ["policy", "replay", "--against", str(candidate), "--database", str(place), "--since", "2020-01-01"]
    return CliRunner().invoke(app, [*arguments, "--jobs", "1", *options])


@pytest.fixture
async def ledger(tmp_path: Path) -> Path:
    """A copy of a ledger with some history, as a reviewer has one."""
    async with recording(tmp_path / "live.db") as gateway:
        await some_history(gateway)
    return Path(shutil.copy(tmp_path / "live.db", tmp_path / "copy.db"))


def widened(folder: Path) -> Path:
    """Returns policies that let analysts write reports."""
    more = {"actions": ["s3:PutObject"], "resources": ["arn:aws:s3:::reports/*"], "conditions": []}
    return edited(folder, catalogue=lambda tree: tree["entitlements"]["reports-reader"]["permissions"].append(more))


def refusing(folder: Path) -> Path:
    """Returns policies that let engineers do nothing any more."""
    return edited(folder, catalogue=lambda tree: tree["by_group"].update(nobody=tree["by_group"].pop("engineers")))


def test_a_copy_of_the_ledger_is_replayed_and_nothing_is_written_to_it(ledger: Path) -> None:
    before = ledger.read_bytes()

    outcome = replay(ledger, DEFAULT_POLICIES, "--ci")

    assert outcome.exit_code == 0, outcome.output
    assert "13 decisions replayed: the candidate answers every one" in outcome.stdout
    assert ledger.read_bytes() == before


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ('"analysts"', '"engineers"'),
        ('"max_credential_seconds":3600', '"max_credential_seconds":9600'),
        ('"narrow":false', '"narrow":true'),
        ('"floor":"', '"floor":"0'),
    ],
    ids=["question", "decision", "circumstances", "ceilings"],
)
def test_a_history_whose_texts_were_changed_is_not_replayed(ledger: Path, was: str, becomes: str) -> None:
    with closing(sqlite3.connect(ledger)) as connection, connection:
        changed = connection.execute(
            "UPDATE audit_texts SET text = replace(text, ?, ?) WHERE instr(text, ?)", (was, becomes, was)
        )
        assert changed.rowcount

    outcome = replay(ledger, DEFAULT_POLICIES)

    assert outcome.exit_code == 2, outcome.output
    assert "run `remit-server audit verify`" in outcome.stderr


@pytest.mark.parametrize("form", ["text", "json"])
def test_ci_does_not_pass_a_replay_that_could_compare_nothing(ledger: Path, tmp_path: Path, form: str) -> None:
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute("DELETE FROM audit_texts")

    told = replay(ledger, widened(tmp_path / "wider"), "--format", form)
    judged = replay(ledger, widened(tmp_path / "wider2"), "--ci", "--allow-widening", "--allow-refusals")

    assert told.exit_code == 0, told.output
    assert "answered" not in told.stdout.splitlines()[0]
    assert judged.exit_code == 2
    assert "none of 13 decisions could be compared" in judged.stderr


def test_ci_passes_what_nobody_gains_or_loses_by_and_asks_for_a_word_on_the_rest(ledger: Path, tmp_path: Path) -> None:
    wider, refused = widened(tmp_path / "wider"), refusing(tmp_path / "refused")

    codes = {
        "wider": replay(ledger, wider, "--ci").exit_code,
        "wider, allowed": replay(ledger, wider, "--ci", "--allow-widening").exit_code,
        "wider, not asked": replay(ledger, wider).exit_code,
        "refused": replay(ledger, refused, "--ci").exit_code,
        "refused, wrong word": replay(ledger, refused, "--ci", "--allow-widening").exit_code,
        "refused, allowed": replay(ledger, refused, "--ci", "--allow-refusals").exit_code,
    }

    assert codes == {
        "wider": 1,
        "wider, allowed": 0,
        "wider, not asked": 0,
        "refused": 1,
        "refused, wrong word": 1,
        "refused, allowed": 0,
    }


def test_what_cannot_be_replayed_ends_with_2_and_says_why(ledger: Path, tmp_path: Path) -> None:
    broken = edited(tmp_path / "broken", rego={"package remit.issue": "package remit.issue\n\n}"})

    outcomes = [
        replay(ledger, broken),
        replay(ledger, "0" * 12),
        replay(ledger, "nowhere"),
        replay(tmp_path / "no.db", DEFAULT_POLICIES),
        replay(ledger, DEFAULT_POLICIES, "--since", "yesterday"),
    ]

    assert [one.exit_code for one in outcomes] == [2] * 5
    told = [one.stderr for one in outcomes]
    assert "remit/issue/issue.rego" in told[0]
    assert "no revision that begins with 000000000000" in told[1]
    assert "no folder, no file" in told[2]
    assert "2026-11-01" in told[4]


def test_an_archive_is_replayed_as_its_folder_is(ledger: Path, tmp_path: Path) -> None:
    candidate = widened(tmp_path / "wider")
    archive = tmp_path / "bundle.tar.gz"
    archive.write_bytes(archive_of_files(read_files(candidate)))

    of_folder, of_archive = (replay(ledger, one, "--format", "json") for one in (candidate, archive))

    assert of_folder.stdout == of_archive.stdout
    assert json.loads(of_folder.stdout)["widens"] is True


def test_json_is_as_its_schema_says(ledger: Path, tmp_path: Path) -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema, format_checker=FormatChecker())

    reports = [
        json.loads(replay(ledger, one, "--format", "json", "--quiet").stdout)
        for one in (DEFAULT_POLICIES, widened(tmp_path / "wider"), refusing(tmp_path / "refused"))
    ]

    assert [list(validator.iter_errors(one)) for one in reports] == [[], [], []]
    assert [bool(one["groups"]) for one in reports] == [False, True, True]
    assert list(validator.iter_errors({**reports[0], "more": 1}))


def test_a_report_goes_into_a_file_and_progress_to_standard_error(ledger: Path, tmp_path: Path) -> None:
    target = tmp_path / "report.html"

    loud = replay(ledger, DEFAULT_POLICIES, "--format", "html", "--output", str(target))
    quiet = replay(ledger, DEFAULT_POLICIES, "--quiet", "--format", "json")

    assert loud.stdout == ""
    assert "100% of the records" in loud.stderr
    assert f"written to {target}: 0 findings\n" in loud.stderr
    assert quiet.stderr == ""
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>")


def golden() -> Report:
    """Returns a report with many differences."""
    value = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return report_of(value)


def nasty() -> Report:
    """Returns one in which everything that somebody else wrote is an attack."""

    def spoiled(value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {key: spoiled(one, key) for key, one in value.items()}
        if isinstance(value, list):
            return [spoiled(one, name) for one in value]
        plain = {"difference", "since", "time", "first_time", "last_time", "ceilings", "kind"}
        return f"{value}{NASTY}" if isinstance(value, str) and name not in plain else value

    return report_of(spoiled(json.loads(GOLDEN.read_text(encoding="utf-8"))))


class Seen(HTMLParser):
    """Notes every element, attribute and text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes |= {(name, value or "") for name, value in attrs}

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_nothing_that_others_wrote_becomes_part_of_the_page() -> None:
    plain, spoiled = Seen(), Seen()

    plain.feed(page(golden()))
    spoiled.feed(page(nasty()))

    assert spoiled.elements == plain.elements
    assert spoiled.attributes == plain.attributes
    assert "script" not in spoiled.elements
    assert any("<script>alert(1)</script>" in text for text in spoiled.texts)
    assert not any(sign in text for text in spoiled.texts for sign in ("\x1b", "\u202e"))


def test_a_page_needs_and_may_load_nothing_but_itself() -> None:
    text = page(golden())

    seen = Seen()
    seen.feed(text)
    policy = dict(seen.attributes).get("content", "")
    names = {name for name, _ in seen.attributes}
    assert "default-src &#x27;none&#x27;" in text or "default-src 'none'" in text
    assert "unsafe" not in text.split("</style>")[0].split("Content-Security-Policy")[1].split(">")[0], policy
    assert not names & {"src", "href", "style", "srcset", "onload", "onclick"}
    assert not re.search(r"url\(|@import|https?://", text.split("<style>")[1].split("</style>")[0])


def test_text_for_a_terminal_cannot_steer_it() -> None:
    text = "\n".join(lines(nasty()))

    assert "\x1b" not in text
    assert "\u202e" not in text


def test_markdown_has_no_links_images_html_or_mentions_of_others_making() -> None:
    text = markdown(nasty())

    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", re.sub(r"```diff\n.*?\n```", "", text, flags=re.DOTALL))
    assert not re.search(r"(?<!\\)<", outside)
    assert not re.search(r"(?<!\\)\[[^\]]*(?<!\\)\]\(", outside)
    assert "@all" not in outside.replace("\\@all", "")
    assert text.count("```diff\n") == text.count("\n```\n")


def test_markdown_is_cut_between_groups_where_a_comment_has_no_room() -> None:
    report = golden()
    long = replace(report, groups=report.groups * 100)

    text = markdown(long)

    assert len(text) < MOST_CHARACTERS + 200
    assert re.search(r"\d+ further groups did not fit", text)


async def test_a_purpose_is_shown_cut_and_as_text(tmp_path: Path) -> None:
    async with recording(tmp_path / "live.db") as gateway:
        known(gateway.world, "ann", "analysts", "copilot", "spiffe://remit.sandbox/agent/copilot")
        request = gateway.world.request(REPORT, user="ann")
        intent = replace(request.ask.intent, purpose="<b>" + "x" * 400)
        await gateway.world.issue(replace(request, ask=replace(request.ask, intent=intent)))

    outcome = await asyncio.to_thread(replay, tmp_path / "live.db", widened(tmp_path / "wider"), "--format", "html")

    assert "&lt;b&gt;xxx" in outcome.stdout
    assert "x" * 201 not in outcome.stdout


def test_a_database_that_is_named_counts_though_a_variable_names_a_gateway(
    ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REMIT_GATEWAY", "127.0.0.1:1")

    outcome = replay(ledger, DEFAULT_POLICIES)

    assert outcome.exit_code == 0, outcome.output
