"""The real adapters of STS before a strict one, asked in either way that a role can be assumed."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.fake_sts import FakeRole, FakeSts
from tests.sts_log import LOG, Ceiling
from tests.sts_orders import CLOCK, Pauses, settings_for
from tests.web_identity_world import presenting

from remit_server.adapters.aws.sts import AwsSts
from remit_server.application.ports import AssumeRole
from remit_server.domain.entitlement import AssumedBy, Role


@asynccontextmanager
async def asking(roles: Sequence[Role], folder: Path, by: AssumedBy) -> AsyncIterator[tuple[FakeSts, AssumeRole]]:
    """Runs an STS that knows the roles, and the adapter that asks it: with the gateway's keys, or as an issuer."""
    if by is AssumedBy.WEB_IDENTITY:
        async with presenting(folder, *roles) as call:
            yield call.sts, call.adapter
        return
    for role in roles:
        LOG.configure(role.arn, Ceiling(role.ceiling.text))
    async with FakeSts(tuple(FakeRole(role.arn) for role in roles)) as sts:
        adapter = AwsSts(settings_for(sts.url), roles, clock=CLOCK, pause=Pauses(), jitter=lambda: 0.0)
        try:
            yield sts, adapter
        finally:
            await adapter.close()
