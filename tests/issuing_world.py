"""The whole use case before a strict STS: real ledger, real planner, real STS adapter over HTTP.

Identity and policy are the fakes of `tests.fakes`. What reached STS is judged by the fake's log, never by what the
gateway says.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.fake_sts import FakeRole, FakeSts, Request
from tests.fakes import ROLES, World, given, world
from tests.sts_orders import CLOCK, Pauses, settings_for

from remit_server.adapters.aws.sts import AwsSts
from remit_server.application.issuing.handing_out import Issued
from remit_server.application.issuing.issue_credentials import IssueCredentials
from remit_server.application.issuing.requests import IssueRequest
from remit_server.domain.entitlement import Entitlement, Role
from remit_server.domain.errors import RemitError


@dataclass(frozen=True, slots=True)
class IssuingWorld:
    """A gateway at a fake STS; `issue` is its use case, `world` the rest of it."""

    world: World
    sts: FakeSts
    issue: IssueCredentials

    async def issued(self, *permissions: Any, **more: Any) -> Issued:
        """Issues for an intent of these permissions."""
        return given(await self.issue(self.world.request(*permissions, **more)))

    async def refused(self, *permissions: Any, **more: Any) -> RemitError:
        """Returns the refusal of an intent of these permissions."""
        return await self.refusal_of(self.world.request(*permissions, **more))

    async def refusal_of(self, request: IssueRequest) -> RemitError:
        """Returns the refusal of a request; fails when there is none."""
        with pytest.raises(RemitError) as raised:
            await self.issue(request)
        return raised.value

    @property
    def sent(self) -> list[Request]:
        """Every request that reached STS."""
        return self.sts.requests

    @property
    def policies(self) -> list[dict[str, Any]]:
        """Every session policy that reached STS, parsed."""
        return [json.loads(request.policy) for request in self.sent]

    async def states(self) -> list[str]:
        """Returns the states of grants as the audit records tell them, in order."""
        bodies = [json.loads(event.body_text) for event in await self.world.events()]
        return [body["state"] for body in bodies if "state" in body]


@asynccontextmanager
async def issuing_world(
    folder: Path,
    *entitlements: Entitlement,
    roles: tuple[Role, ...] = ROLES,
    sts: Mapping[str, Any] | None = None,
    aws: Mapping[str, Any] | None = None,
    **more: Any,
) -> AsyncIterator[IssuingWorld]:
    """Builds it; `sts` are options of the fake, `aws` changes to the adapter's settings, the rest is `world`'s.

    The world's clock stands at the real time, because STS judges signatures by it.
    """
    fakes = tuple(
        FakeRole(role.arn, external_id=role.external_id.reveal() if role.external_id else None) for role in roles
    )
    async with world(folder, *entitlements, roles=roles, **more) as made, FakeSts(fakes, **(sts or {})) as fake:
        made.clock.time = CLOCK.now().replace(microsecond=0)
        settings = settings_for(fake.url, **(aws or {}))
        adapter = AwsSts(settings, roles, clock=CLOCK, pause=Pauses(), jitter=lambda: 0.0)
        try:
            yield IssuingWorld(made, fake, replace(made.issue, assume_role=adapter))
        finally:
            await adapter.close()
