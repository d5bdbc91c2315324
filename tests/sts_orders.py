"""Orders to STS as the gateway makes them, and a caller of the fake STS: shared by the tests of the STS adapter."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from tests.fake_sts import ACCESS_KEY_ID, SECRET_ACCESS_KEY, FakeRole, FakeSts
from tests.sts_log import LOG, Ceiling

from remit_server.adapters.aws.sts import AwsSts
from remit_server.adapters.system_clock import SystemClock
from remit_server.config.settings import AwsSettings
from remit_server.domain.credentials import SessionOrder, StsSession
from remit_server.domain.entitlement import Role
from remit_server.domain.secret import Secret
from remit_server.iam import Document

CLOCK = SystemClock()
REPORTS_ARN = "arn:aws:iam::111122223333:role/teams/reports/remit-reports"
CEILING = Document.parse(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::reports/*"}],
    },
    authored=True,
)
READ_2026 = "arn:aws:s3:::reports/2026/*"
END = f"{CLOCK.now() + timedelta(hours=6):%Y-%m-%dT%H:%M:%SZ}"


def a_policy(resource: str = READ_2026, action: str = "s3:GetObject") -> str:
    """Returns a session policy for this action on this resource, with its guards and time guard, written by hand."""
    direct = {"BoolIfExists": {"aws:ViaAWSService": "false"}}
    statements = [
        {"Effect": "Allow", "Action": action, "Resource": resource},
        {"Effect": "Deny", "NotAction": action, "Resource": "*", "Condition": direct},
        {"Effect": "Deny", "Action": action, "NotResource": resource, "Condition": direct},
        {
            "Effect": "Deny",
            "Action": "*",
            "Resource": "*",
            "Condition": {"DateGreaterThanEquals": {"aws:CurrentTime": END}},
        },
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))


POLICY = a_policy()
TAGS = (("remit:grant", "subject.task.grant"), ("remit:by", "actor.revision"))


def a_policy_of(characters: int) -> str:
    """Returns a session policy of exactly that many characters, as good as any."""
    resource = "arn:aws:s3:::reports/"
    room = characters - len(a_policy(resource))
    policy = a_policy(resource + "x" * (room // 2))
    return policy.replace("{", "{ ", characters - len(policy))


def a_role(**changes: Any) -> Role:
    """Returns the role of the reports, with these fields changed."""
    role = Role(arn=REPORTS_ARN, region="eu-central-1", ceiling=CEILING, max_session=timedelta(hours=1))
    return replace(role, **changes)


def an_order(role: Role | None = None, **changes: Any) -> SessionOrder:
    """Returns an order for that role, with these fields changed."""
    order = SessionOrder(
        role=role or a_role(),
        session_name="mfzwizltoqytamrtgq2tmnzyheydcmrt",
        session_policy=POLICY,
        duration_seconds=900,
        source_identity="acme.alice=40example.com",
        tags=TAGS,
    )
    return replace(order, **changes)


@dataclass(slots=True)
class Pauses:
    """Lets no time pass, and remembers how long it was asked to."""

    seconds: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        """Remembers the pause."""
        self.seconds.append(seconds)


@dataclass(slots=True)
class Caller:
    """The adapter at the fake STS."""

    sts: FakeSts
    adapter: AwsSts
    pauses: Pauses

    async def __call__(self, order: SessionOrder | None = None, *, within: float = 10.0) -> StsSession:
        """Places the order with a deadline that many seconds away."""
        return await self.adapter(order or an_order(), deadline=CLOCK.monotonic() + within)


def settings_for(url: str, **changes: Any) -> AwsSettings:
    """Returns settings that reach this endpoint with the fake's keys, with these fields changed."""
    settings = AwsSettings(
        region="eu-central-1",
        endpoint_url=url,
        access_key_id=ACCESS_KEY_ID,
        secret_access_key=Secret(SECRET_ACCESS_KEY),
        timeout=timedelta(seconds=5),
    )
    return replace(settings, **changes)


@asynccontextmanager
async def calling(
    *roles: Role, fake: FakeSts | None = None, adapter: dict[str, Any] | None = None, **changes: Any
) -> AsyncIterator[Caller]:
    """Runs a fake STS that knows these roles, and the adapter that calls it; `changes` are to its settings."""
    known = roles or (a_role(),)
    for role in known:
        LOG.configure(role.arn, Ceiling(role.ceiling.text, tuple(str(action) for action in role.reopened)))
    async with fake or FakeSts(tuple(FakeRole(role.arn) for role in known)) as sts:
        pauses = Pauses()
        options: dict[str, Any] = {"clock": CLOCK, "pause": pauses, "jitter": lambda: 1.0, **(adapter or {})}
        caller = Caller(sts, AwsSts(settings_for(sts.url, **changes), known, **options), pauses)
        try:
            yield caller
        finally:
            await caller.adapter.close()
