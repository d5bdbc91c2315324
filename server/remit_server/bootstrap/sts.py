"""Wires how the gateway asks AWS for sessions: by its own AWS keys, and as an OIDC issuer of its own."""

import asyncio
from contextlib import AsyncExitStack

from remit_server.adapters.aws.sts import AwsSts
from remit_server.adapters.aws.sts_calls import StsCalls
from remit_server.adapters.aws.web_identity import ByRole, WebIdentitySts
from remit_server.adapters.issuer.signing_keys import SigningKeys
from remit_server.adapters.system_clock import SystemClock, system_entropy
from remit_server.application.ports import AssumeRole
from remit_server.bootstrap.revocation import session_roles
from remit_server.config.settings import OwnIssuerSettings, Settings


async def follow_own_issuer(stack: AsyncExitStack, settings: OwnIssuerSettings | None) -> SigningKeys | None:
    """Reads the keys of the gateway's own issuer, where it is one, and follows their files; raises RuntimeError."""
    if settings is None:
        return None
    keys = await asyncio.to_thread(SigningKeys.read, settings)
    following = asyncio.create_task(keys.follow())
    stack.callback(following.cancel)
    return keys


def reach_sts(
    stack: AsyncExitStack,
    settings: Settings,
    clock: SystemClock,
    issuer: SigningKeys | None,
    *,
    looks_for_keys: bool = False,
) -> AssumeRole:
    """Returns what asks AWS for sessions: of each role in the way that its configuration names, on one budget.

    With `looks_for_keys` the log says soon when the gateway's own keys cannot be had, and not at the first call only.
    """
    calls = StsCalls(settings.aws, clock=clock)
    stack.push_async_callback(calls.close)
    roles = session_roles(settings)
    signed = AwsSts(settings.aws, roles, clock=clock, calls=calls)
    if looks_for_keys:
        stack.callback(asyncio.create_task(signed.look_for_keys()).cancel)
    if issuer is None:
        return signed
    presented = WebIdentitySts(roles, issuer, clock=clock, entropy=system_entropy, calls=calls)
    return ByRole(signed, presented)
