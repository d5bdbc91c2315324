"""What a caller is told when an intent does not fit a session policy."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.fakes import ROLES, permission

from remit_server.application.planning.ceilings import Ceilings
from remit_server.application.planning.choosing import EXACT
from remit_server.application.planning.plan_session import Wish, plan_session
from remit_server.domain.decision import Allow
from remit_server.domain.entitlement import Entitlement
from remit_server.domain.errors import Denied, Reason, Remedy
from remit_server.domain.permission import Permission
from remit_server.iam import Condition

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BUCKET = "arn:aws:s3:::reports"


def refused(*permissions: Permission) -> Denied:
    everything = permission(["s3:GetObject", "s3:ListBucket"], [BUCKET, f"{BUCKET}/*"])
    reader = Entitlement("reader", ROLES[0].arn, (everything,), timedelta(hours=1), timedelta(hours=8))
    wish = Wish(permissions, None, narrowed=False, task=None, token_end=None, now=NOW)
    with pytest.raises(Denied) as raised:
        plan_session(wish, Allow((reader,)), Ceilings.of(ROLES, (), "c" * 64), EXACT)
    return raised.value


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
