"""However often a grant is renewed, and for however long: never past the end of its task."""

import asyncio
import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes import NOON, READ_REPORTS, entitlement, world

from remit_server.domain.errors import Denied, Reason

STEPS = st.lists(
    st.tuples(st.integers(1, 1500), st.none() | st.integers(15, 7200), st.booleans()), min_size=1, max_size=8
)


@settings(max_examples=25, deadline=None)
@given(longest_task=st.integers(60, 3000), longest_credential=st.integers(60, 3600), steps=STEPS)
def test_a10_no_renewal_outlives_the_task_its_entitlement_or_its_role(
    longest_task: int, longest_credential: int, steps: list[tuple[int, int | None, bool]]
) -> None:
    asyncio.run(_renew_again_and_again(longest_task, longest_credential, steps))


async def _renew_again_and_again(
    longest_task: int, longest_credential: int, steps: list[tuple[int, int | None, bool]]
) -> None:
    allowed = entitlement(
        "bounded",
        *READ_REPORTS.permissions,
        offline_renewal=True,
        max_task=timedelta(seconds=longest_task),
        max_credential=timedelta(seconds=longest_credential),
    )
    with tempfile.TemporaryDirectory() as folder:
        async with world(Path(folder), allowed) as gateway:
            grant = (await gateway.issue(gateway.request())).grant
            for wait, requested, is_there in steps:
                gateway.clock.advance(seconds=wait)
                wanted = None if requested is None else timedelta(seconds=requested)
                request = gateway.renewal(grant, user="alice" if is_there else "", requested_duration=wanted)
                try:
                    renewed = await gateway.renew(request)
                except Denied as refused:
                    if refused.reason is not Reason.GRANT_NOT_LIVE:
                        raise
                    continue
                end = renewed.credentials.expire_time
                assert end <= NOON + timedelta(seconds=longest_task)
                assert end <= gateway.clock.now() + timedelta(seconds=min(longest_credential, requested or 900, 3600))
                assert renewed.grant.expire_time <= NOON + timedelta(seconds=longest_task)
                assert f"{end:%Y-%m-%dT%H:%M:%SZ}" in gateway.sts.orders[-1].session_policy
