"""What is done in a crash round, one script for each use case: what it needs is prepared first, and never killed.

The part after `yield` is killed at each of its steps. A step of it that fails otherwise than by a refusal fails the
round: whatever an earlier kill left, the next process must be able to serve.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from typing import Final, TypeAlias

from tests.crash.caller import (
    Caller,
    actor_target,
    grant_target,
    revision_target,
    subject_target,
    task_target,
)
from tests.crash.gateway import CAREFUL, ISSUER

from remit_server.application.issuing.handing_out import Issued
from remit_server.domain.errors import Denied, Outage, Reason
from remit_server.domain.revocation import Target, TargetKind
from remit_server.domain.security_event import SecurityEventKind

Script: TypeAlias = Callable[[Caller], AsyncIterator[None]]


async def issue(caller: Caller) -> AsyncIterator[None]:
    """Opens a task, and asks again in it."""
    login = caller.login()
    yield
    first = await caller.asked(login)
    await caller.asked(login, task=first.grant.task_id)


async def repeat(caller: Caller) -> AsyncIterator[None]:
    """Repeats a request that was answered."""
    login, request_id = caller.login(), caller.request_id()
    await caller.asked(login, request_id=request_id)
    yield
    await caller.asked(login, request_id=request_id)


async def single_use(caller: Caller) -> AsyncIterator[None]:
    """Presents a token that is good for one task in it, and for another."""
    login = caller.login(single_use=True)
    yield
    first = await caller.asked(login)
    await caller.asked(login, task=first.grant.task_id)
    await caller.ask(login)


async def sts_refuses(caller: Caller) -> AsyncIterator[None]:
    """Is refused by STS for good."""
    caller.gateway.sts.failure = Denied(Reason.INTENT_TOO_LARGE, "too large")
    login, request_id = caller.login(), caller.request_id()
    yield
    assert await caller.ask(login, request_id=request_id) is None
    assert await caller.ask(login, request_id=request_id) is None


async def sts_is_out(caller: Caller) -> AsyncIterator[None]:
    """Meets an outage of STS without credentials, tries again, and meets one that may have made some."""
    sts, login, request_id = caller.gateway.sts, caller.login(), caller.request_id()
    yield
    sts.failure = Outage(Reason.STS_UNAVAILABLE, "not reached")
    assert await caller.ask(login, request_id=request_id) is None
    sts.failure = None
    await caller.asked(login, request_id=request_id)
    sts.failure = Outage(Reason.STS_UNAVAILABLE, "no answer", credentials_may_exist=True)
    assert await caller.ask(login) is None


async def renew(caller: Caller) -> AsyncIterator[None]:
    """Renews, and once more while STS is out; then the user is revoked, and nothing is renewed any more."""
    sts, login = caller.gateway.sts, caller.login()
    issued = await caller.asked(login)
    yield
    assert await caller.renew(login, issued) is not None
    sts.failure = Outage(Reason.STS_UNAVAILABLE, "no answer", credentials_may_exist=True)
    await caller.renew(login, issued)
    sts.failure = None
    await caller.revoke(subject_target(issued))
    await caller.renew(caller.login(), issued)


async def renew_meanwhile(caller: Caller) -> AsyncIterator[None]:
    """Ends a task while STS makes new credentials for it: nobody is given them."""
    sts, login = caller.gateway.sts, caller.login()
    issued = await caller.asked(login)
    yield
    sts.gate.clear()
    sts.called = asyncio.Semaphore(0)
    renewing = asyncio.create_task(caller.renew(login, issued))
    await sts.called.acquire()
    await caller.end(login, issued.grant.task_id)
    sts.gate.set()
    await renewing


async def attenuate(caller: Caller) -> AsyncIterator[None]:
    """Takes a part of a grant, twice, and one while STS is out; once the grant is revoked nothing of it is given."""
    sts, login, request_id = caller.gateway.sts, caller.login(), caller.request_id()
    issued = await caller.asked(login)
    yield
    assert await caller.attenuate(login, issued, request_id=request_id) is not None
    assert await caller.attenuate(login, issued, request_id=request_id) is not None
    sts.failure = Outage(Reason.STS_UNAVAILABLE, "no answer", credentials_may_exist=True)
    await caller.attenuate(login, issued)
    sts.failure = None
    await caller.revoke(grant_target(issued))
    assert await caller.attenuate(login, issued) is None
    assert await caller.attenuate(login, issued, request_id=request_id) is None


async def attenuate_meanwhile(caller: Caller) -> AsyncIterator[None]:
    """Revokes a grant while STS makes a part of it: nobody is given that."""
    sts, login = caller.gateway.sts, caller.login()
    issued = await caller.asked(login)
    yield
    sts.gate.clear()
    sts.called = asyncio.Semaphore(0)
    asking = asyncio.create_task(caller.attenuate(login, issued))
    await sts.called.acquire()
    await caller.revoke(grant_target(issued))
    sts.gate.set()
    assert await asking is None


async def delegate(caller: Caller) -> AsyncIterator[None]:
    """Hands a task on, twice by one request; the other agent asks and renews in it until the grant above is gone."""
    login, below, request_id = caller.login(), caller.login(agent="fixer"), caller.request_id()
    issued = await caller.asked(login)
    yield
    task = await caller.delegate(login, issued, below, request_id=request_id)
    assert task == await caller.delegate(login, issued, below, request_id=request_id)
    given = await caller.asked(below, task=task)
    assert await caller.renew(below, given) is not None
    await caller.revoke(grant_target(issued))
    assert await caller.ask(below, task=task) is None
    assert await caller.renew(below, given) is None
    await caller.end(login, issued.grant.task_id)
    assert await caller.ask(below, task=task) is None


async def delegate_meanwhile(caller: Caller) -> AsyncIterator[None]:
    """Ends the task above while STS makes credentials for the agent below: nobody is given them."""
    sts, login, below = caller.gateway.sts, caller.login(), caller.login(agent="fixer")
    issued = await caller.asked(login)
    task = await caller.delegate(login, issued, below, request_id=caller.request_id())
    yield
    sts.gate.clear()
    sts.called = asyncio.Semaphore(0)
    asking = asyncio.create_task(caller.ask(below, task=task))
    await sts.called.acquire()
    await caller.end(login, issued.grant.task_id)
    sts.gate.set()
    assert await asking is None


async def approve(caller: Caller) -> AsyncIterator[None]:
    """Waits for a yes and collects, twice; then waits for a no."""
    login, request_id = caller.login(agent=CAREFUL), caller.request_id()
    yield
    await caller.ask(login, request_id=request_id)
    await caller.decide()
    await caller.asked(login, request_id=request_id)
    await caller.asked(login, request_id=request_id)
    refused = caller.request_id()
    await caller.ask(login, request_id=refused)
    await caller.decide(approve=False)
    await caller.ask(login, request_id=refused)


async def end_task(caller: Caller) -> AsyncIterator[None]:
    """Ends a task of two grants, twice, and asks in it."""
    login = caller.login()
    first = await caller.asked(login)
    await caller.asked(login, task=first.grant.task_id)
    yield
    await caller.end(login, first.grant.task_id)
    await caller.end(login, first.grant.task_id)
    await caller.ask(login, task=first.grant.task_id)


def revoke(target_of: Callable[[Issued], Target]) -> Script:
    """Revokes what one of two users has, while the other asks on; the old login is good for nothing of it."""

    async def script(caller: Caller) -> AsyncIterator[None]:
        login, request_id = caller.login(), caller.request_id()
        other = caller.login("bob", "another")
        issued = await caller.asked(login, request_id=request_id)
        await caller.asked(login, task=issued.grant.task_id)
        yield
        assert await caller.revoke(target_of(issued)) is not None
        await caller.ask(login, request_id=request_id)
        await caller.ask(login, task=issued.grant.task_id)
        await caller.asked(other)

    return script


async def revoke_meanwhile(caller: Caller) -> AsyncIterator[None]:
    """Revokes a user while STS makes credentials for that user: nobody is given them."""
    sts, login = caller.gateway.sts, caller.login()
    first = await caller.asked(login)
    yield
    sts.gate.clear()
    sts.called = asyncio.Semaphore(0)
    asking = asyncio.create_task(caller.ask(login))
    await sts.called.acquire()
    await caller.revoke(subject_target(first))
    sts.gate.set()
    await asking


def block(target_of: Callable[[Issued], Target]) -> Script:
    """Blocks, logs in anew and is refused, lifts the block and logs in anew."""

    async def script(caller: Caller) -> AsyncIterator[None]:
        issued = await caller.asked(caller.login())
        yield
        revoked = await caller.revoke(target_of(issued), block=True)
        assert revoked is not None
        await caller.ask(caller.login())
        await caller.lift(revoked.revocation_id)
        await caller.asked(caller.login())

    return script


async def security_events(caller: Caller) -> AsyncIterator[None]:
    """Hears that an account is disabled and enabled, and that a session was revoked."""
    login = caller.login()
    await caller.asked(login)
    yield
    await caller.heard(SecurityEventKind.ACCOUNT_DISABLED, login)
    await caller.ask(caller.login())
    await caller.heard(SecurityEventKind.ACCOUNT_ENABLED, login)
    later = caller.login()
    await caller.asked(later)
    await caller.heard(SecurityEventKind.SESSION_REVOKED, login)
    await caller.ask(later)


async def sweep(caller: Caller) -> AsyncIterator[None]:
    """Sweeps three orphans, then what has expired."""
    caller.gateway.sts.gate.clear()
    caller.asking = [asyncio.create_task(caller.ask(caller.login(user))) for user in ("alice", "bob", "carol")]
    for _ in caller.asking:
        await caller.gateway.sts.called.acquire()
    caller.gateway.clock.move(seconds=61)
    yield
    await caller.sweep()
    caller.gateway.clock.move(minutes=20)
    await caller.sweep()


async def lease(caller: Caller) -> AsyncIterator[None]:
    """Takes a lease on a task that nobody keeps: it ends while a gateway serves."""
    login = caller.login()
    issued = await caller.asked(login)
    yield
    await caller.keep(login, issued.grant.task_id)
    for _ in range(3):  # it is there, it runs out, it is over
        caller.gateway.clock.move(seconds=16)
        await caller.sweep()
    await caller.ask(login, task=issued.grant.task_id)


async def outbox(caller: Caller) -> AsyncIterator[None]:
    """Tells AWS what was revoked, sees it work, and forgets what is over."""
    issued = await caller.asked(caller.login())
    await caller.revoke(subject_target(issued))
    yield
    await caller.write_denies()
    caller.gateway.clock.move(minutes=20)
    await caller.write_denies(drop=True)


async def crowd(caller: Caller) -> AsyncIterator[None]:
    """Does much at once, so that one transaction holds the operations of many: the kill comes from outside."""
    login, other = caller.login(), caller.login("bob")
    first, second = await caller.asked(login), await caller.asked(other)
    yield
    await asyncio.gather(
        *(caller.ask(login, task=first.grant.task_id) for _ in range(4)),
        *(caller.ask(caller.login("carol", "another", single_use=True)) for _ in range(3)),
        caller.ask(other, task=second.grant.task_id),
        caller.end(login, first.grant.task_id),
        caller.revoke(subject_target(second)),
        caller.ask(other),
        caller.sweep(),
        caller.write_denies(),
    )
    await caller.ask(login, task=first.grant.task_id)
    await caller.ask(other)


async def ask_on(caller: Caller) -> AsyncIterator[None]:
    """Asks and asks with one login, beside a process that revokes it."""
    login = caller.login(everywhere=True)
    yield
    first = await caller.ask(login)
    for _ in range(8):
        await caller.ask(login, task=first.grant.task_id if first else None)
        await caller.ask(login)


async def revoke_it(caller: Caller) -> AsyncIterator[None]:
    """Revokes the user who asks on in the other process, then the agent."""
    login = caller.login(everywhere=True)
    yield
    for kind, key, issuer in (
        (TargetKind.SUBJECT, login.user, ISSUER),
        (TargetKind.ACTOR, login.actor.actor_id, ""),
    ):
        await asyncio.sleep(random.uniform(0, 0.02))  # noqa: S311 - no secret
        await caller.revoke(Target(kind, key, issuer))


async def race(caller: Caller) -> AsyncIterator[None]:
    """Asks what the other process asks too: the same requests, and one single-use token for several tasks."""
    login = caller.login(everywhere=True)
    once = caller.login("carol", everywhere=True, single_use=True)
    yield
    for number in range(4):
        await caller.ask(login, request_id=f"request-{caller.shared_id}-{number}")
    for _ in range(2):
        await caller.ask(once)


async def activate(caller: Caller) -> AsyncIterator[None]:
    """Publishes and activates a revision, goes back and ends what it issued; agents ask before, between and after."""
    good = await caller.publish()
    await caller.activate(good)
    login = caller.login()
    first = await caller.asked(login)
    yield
    bad = await caller.publish()
    await caller.activate(bad)
    await caller.renew(login, first)
    await caller.asked(login, task=first.grant.task_id)
    await caller.activate(good, revoke_issued=True)
    await caller.asked(login, task=first.grant.task_id)


CROWDS: Final = (("crowd",), ("ask_on", "revoke_it"), ("race", "race"))  # killed from outside
SCRIPTS: Final[dict[str, Script]] = {
    "issue": issue,
    "repeat": repeat,
    "single_use": single_use,
    "sts_refuses": sts_refuses,
    "sts_is_out": sts_is_out,
    "renew": renew,
    "renew_meanwhile": renew_meanwhile,
    "attenuate": attenuate,
    "attenuate_meanwhile": attenuate_meanwhile,
    "delegate": delegate,
    "delegate_meanwhile": delegate_meanwhile,
    "approve": approve,
    "end_task": end_task,
    "revoke_grant": revoke(grant_target),
    "revoke_task": revoke(task_target),
    "revoke_subject": revoke(subject_target),
    "revoke_actor": revoke(actor_target),
    "revoke_revision": revoke(revision_target),
    "revoke_meanwhile": revoke_meanwhile,
    "block_subject": block(subject_target),
    "block_actor": block(actor_target),
    "block_revision": block(revision_target),
    "security_events": security_events,
    "sweep": sweep,
    "lease": lease,
    "outbox": outbox,
    "activate": activate,
    "crowd": crowd,
    "ask_on": ask_on,
    "revoke_it": revoke_it,
    "race": race,
}
STEPPED: Final = tuple(sorted(set(SCRIPTS) - {name for names in CROWDS for name in names}))
