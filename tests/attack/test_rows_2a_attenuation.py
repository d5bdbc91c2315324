"""Rows A10 and A11 for parts of grants: never wider, never longer, never deeper, never after the grant is gone.

| row | what is tried | where else |
|---|---|---|
| A10 | a part that outlasts its grant, or is renewed | `tests/unit/test_attenuate_credentials.py` |
| A11 | a part wider than its grant, of another's grant, or of a part | `tests/property/test_attenuation_laws.py` |

What reached STS is judged by the fake's log, and by a proof of its own.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.fakes import READ_REPORTS, given, permission
from tests.issuing_world import IssuingWorld, issuing_world
from tests.reproving_within import reprove_within

from remit_server.adapters.database.revoking.revocations import DatabaseRevocations
from remit_server.application.attenuation.attenuate_credentials import AttenuateCredentials
from remit_server.domain.decision import Allow
from remit_server.domain.errors import Denied, Reason, RemitError
from remit_server.domain.grant import Grant, GrantState
from remit_server.domain.permission import Permission
from remit_server.domain.revocation import RevokeCause, RevokeOrder, Target, TargetKind
from remit_server.iam import Condition

WHOLE = READ_REPORTS.permissions
Q3 = permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3/*")


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[IssuingWorld]:
    async with issuing_world(tmp_path) as made:
        yield made


def attenuate(gateway: IssuingWorld) -> AttenuateCredentials:
    """The use case before the same STS as the rest."""
    return replace(gateway.world.attenuate, assume_role=gateway.issue.assume_role)


async def refusal_of(gateway: IssuingWorld, grant: Grant, *permissions: Permission, **more: Any) -> RemitError:
    with pytest.raises(RemitError) as raised:
        await attenuate(gateway)(gateway.world.attenuation(grant, *permissions, **more))
    return raised.value


WIDER = {
    "everything": permission("*", "*"),
    "every action of the service": permission("s3:*", "arn:aws:s3:::reports/2026/q3/*"),
    "in other letters": permission("S3:getobject*", "arn:aws:s3:::reports/2026/q3/*"),
    "the folder above": permission("s3:GetObject", "arn:aws:s3:::reports/2026/*"),
    "the folder beside": permission("s3:GetObject", "arn:aws:s3:::reports/2026/q2/*"),
    "a shorter prefix": permission("s3:GetObject", "arn:aws:s3:::reports/2026/q3*"),
    "another bucket": permission("s3:GetObject", "arn:aws:s3:::payroll/2026/q3/*"),
    "all buckets": permission("s3:GetObject", "arn:aws:s3:::*/2026/q3/*"),
    "what the entitlement allows beside": permission("s3:ListBucket", "arn:aws:s3:::reports"),
    "what the role allows": permission("s3:PutObject", "arn:aws:s3:::reports/2026/q3/x"),
    "handing a role over": permission("iam:PassRole", "*"),
    "other credentials": permission("sts:AssumeRole", "*"),
    "under a condition": permission("s3:*", "*", Condition("StringEquals", "aws:RequestedRegion", ("eu-central-1",))),
}


@pytest.mark.parametrize("asked", WIDER.values(), ids=WIDER)
async def test_a11_a_part_that_is_wider_than_its_grant_reaches_no_sts(asked: Permission, gateway: IssuingWorld) -> None:
    grant = (await gateway.issued(Q3)).grant

    error = await refusal_of(gateway, grant, asked)

    assert error.reason in {Reason.CEILING_EXCEEDED, Reason.NEVER_ISSUABLE}
    assert len(gateway.sent) == 1


@pytest.mark.parametrize("asked", WIDER.values(), ids=WIDER)
async def test_a11_narrowed_it_lies_within_or_is_refused(asked: Permission, gateway: IssuingWorld) -> None:
    grant = (await gateway.issued(Q3)).grant
    request = gateway.world.attenuation(grant, asked, narrow=True)

    (outcome,) = await asyncio.gather(attenuate(gateway)(request), return_exceptions=True)

    assert not isinstance(outcome, BaseException) or isinstance(outcome, Denied)
    for sent in gateway.sent[1:]:
        reprove_within(sent.policy, grant.session_policy)


async def test_a11_what_policy_allows_by_now_makes_no_part_wider(gateway: IssuingWorld) -> None:
    grant = (await gateway.issued(Q3)).grant
    everything = replace(READ_REPORTS, permissions=(permission("s3:*", "arn:aws:s3:::reports/*"),))
    gateway.world.policy.answer = Allow((everything,))

    error = await refusal_of(gateway, grant, permission("s3:GetObject", "arn:aws:s3:::reports/2026/*"))

    assert error.reason is Reason.CEILING_EXCEEDED


@pytest.mark.parametrize("who", ["agent", "task", "grant"])
async def test_a11_no_part_of_what_is_anothers_and_no_word_that_it_is_there(who: str, gateway: IssuingWorld) -> None:
    grant = (await gateway.issued(Q3)).grant
    gateway.world.user("alice", gateway.world.agent("fixer"))
    changes: dict[str, dict[str, Any]] = {
        "agent": {"agent": "fixer"},
        "task": {"task_id": "b" * 26},
        "grant": {"grant_id": "b" * 26},
    }

    error = await refusal_of(gateway, grant, **changes[who])

    assert (error.reason, error.message) == (Reason.NOT_FOUND, "no such grant of this actor: ask for a new one")
    assert len(gateway.sent) == 1


async def test_a11_no_part_of_a_part_however_small(gateway: IssuingWorld) -> None:
    grant = (await gateway.issued(*WHOLE)).grant
    part = (await attenuate(gateway)(gateway.world.attenuation(grant, *WHOLE))).grant

    error = await refusal_of(gateway, part)

    assert error.reason is Reason.DELEGATION_TOO_DEEP
    assert len(gateway.sent) == 2


async def test_a11_the_chain_is_on_record(gateway: IssuingWorld) -> None:
    grant = (await gateway.issued(*WHOLE)).grant
    part = (await attenuate(gateway)(gateway.world.attenuation(grant))).grant

    found = await gateway.world.renew.renewals.grant(part.grant_id)

    assert found is not None
    assert (found.parent_grant_id, found.parent_task_id) == (grant.grant_id, grant.task_id)
    assert gateway.sent[1].tags["remit:grant"].endswith(f".{grant.task_id}.{part.grant_id}")


@pytest.mark.parametrize("seconds", [15, 60, 899, 900, 901, 43_200, 2**31])
async def test_a10_no_part_outlasts_what_its_grants_credentials_have_left(seconds: int, gateway: IssuingWorld) -> None:
    grant = (await gateway.issued(Q3, requested_duration=timedelta(seconds=900))).grant

    part = await attenuate(gateway)(gateway.world.attenuation(grant, requested_duration=timedelta(seconds=seconds)))

    assert part.credentials.expire_time == grant.issue_time + timedelta(seconds=min(seconds, 900))
    reprove_within(gateway.sent[1].policy, gateway.sent[0].policy)


async def test_a10_a_part_is_not_kept_alive_by_repeats(gateway: IssuingWorld) -> None:
    grant = (await gateway.issued(Q3)).grant
    request = gateway.world.attenuation(grant)
    first = await attenuate(gateway)(request)
    gateway.world.clock.advance(seconds=45)

    again = await attenuate(gateway)(request)
    gateway.world.clock.advance(seconds=16)
    with pytest.raises(Denied) as late:
        await attenuate(gateway)(request)

    assert again.credentials.expire_time == first.credentials.expire_time
    assert late.value.reason is Reason.GRANT_NOT_LIVE


async def test_a10_a_part_is_not_renewed_with_a_token_or_without(gateway: IssuingWorld) -> None:
    gateway.world.policy.answer = Allow((replace(READ_REPORTS, offline_renewal=True),))
    grant = (await gateway.issued(Q3)).grant
    part = (await attenuate(gateway)(gateway.world.attenuation(grant))).grant

    for user in ("alice", ""):
        with pytest.raises(Denied) as raised:
            await gateway.world.renew(gateway.world.renewal(part, user=user))
        assert raised.value.reason is Reason.GRANT_NOT_LIVE


@pytest.mark.parametrize("round_", range(8))
async def test_a11_a_revoke_in_the_middle_leaves_no_part_alive(round_: int, gateway: IssuingWorld) -> None:
    """Races a revoke of the grant against eight parts of it: each was refused, or is REVOKING with the grant."""
    grant = given(await gateway.issue(gateway.world.request(Q3))).grant
    order = RevokeOrder(
        "r" * 26, Target(TargetKind.GRANT, grant.grant_id), RevokeCause.REQUESTED, "acme:sam", "a drill"
    )

    async def revoke() -> None:
        for _ in range(3 * round_):
            await asyncio.sleep(0)
        await DatabaseRevocations(gateway.world.ledger.store).revoke(order)

    parts = [attenuate(gateway)(gateway.world.attenuation(grant)) for _ in range(8)]
    outcomes = await asyncio.gather(*parts, revoke(), return_exceptions=True)

    given_out = [one.grant for one in outcomes if not isinstance(one, BaseException | None)]
    refused = [one for one in outcomes if isinstance(one, BaseException)]
    assert {one.reason for one in refused if isinstance(one, Denied)} <= {Reason.GRANT_NOT_LIVE}
    assert all(isinstance(one, Denied) for one in refused)
    assert len(given_out) + len(refused) == 8
    for part in given_out:
        found = await gateway.world.renew.renewals.grant(part.grant_id)
        assert found is not None
        assert found.state is GrantState.REVOKING
