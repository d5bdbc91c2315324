"""Asks AWS STS for sessions with the gateway's own AWS keys (the port `AssumeRole`): signed AssumeRole calls."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from remit_server.adapters.aws.keys import KeySource, keys_from
from remit_server.adapters.aws.sigv4 import AwsKeys, SigV4
from remit_server.adapters.aws.sts_calls import StsCalls
from remit_server.adapters.aws.sts_failures import Failure, Kind, refused
from remit_server.adapters.aws.sts_protocol import assume_role_body, session_from
from remit_server.application.ports import Clock
from remit_server.config.settings import AwsSettings
from remit_server.domain.credentials import SessionOrder, StsSession
from remit_server.domain.entitlement import AssumedBy, Role
from remit_server.domain.errors import Outage, Reason


class AwsSts:
    """Implements `AssumeRole` with the gateway's own keys; `close()` ends its connections.

    Only the given `roles` are ever asked for. `calls` may be shared with those who ask in another way; else it has its
    own, of the settings and `options` (see StsCalls).
    """

    def __init__(
        self,
        settings: AwsSettings,
        roles: Iterable[Role],
        *,
        clock: Clock,
        keys: KeySource | None = None,
        calls: StsCalls | None = None,
        **options: Any,
    ) -> None:
        self._roles = {role.arn: role for role in roles if role.assumed_by is not AssumedBy.WEB_IDENTITY}
        self._clock = clock
        self._keys = keys or keys_from(settings, monotonic=clock.monotonic)
        self._signer = SigV4("sts")
        self._calls = calls or StsCalls(settings, clock=clock, **options)

    async def __call__(self, order: SessionOrder, /, *, deadline: float) -> StsSession:
        """Returns the session; see the port for what it raises.

        Raises ValueError, before anything is sent, for an order that must not be sent.
        """
        if self._roles.get(order.role.arn) != order.role:
            # NOTE: the last gate before AWS trusts nobody about which role (8-threats.md A5).
            raise ValueError("not a role of this gateway's configuration")
        return await self._calls(_Signed(self, order, assume_role_body(order)), deadline=deadline)

    async def close(self) -> None:
        """Ends the connections."""
        await self._calls.close()

    async def look_for_keys(self) -> None:
        """Looks whether the gateway has keys of its own, where a role needs them; the log says when it has none."""
        if self._roles:
            with suppress(Outage):
                await self._keys()

    async def signing_keys(self, deadline: float) -> AwsKeys:
        """Returns the gateway's own keys; raises Outage(STS_UNAVAILABLE) when they do not come in time."""
        if (keys := self._keys.at_hand()) is not None:
            return keys
        try:
            async with asyncio.timeout(self._calls.left(deadline)):
                return await self._keys()
        except TimeoutError:
            message = "The gateway's own AWS credentials did not come in time. Ask again in a few seconds."
            raise Outage(Reason.STS_UNAVAILABLE, message) from None

    def signed(self, url: str, body: bytes, region: str, keys: AwsKeys) -> dict[str, str]:
        """Returns the headers of a call that these keys sign now."""
        host, now = urlsplit(url).netloc, self._clock.now()
        return self._signer.headers(host=host, body=body, region=region, keys=keys, now=now)

    def distrust(self, keys: AwsKeys) -> bool:
        """Is told that AWS called these keys expired or unknown; returns whether asking again may give others."""
        return self._keys.distrust(keys)


@dataclass(slots=True)
class _Signed:
    """An order that is asked for by a signed AssumeRole call."""

    sts: AwsSts
    order: SessionOrder
    body: bytes = field(repr=False)
    _keys: AwsKeys | None = field(default=None, repr=False)

    async def headers(self, url: str, deadline: float) -> dict[str, str]:
        """Signs the attempt with the keys of now."""
        self._keys = await self.sts.signing_keys(deadline)
        return self.sts.signed(url, self.body, self.order.role.region, self._keys)

    def session(self, answer: bytes, now: datetime) -> StsSession:
        """Returns the session that the answer to AssumeRole proves."""
        return session_from(answer, self.order, now)

    def refused(self, status: int, code: str | None) -> Failure:
        """Returns what a refusal of AssumeRole means."""
        return refused(status, code)

    def may_help(self, failure: Failure) -> bool:
        """Says whether other keys can be had, where the failure was about these."""
        return failure.kind is Kind.STALE_KEYS and self._keys is not None and self.sts.distrust(self._keys)
