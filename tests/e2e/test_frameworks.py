"""Agents of five frameworks at the sandbox, each on its framework's own kind of fake model, in its own environment.

`tests/frameworks/runs` has the runs; one process goes through all of them, and the tests here read what it tells.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.watched import plain_environment

from remit_sandbox.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / "tests" / "frameworks" / "runs" / "scenarios.py"
FRAMEWORKS = ("langchain", "pydantic_ai", "openai_agents", "strands", "google_adk")
SUMMARY, REVENUE = "# Q3\nRevenue 857, up 6 % on Q2.\n", "region,revenue\nnorth,455\nsouth,402\n"
Told = dict[str, Any]

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("REMIT_EXTENDED") != "1",
        reason="part of make test-frameworks and test-extended: five environments, some minutes",
    ),
    pytest.mark.timeout(400),
]


def interpreter(name: str) -> Path:
    """Returns a framework's own interpreter; skips where there is none, or fails under REMIT_REQUIRE_REAL=1."""
    python = ROOT / f".venv-frameworks-{name}" / "bin" / "python"
    if not python.exists():
        if os.environ.get("REMIT_REQUIRE_REAL") == "1":
            pytest.fail(f"{python.parents[1].name} is missing: make frameworks")
        pytest.skip(f"{python.parents[1].name} is missing: make frameworks")
    return python


@pytest.fixture(scope="module", params=FRAMEWORKS)
def told(request: pytest.FixtureRequest, sandbox: Sandbox) -> Told:
    """What each scenario of one framework tells."""
    pair = sandbox.agents["copilot"]
    done = subprocess.run(  # noqa: S603 - our own program
        [interpreter(request.param), RUNS, request.param],
        env=plain_environment(
            {
                "PYTHONPATH": str(ROOT / "clients" / "python"),
                "REMIT_TARGET": sandbox.mtls,
                "REMIT_CA": str(sandbox.authority.bundle_path),
                "REMIT_CERTIFICATE": str(pair.certificate_path),
                "REMIT_KEY": str(pair.key_path),
                "AWS_ENDPOINT_URL": sandbox.aws.endpoint_url,
                "ALICE_TOKEN": sandbox.issuer.token("alice", client_id="copilot"),
                "BOB_TOKEN": sandbox.issuer.token("bob", client_id="copilot"),
            }
        ),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    scenarios: Told = json.loads(done.stdout)
    broke = {name: facts["broke"] for name, facts in scenarios.items() if "broke" in facts}
    assert broke == {}
    return scenarios


def answers(facts: Told) -> list[Told]:
    """Returns those results of tools that are answers to what went wrong, or to a wish."""
    return [json.loads(result) for result in facts["results"] if result.startswith("{")]


@pytest.mark.parametrize("mode", ["reads", "reads_without_a_loop", "streams"])
def test_parallel_tool_calls_of_a_run_share_one_task_that_ends_with_it(told: Told, mode: str) -> None:
    facts = told[mode]

    assert facts["failed"] == ""
    assert sorted(facts["results"]) == sorted([SUMMARY, REVENUE])
    assert facts["tasks"] == 1
    assert facts["over"]
    assert facts["gateway"] == [True]


def test_a_run_that_calls_no_tool_on_aws_begins_no_task(told: Told) -> None:
    facts = told["asks_nothing"]

    assert (facts["said"], facts["held"], facts["keys"]) == ("nothing to do", 0, 0)


def test_a_refusal_is_a_tool_result_whose_offer_the_model_takes(told: Told) -> None:
    facts = told["narrows"]
    refused, granted = answers(facts)

    assert (refused["status"], refused["reason"], refused["remedy"]) == ("refused", "CEILING_EXCEEDED", "NARROW")
    assert refused["offer"] == ["s3:GetObject=arn:aws:s3:::reports/2026/*,arn:aws:s3:::reports/drafts/*"]
    assert "request_aws_access" in refused["ways"]["narrow"]
    assert granted["status"] == "granted"
    assert facts["results"][-1] == SUMMARY
    assert facts["gateway"] == [True]


def test_what_aws_denies_is_told_as_what_to_ask_for_and_had_once_it_was_asked_for(told: Told) -> None:
    facts = told["asks_for_more"]
    denied, granted = answers(facts)

    (wanted,) = denied["ask_for"]
    assert (denied["status"], denied["reason"], denied["remedy"]) == ("denied", "AccessDenied", "ASK")
    assert wanted.startswith("s3:PutObject=arn:aws:s3:::reports/drafts/")
    assert wanted.replace("=", " on ") in denied["message"]
    assert granted["allow"] == ["s3.read_prefix bucket=reports prefix=2026/q3/", wanted]
    assert facts["results"][2:] == ["written", SUMMARY]
    assert facts["tasks"] == 1


def test_a_model_gets_no_more_than_its_developer_lets_the_run_ask_for(told: Told) -> None:
    (refused,) = answers(told["asks_beyond"])
    (denied,) = answers(told["denied_beyond"])

    assert refused["reason"] == "RUN_LIMIT_EXCEEDED"
    assert refused["may_ask_at_most"][0] == "s3:PutObject=arn:aws:s3:::reports/drafts/*"
    assert (denied["status"], denied["remedy"], list(denied["ways"])) == ("denied", "GIVE_UP", ["give_up"])


def test_what_one_role_cannot_hold_replaces_what_there_was(told: Told) -> None:
    facts = told["asks_of_another_role"]
    (granted,) = answers(facts)

    assert granted["no_more"] == ["s3.read_prefix bucket=reports prefix=2026/q3/"]
    assert (facts["results"][0], facts["results"][2]) == (SUMMARY, "30")
    assert facts["gateway"] == [True]


def test_a_pending_approval_says_who_is_waited_for(told: Told) -> None:
    (pending,) = answers(told["waits_for_people"])

    assert (pending["status"], pending["approvers"]) == ("pending", "1 of security")
    assert pending["approval"].startswith("approvals/")
    assert "wait" in pending["ways"]


def test_nonsense_of_the_model_is_corrected(told: Told) -> None:
    (invalid,) = answers(told["writes_nonsense"])

    assert (invalid["status"], invalid["remedy"]) == ("invalid", "CORRECT")
    assert "ACTION[,ACTION]=RESOURCE" in invalid["message"]


def test_other_exceptions_are_the_frameworks_own_matter_and_the_task_ends(told: Told) -> None:
    facts = told["fails"]

    assert answers(facts) == []
    assert facts["over"]


def test_a_run_that_fails_ends_its_task(told: Told) -> None:
    facts = told["breaks"]

    assert "the model is not there, after 1 results" in facts["failed"]
    assert facts["over"]
    assert facts["gateway"] == [True]


def test_the_end_of_the_task_under_a_run_is_told(told: Told) -> None:
    (over,) = answers(told["is_told_of_the_end"])

    assert (over["status"], over["reason"]) == ("over", "GRANT_NOT_LIVE")


def test_a_result_that_would_show_keys_is_withheld(told: Told) -> None:
    (withheld,) = answers(told["keeps_keys"])

    assert withheld["reason"] == "KEYS_IN_RESULT"


@pytest.mark.parametrize("scenario", ["is_cancelled", "leaves_a_stream"])
def test_a_run_that_is_cancelled_or_left_halfway_ends_its_task(told: Told, scenario: str) -> None:
    facts = told[scenario]

    assert facts["over"]
    assert facts.get("cancelled", True)


def test_runs_at_the_same_time_have_their_own_users_tasks(told: Told) -> None:
    assert told["runs_for_two_users"]["subjects"] == {"alice": "alice", "bob": "bob"}


def test_a_tool_may_have_no_more_than_its_one_call_needs(told: Told) -> None:
    facts = told["attenuates"]
    refused, granted = answers(facts)

    assert facts["results"][0] == f"AccessDenied: {SUMMARY}"
    assert (refused["status"], refused["reason"]) == ("refused", "CEILING_EXCEEDED")
    assert refused["ask_for"] == ["s3:GetObject=arn:aws:s3:::reports/2026/q2/summary.md"]
    assert granted["status"] == "granted"
    assert facts["results"][-1].startswith("AccessDenied: # Q2")


def test_a_tool_in_the_frameworks_own_manner_tells_refusals_too(told: Told) -> None:
    facts = told["has_its_own_manner"]

    assert facts["said"] == "done"
    assert "Revenue 857" in facts["seen"]
    assert "credentials do not cover s3:GetObject on arn:aws:s3:::reports/2026/q2/summary.md" in facts["seen"]


def test_a_run_that_was_given_no_task_reads_nothing(told: Told) -> None:
    facts = told["has_no_task"]

    assert facts["keys"] == 0
    assert "Revenue" not in facts["seen"]


def test_the_code_of_the_page_runs_as_it_stands(told: Told) -> None:
    facts = told["goes_by_the_page"]

    assert "Revenue 857" in facts["seen"]
    assert "done" in facts["answer"]
    assert facts["held"].endswith(" over>")


def test_no_key_is_in_what_a_model_is_shown(told: Told) -> None:
    held = {name: facts for name, facts in told.items() if facts.get("keys")}

    assert len(held) > 12
    assert [name for name, facts in held.items() if facts["keys_shown"]] == []
    assert "Revenue 857" in held["reads"]["seen"]
