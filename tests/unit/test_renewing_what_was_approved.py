"""Renewals of what people approved: within its time, for exactly that, and never past people who were not asked."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.approval_world import ASKING, BREAK_GLASS, LEA, LEADS, LEO, Approving, approving
from tests.fakes import NOON, READ_REPORTS, permission

from remit_server.domain.errors import Reason, RemitError
from remit_server.domain.grant import Grant

Q3 = permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/one.csv")


@pytest.fixture
async def people(tmp_path: Path) -> AsyncIterator[Approving]:
    async with approving(tmp_path) as made:
        yield made


async def approved(people: Approving) -> Grant:
    """Returns a grant that a lead has approved, good for ten minutes from noon on."""
    request = people.gateway.request()
    await people.says(LEA, (await people.asked(request)).approval)
    return (await people.collected(request)).grant


async def refused(people: Approving, grant: Grant, **more: Any) -> Reason:
    with pytest.raises(RemitError) as raised:
        await people.gateway.renew(people.gateway.renewal(grant, **more))
    return raised.value.reason


async def test_it_is_renewed_until_the_approval_ends_and_not_beyond(people: Approving) -> None:
    grant = await approved(people)
    people.gateway.clock.advance(minutes=5)

    renewed = await people.gateway.renew(people.gateway.renewal(grant))

    assert renewed.credentials.expire_time == NOON + timedelta(minutes=10)
    people.gateway.clock.advance(minutes=4, seconds=50)
    assert await refused(people, grant) is Reason.GRANT_NOT_LIVE  # too little is left
    people.gateway.clock.advance(seconds=10)
    assert await refused(people, grant) in {Reason.GRANT_NOT_LIVE, Reason.APPROVAL_LAPSED}


@pytest.mark.parametrize(
    "rule",
    [
        replace(ASKING, permissions=(Q3,)),
        replace(ASKING, max_credential=timedelta(minutes=5)),
        replace(ASKING, approval=replace(LEADS, groups=("directors",))),
        replace(ASKING, approval=replace(LEADS, min_approvers=2)),
        replace(ASKING, approval=replace(LEADS, valid=timedelta(minutes=3))),
    ],
    ids=["less", "a shorter life", "other people", "more people", "a shorter time"],
)
async def test_a_policy_that_would_ask_for_something_else_renews_nothing(people: Approving, rule: object) -> None:
    grant = await approved(people)
    people.gateway.clock.advance(minutes=1)
    people.policy(rule)  # type: ignore[arg-type] # each is an entitlement

    assert await refused(people, grant, narrow=True) in {Reason.APPROVAL_CHANGED, Reason.CEILING_EXCEEDED}
    assert len(people.gateway.sts.orders) == 1


async def test_a_renewal_for_longer_than_was_approved_is_refused(people: Approving) -> None:
    grant = await approved(people)

    assert await refused(people, grant, requested_duration=timedelta(hours=1)) is Reason.APPROVAL_CHANGED


async def test_a_policy_that_asks_nobody_any_more_renews_within_what_was_approved(people: Approving) -> None:
    grant = await approved(people)
    people.policy(READ_REPORTS)

    renewed = await people.gateway.renew(people.gateway.renewal(grant))

    assert renewed.credentials.expire_time == NOON + timedelta(minutes=10)


async def test_what_nobody_had_to_approve_is_not_renewed_past_people_whom_policy_asks_now(people: Approving) -> None:
    people.policy(READ_REPORTS)
    free = await people.collected(people.gateway.request())

    people.policy(ASKING)
    waiting = await refused(people, free.grant)
    people.policy(BREAK_GLASS)
    at_once = await refused(people, free.grant)

    assert (waiting, at_once) == (Reason.APPROVAL_CHANGED, Reason.APPROVAL_CHANGED)


async def test_break_glass_is_renewed_until_the_review_says_no(people: Approving) -> None:
    people.policy(BREAK_GLASS)
    issued = await people.collected(people.gateway.request())
    renewed = await people.gateway.renew(people.gateway.renewal(issued.grant))
    review = await people.show.one(LEO, str(issued.grant.approval_id))
    await people.says(LEO, review, yes=False)

    reason = await refused(people, issued.grant)

    assert renewed.grant.break_glass
    assert reason is Reason.GRANT_NOT_LIVE
