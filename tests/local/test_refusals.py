"""A model is told of a failure in one shape, by tools of frameworks and of MCP alike; the page has its members."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

import remit
from remit.frameworks.core.answers import answer_to
from remit.local.errors import LoginNeeded
from remit.mcp.answers import Problem, bad, problem_of

PAGE = (Path(__file__).parents[2] / "docs" / "refusals.md").read_text()
READ = remit.Permission("s3:GetObject", "arn:aws:s3:::reports/2026/*")
STOPPED = remit.FailedPermission("s3:PutObject", "arn:aws:s3:::reports/x", "ceiling", "no statement allows it")
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
ID = "0b5e2c1a-6f4e-4f57-9d3e-2f4f5f1c9a77"
ERRORS = {
    "narrow": remit.Refused("no", reason="CEILING_EXCEEDED", failures=(STOPPED,), offer=(READ,), request_id=ID),
    "misspelled": remit.Refused("no", failures=(remit.FailedPermission("s3:GetObjct", "*", "ceiling", ""),)),
    "split": remit.Refused("no", reason="INTENT_TOO_LARGE", remedy=remit.Remedy.SPLIT, split=((READ,), (READ,))),
    "give up": remit.Refused("no", reason="POLICY_DENIED", remedy=remit.Remedy.GIVE_UP),
    "wait": remit.ApprovalPending("wait", approval="approvals/x", groups=("security",), lapse_time=NOON, request_id=ID),
    "over": remit.TaskOver("over", reason="GRANT_NOT_LIVE", cause="SECURITY_EVENT"),
    "invalid": remit.InvalidRequest("a", violations=(remit.FieldViolation("b", "c"),)),
    "missing": remit.NotFound("no", reason="NOT_FOUND"),
    "sign in": remit.Unauthenticated("no", reason="SUBJECT_TOKEN_REJECTED"),
    "login": LoginNeeded("no", reason="LOGIN_NEEDED", advice="sign in"),
    "away": remit.Unavailable("away", reason="UNAVAILABLE"),
    "failed": remit.GatewayFailure("odd", reason="INTERNAL"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_frameworks_and_mcp_tell_the_same_members_with_the_same_values(name: str) -> None:
    answer = answer_to(ERRORS[name])
    told = bad(ERRORS[name]).structured_content

    assert answer is not None
    assert told is not None
    assert {**answer, "ways": 0} == {**told, "ways": 0}
    assert "give_up" in answer["ways"].keys() & told["ways"].keys()


def test_every_member_and_status_is_on_the_page() -> None:
    members = {
        member for row in re.findall(r"^\| (`[^|]+) \|", PAGE, re.MULTILINE) for member in re.findall(r"`(\w+)`", row)
    }
    told = {member for error in ERRORS.values() for member in answer_to(error) or {}}
    statuses = {problem_of(error).status for error in ERRORS.values()}

    assert told | statuses | Problem.model_fields.keys() <= members
