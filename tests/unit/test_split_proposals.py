"""What a caller is told when an intent does not fit a session policy."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.fakes import ROLES, permission
from tests.ledger_values import COPILOT

from remit_server.application.planning import drafting
from remit_server.application.planning.ceilings import Ceilings
from remit_server.application.planning.choosing import EXACT, FAST
from remit_server.application.planning.deliberation import Deliberation, is_small
from remit_server.application.planning.drafting import Undetermined
from remit_server.application.planning.plan_session import Wish, plan_session
from remit_server.domain.decision import Allow
from remit_server.domain.entitlement import Entitlement
from remit_server.domain.errors import Denied, Reason, Remedy
from remit_server.domain.permission import Permission
from remit_server.iam import Condition, outline

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BUCKET = "arn:aws:s3:::reports"


CEILINGS = Ceilings.of(ROLES, (), "c" * 64)
READER = Entitlement(
    "reader",
    ROLES[0].arn,
    (permission(["s3:GetObject*", "s3:ListBucket"], [BUCKET, f"{BUCKET}/*"]),),
    timedelta(hours=1),
    timedelta(hours=8),
)
# Little to read and much to write: the actions overlap, so each resource stands in an Allow and in a guard.
SMALL = tuple(
    permission(("s3:GetObject", "s3:GetObject*")[number % 2], f"{BUCKET}/{number}{'ab' * 12}/*") for number in range(24)
)


def wish_for(*permissions: Permission) -> Wish:
    return Wish(permissions, None, narrowed=False, task=None, token_end=None, now=NOW)


def refused(*permissions: Permission) -> Denied:
    with pytest.raises(Denied) as raised:
        plan_session(wish_for(*permissions), Allow((READER,)), CEILINGS, EXACT)
    return raised.value


def test_what_does_not_fit_is_written_once_and_no_split_looked_for_where_calls_wait_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[bool] = []

    def watched(*values: Any, splits: bool, **named: Any) -> Any:
        written.append(splits)
        return outline(*values, splits=splits, **named)

    monkeypatch.setattr(drafting, "outline", watched)

    with pytest.raises(Undetermined):
        plan_session(wish_for(*SMALL), Allow((READER,)), CEILINGS, FAST)

    assert written == [False]


async def test_what_is_small_and_does_not_fit_is_refused_with_a_split_all_the_same() -> None:
    deliberate = Deliberation(CEILINGS)
    try:
        with pytest.raises(Denied) as raised:
            await deliberate(wish_for(*SMALL), Allow((READER,)), COPILOT)
    finally:
        deliberate.close()

    refusal = raised.value.refusal
    assert is_small(SMALL)
    assert (raised.value.reason, refusal.remedy) == (Reason.INTENT_TOO_LARGE, Remedy.SPLIT)
    assert {one for part in refusal.split for each in part for one in each.resources} == {
        one for each in SMALL for one in each.resources
    }


def test_one_permission_that_is_too_long_alone_is_named_and_no_split_is_offered() -> None:
    short = permission("s3:GetObject", f"{BUCKET}/2026/*")
    long = permission("s3:ListBucket", f"{BUCKET}/{'a' * 1000}", Condition("StringLike", "s3:prefix", ("b" * 900,)))

    error = refused(short, long)

    assert (error.reason, error.remedy, error.refusal.split) == (Reason.INTENT_TOO_LARGE, Remedy.GIVE_UP, ())
    assert "s3:ListBucket on a single resource alone is too long" in error.message


def test_an_intent_that_would_take_very_many_requests_is_told_so() -> None:
    many = [permission("s3:GetObject", f"{BUCKET}/{'a' * 1000}{number}") for number in range(26)]

    error = refused(*many)

    assert (error.reason, error.remedy, error.refusal.split) == (Reason.INTENT_TOO_LARGE, Remedy.SPLIT, ())
    assert "many small requests" in error.message
