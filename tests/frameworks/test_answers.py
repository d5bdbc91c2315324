"""What a model is told about each way in which its tools are refused: the same reason, and how to go on."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

import remit
from remit.frameworks import answer_to, tells_refusals

READ = remit.Permission("s3:GetObject", "arn:aws:s3:::reports/2026/*")
STOPPED = remit.FailedPermission("s3:PutObject", "arn:aws:s3:::reports/x", "ceiling", "no statement allows it")


def refused(**more: Any) -> remit.Refused:
    return remit.Refused("too much", reason="CEILING_EXCEEDED", failures=(STOPPED,), **more)


def test_a_refusal_tells_what_stopped_and_offers_text_to_ask_with() -> None:
    answer = answer_to(refused(remedy=remit.Remedy.NARROW, offer=(READ,)))

    assert answer is not None
    assert answer["ways"].keys() == {"narrow", "give_up"}
    assert {key: value for key, value in answer.items() if key != "ways"} == {
        "status": "refused",
        "reason": "CEILING_EXCEEDED",
        "message": "too much",
        "stopped": ["s3:PutObject on arn:aws:s3:::reports/x by ceiling: no statement allows it"],
        "offer": ["s3:GetObject=arn:aws:s3:::reports/2026/*"],
        "remedy": "NARROW",
    }


@pytest.mark.parametrize(
    ("error", "status", "ways"),
    [
        (refused(remedy=remit.Remedy.GIVE_UP), "refused", {"give_up"}),
        (refused(remedy=remit.Remedy.ASK_APPROVAL), "refused", {"ask", "give_up"}),
        (refused(remedy=remit.Remedy.REAUTHENTICATE), "refused", {"ask", "give_up"}),
        (refused(remedy=remit.Remedy.SPLIT, split=((READ,), (READ,))), "refused", {"narrow", "give_up"}),
        (remit.Unauthenticated("no", reason="SUBJECT_TOKEN_REJECTED"), "refused", {"ask", "give_up"}),
        (remit.Unauthenticated("no", reason="ACTOR_REJECTED"), "refused", {"give_up"}),
        (remit.NotFound("no"), "invalid", {"correct", "give_up"}),
        (remit.Unavailable("down", retry_after=timedelta(seconds=3)), "unavailable", {"retry", "give_up"}),
        (remit.RateLimited("slower"), "unavailable", {"retry", "give_up"}),
        (remit.TaskOver("over", cause="SECURITY_EVENT"), "over", {"give_up"}),
        (remit.ApprovalPending("wait", groups=("security",)), "pending", {"wait", "give_up"}),
        (remit.InvalidRequest("allow[0]: nonsense"), "invalid", {"correct", "give_up"}),
    ],
)
def test_each_failure_says_where_it_stands_and_how_to_go_on(
    error: remit.RemitError, status: str, ways: set[str]
) -> None:
    answer = answer_to(error)

    assert answer is not None
    assert (answer["status"], set(answer["ways"])) == (status, ways)
    remedy = "CORRECT" if isinstance(error, remit.NotFound) else error.remedy.value
    assert (answer["reason"], answer["message"], answer["remedy"]) == (error.reason, error.message, remedy)


def test_a_pending_approval_says_who_may_say_yes_and_until_when() -> None:
    lapse = datetime(2026, 11, 30, tzinfo=UTC)
    pending = remit.ApprovalPending(
        "people are asked", approval="approvals/a", groups=("security", "leads"), by_subject=True, lapse_time=lapse
    )

    answer = answer_to(pending)

    assert answer is not None
    assert answer["approval"] == "approvals/a"
    assert answer["approvers"] == "1 of security or leads and the user in person"
    assert answer["lapses"] == lapse.isoformat()


def test_many_failures_and_long_messages_do_not_fill_a_models_context() -> None:
    many = tuple(remit.FailedPermission("s3:GetObject", f"arn:aws:s3:::b/{n}", "ceiling", "") for n in range(30))

    answer = answer_to(remit.Refused("x" * 9000, failures=many))

    assert answer is not None
    assert answer["stopped"][-1] == "and 25 more"
    assert len(json.dumps(answer)) < 2000


def test_a_tool_of_a_frameworks_own_kind_returns_what_it_would_raise() -> None:
    denied = ClientError({"Error": {"Code": "AccessDenied", "Message": ""}}, "GetObject")

    @tells_refusals
    def plain() -> str:
        raise refused()

    @tells_refusals
    async def waiting() -> str:
        raise denied

    told = [json.loads(plain()), json.loads(asyncio.run(waiting()))]

    assert [one["status"] for one in told] == ["refused", "denied"]
    assert plain.__name__ == "plain"


def test_other_errors_are_left_alone() -> None:
    @tells_refusals
    def plain() -> str:
        raise LookupError("elsewhere")

    @tells_refusals
    async def waiting() -> str:
        raise LookupError("elsewhere")

    with pytest.raises(LookupError, match="elsewhere"):
        plain()
    with pytest.raises(LookupError, match="elsewhere"):
        asyncio.run(waiting())
    assert answer_to(ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")) is None
