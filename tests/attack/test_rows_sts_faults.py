"""The STS row of "Faults to survive": what becomes of the grant, and what STS hears, when STS fails.

Retries are bounded and send the very same order; after an ambiguous end the grant is an orphan under revocation, never
the subject of a second, wider try. What the adapter makes of each fault stands in `test_aws_sts_faults.py`.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.fake_sts import (
    answering,
    hanging,
    refusing,
    resetting_after_the_work,
    resetting_before_the_work,
    rewriting,
    stopping_halfway,
    throttling,
)
from tests.fakes import given, permission
from tests.issuing_world import IssuingWorld, issuing_world
from tests.sts_log import tags_in

from remit_server.domain.errors import Outage, Reason

Q3 = permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/*")
ATTEMPTS = 4
AMBIGUOUS = {
    "reset before the work": resetting_before_the_work,
    "reset after the work": resetting_after_the_work,
    "half an answer": stopping_halfway,
    "an internal failure": refusing(500, "InternalFailure"),
    "a proxy's words": answering(502, "<html>bad gateway</html>"),
}
UNAMBIGUOUS = {"throttled": throttling, "busy": refusing(503, "ServiceUnavailable")}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[IssuingWorld]:
    async with issuing_world(tmp_path, aws={"timeout": timedelta(seconds=0.5)}) as made:
        yield made


def orders(gateway: IssuingWorld) -> set[bytes]:
    """Returns the different orders that STS heard."""
    return {request.body for request in gateway.sent}


@pytest.mark.parametrize("name", AMBIGUOUS)
async def test_an_ambiguous_end_leaves_an_orphan_under_revocation_and_one_order_at_sts(
    gateway: IssuingWorld, name: str
) -> None:
    gateway.sts.plan(*[AMBIGUOUS[name]] * ATTEMPTS)

    error = await gateway.refused(Q3)

    assert isinstance(error, Outage)
    assert error.credentials_may_exist
    assert (await gateway.states())[-1] == "REVOKING"
    assert (len(gateway.sent), len(orders(gateway))) == (ATTEMPTS, 1)


@pytest.mark.parametrize("name", UNAMBIGUOUS)
async def test_an_end_that_made_nothing_fails_the_grant_and_the_same_request_may_come_again(
    gateway: IssuingWorld, name: str
) -> None:
    gateway.sts.plan(*[UNAMBIGUOUS[name]] * ATTEMPTS)
    request = gateway.world.request(Q3)

    error = await gateway.refusal_of(request)
    issued = given(await gateway.issue(request))

    assert isinstance(error, Outage)
    assert not error.credentials_may_exist
    assert (await gateway.states())[-1] == "FAILED"
    assert len({tags_in(sent.form)["remit:grant"].split(".")[2] for sent in gateway.sent}) == 1
    assert gateway.sts.issued[-1].access_key_id == issued.credentials.access_key_id


@pytest.mark.parametrize("fault", [*AMBIGUOUS.values(), *UNAMBIGUOUS.values()])
async def test_one_fault_is_retried_with_the_very_same_order_and_its_sessions_fall_under_one_grant(
    gateway: IssuingWorld, fault: Any
) -> None:
    gateway.sts.plan(fault)

    issued = await gateway.issued(Q3)

    assert (len(gateway.sent), len(orders(gateway))) == (2, 1)
    assert issued.credentials.access_key_id == gateway.sts.issued[-1].access_key_id
    assert await gateway.world.trail() == ["task_started", "grant_authorized", "credentials_issued"]


async def test_a_repeat_of_a_request_whose_end_is_unknown_asks_sts_for_nothing(gateway: IssuingWorld) -> None:
    gateway.sts.plan(*[resetting_after_the_work] * ATTEMPTS)
    request = gateway.world.request(Q3)
    await gateway.refusal_of(request)

    again = await gateway.refusal_of(request)

    assert again.reason is Reason.GRANT_NOT_LIVE
    assert len(gateway.sent) == ATTEMPTS


async def test_a_slow_sts_is_given_up_and_its_late_credentials_reach_nobody(gateway: IssuingWorld) -> None:
    gateway.sts.plan(*[hanging] * ATTEMPTS)

    error = await gateway.refused(Q3)

    assert isinstance(error, Outage)
    assert error.credentials_may_exist
    assert (await gateway.states())[-1] == "REVOKING"
    assert len(gateway.sts.issued) == ATTEMPTS
    assert await gateway.world.trail() == ["task_started", "grant_authorized", "issuance_failed", "request_refused"]


async def test_an_answer_about_another_role_is_never_handed_on_nor_asked_for_again(gateway: IssuingWorld) -> None:
    gateway.sts.plan(rewriting("assumed-role/remit-reports/", "assumed-role/remit-admin/"))

    error = await gateway.refused(Q3)

    assert isinstance(error, Outage)
    assert (await gateway.states())[-1] == "REVOKING"
    assert len(gateway.sent) == 1


async def test_a_caller_that_hangs_up_during_the_retries_leaves_no_doubt_behind(gateway: IssuingWorld) -> None:
    gateway.sts.plan(resetting_after_the_work, throttling)
    call = asyncio.create_task(gateway.issued(Q3))
    await gateway.sts.wait_for_requests(1)

    call.cancel()
    await asyncio.wait([call])
    await gateway.issue.to_the_end.settled()

    assert (await gateway.world.trail())[-1] == "credentials_issued"
    assert (len(gateway.sent), len(orders(gateway))) == (3, 1)
