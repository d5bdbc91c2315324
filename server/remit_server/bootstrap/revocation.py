"""Wires the writer of revocations: the outbox on one side, IAM and the canaries on the other."""

import asyncio
import random
from collections.abc import Callable
from contextlib import AsyncExitStack

from remit_server.adapters.aws.revoking.canary import AwsCanary
from remit_server.adapters.aws.revoking.iam_policies import IamRevocationPolicies
from remit_server.adapters.aws.revoking.query import QueryCalls
from remit_server.adapters.aws.revoking.revoker import RevocationNames, RevokerKeys, account_places
from remit_server.adapters.system_clock import SystemClock, system_entropy
from remit_server.application.ports import AssumeRole
from remit_server.application.revocation.account_writer import Parts
from remit_server.application.revocation.canaries import Canaries
from remit_server.application.revocation.ports import DenyOutbox
from remit_server.application.revocation.write_denies import WriteDenies
from remit_server.bootstrap.background import in_background
from remit_server.config.settings import Settings
from remit_server.domain.entitlement import Role


def session_roles(settings: Settings) -> tuple[Role, ...]:
    """Returns every role that the gateway may open sessions of: those of the configuration, and each remit-revoker."""
    if settings.revocation is None:
        return settings.roles
    places = account_places(settings.roles, names_of(settings))
    return (*settings.roles, *(place.revoker for place in places.values()))


def names_of(settings: Settings) -> RevocationNames:
    """Returns what the pieces of revocation are called."""
    table = settings.revocation
    return RevocationNames() if table is None else RevocationNames(table.role_name, table.policy_prefix)


async def write_revocations(
    stack: AsyncExitStack, settings: Settings, outbox: DenyOutbox, clock: SystemClock, assume: AssumeRole
) -> Callable[[], None]:
    """Starts to tell AWS what the outbox wants denied, until the stack is left; returns what wakes the writer.

    `assume` opens sessions of all `session_roles`. Without `[revocation]` nothing is started.
    """
    table = settings.revocation
    if table is None:
        return lambda: None
    places = account_places(settings.roles, names_of(settings))
    calls = QueryCalls(clock, settings.aws.ca_file)
    stack.push_async_callback(calls.close)
    policies = IamRevocationPolicies(places, calls, RevokerKeys(places, assume, clock), table.iam_endpoint_url)
    canary = AwsCanary(settings.roles, assume, calls, clock, table.ec2_endpoint_url) if table.canary else None
    holder = system_entropy(16).hex()
    canaries = Canaries(canary, outbox, clock, system_entropy, holder)
    parts = Parts(
        outbox,
        policies,
        canaries,
        clock,
        holder,
        bound=table.propagation_bound,
        unsettled_for=clock.unsettled_for,
    )
    wake = asyncio.Event()
    in_background(stack, WriteDenies(parts, wake, random.SystemRandom().random)(), "revocations")
    return wake.set
