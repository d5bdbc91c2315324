"""Repeats on live grants: proven at once while that is quick, in turn where it is hard, and never taken on trust."""

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fakes import ROLES, World, world
from tests.ledger_values import a_grant

from remit_server.application.planning.ceilings import Ceilings
from remit_server.application.planning.choosing import FAST
from remit_server.application.planning.deliberation import WAITING_PER_ACTOR, Deliberation
from remit_server.application.planning.drafting import Undetermined
from remit_server.application.planning.standing import recorded_policy, still_within
from remit_server.domain.errors import Denied, Outage, Reason
from remit_server.domain.grant import Grant
from remit_server.iam import Document

ROLE = ROLES[0]
PATIENCE = 20.0


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


def allowing(*resources: str) -> Document:
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": list(resources)}
    return Document.parse({"Version": "2012-10-17", "Statement": [statement]})


def ceilings(*resources: str) -> Ceilings:
    return Ceilings.of((replace(ROLE, ceiling=allowing(*resources)),), (), "c" * 64)


def grant(*resources: str) -> Grant:
    return a_grant(role_arn=ROLE.arn, session_policy=allowing(*resources).text)


EASY = grant("arn:aws:s3:::reports/2026/q3/*")
# No single statement of this ceiling holds it, the two together do: only the exact path sees that.
HARD = grant("arn:aws:s3:::reports/*")
HALVES = ({"NotResource": "arn:aws:s3:::reports/a*"}, {"Resource": "arn:aws:s3:::reports/a*"})


async def test_many_repeats_of_one_actor_at_once_all_get_their_credentials(gateway: World) -> None:
    request = gateway.request()
    first = await gateway.issue(request)

    repeats = await asyncio.gather(*(gateway.issue(request) for _ in range(2 * WAITING_PER_ACTOR)))

    assert {each.grant.grant_id for each in repeats} == {first.grant.grant_id}
    assert len(gateway.sts.orders) == 1 + 2 * WAITING_PER_ACTOR


async def test_an_easy_repeat_does_not_wait_behind_hard_ones(gateway: World) -> None:
    deliberate = Deliberation(ceilings("arn:aws:s3:::reports/*"))
    release = threading.Event()
    actor = gateway.copilot.actor_id
    waiting = [asyncio.create_task(deliberate.beside_the_loop(actor, release.wait)) for _ in range(WAITING_PER_ACTOR)]
    await asyncio.sleep(0)
    try:
        async with asyncio.timeout(PATIENCE):  # fails, and does not hang, where one of them is made to wait
            with pytest.raises(Outage):
                await deliberate.beside_the_loop(actor, release.wait)

            await deliberate.again(EASY, gateway.copilot)
    finally:
        release.set()

    await asyncio.gather(*waiting)
    deliberate.close()


async def test_a_repeat_that_only_the_exact_path_can_prove_is_proven_beside_the_loop(gateway: World) -> None:
    halves = [{"Effect": "Allow", "Action": "s3:*", **half} for half in HALVES]
    ceiling = Document.parse({"Version": "2012-10-17", "Statement": halves})
    above = Ceilings.of((replace(ROLE, ceiling=ceiling),), (), "c" * 64)
    deliberate = Deliberation(above)

    await deliberate.again(HARD, gateway.copilot)

    with pytest.raises(Undetermined):
        still_within(recorded_policy(HARD), ROLE.arn, above, FAST)
    deliberate.close()


def test_the_fast_path_never_says_no() -> None:
    document = recorded_policy(EASY)
    elsewhere = ceilings("arn:aws:s3:::other/*")

    with pytest.raises(Undetermined):
        still_within(document, ROLE.arn, elsewhere, FAST)
    with pytest.raises(Denied) as raised:
        still_within(document, ROLE.arn, elsewhere)

    assert raised.value.reason is Reason.GRANT_NOT_LIVE


def test_what_the_floor_forbids_since_is_not_issued_again() -> None:
    forbidding = Ceilings.of((replace(ROLE, ceiling=allowing("*")),), ("s3:GetObject",), "c" * 64)

    with pytest.raises(Denied) as raised:
        still_within(recorded_policy(EASY), ROLE.arn, forbidding, FAST)

    assert raised.value.reason is Reason.GRANT_NOT_LIVE


def test_the_grant_of_a_role_that_is_gone_is_over() -> None:
    with pytest.raises(Denied):
        still_within(recorded_policy(EASY), "arn:aws:iam::111122223333:role/gone", ceilings("*"))
