"""What is swept: one call of a use case each. What it needs is prepared before the `yield`, and nothing fails there."""

from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, TypeAlias

from tests.crash.caller import Caller
from tests.crash.gateway import APPROVERS, CAREFUL
from tests.fake_sts import FakeSts, answering, refusing

from remit_server.application.approvals.decide_approval import DecideApproval, Decision
from remit_server.application.approvals.show_approvals import ShowApprovals
from remit_server.application.planning.recent import Recent
from remit_server.domain.errors import RemitError
from remit_server.domain.operator import Operator, OperatorKind

Script: TypeAlias = Callable[[Caller], AsyncIterator[None]]


async def issue(caller: Caller) -> AsyncIterator[None]:
    """Opens a task."""
    login = caller.login()
    yield
    await caller.ask(login)


async def in_task(caller: Caller) -> AsyncIterator[None]:
    """Asks for more in a task."""
    login = caller.login()
    first = await caller.asked(login)
    yield
    await caller.ask(login, task=first.grant.task_id)


async def repeat(caller: Caller) -> AsyncIterator[None]:
    """Repeats a request that was answered."""
    login, request_id = caller.login(single_use=True), caller.request_id()
    await caller.asked(login, request_id=request_id)
    yield
    await caller.ask(login, request_id=request_id)


async def repeat_elsewhere(caller: Caller) -> AsyncIterator[None]:
    """Repeats a request at a process that has not seen it."""
    login, request_id = caller.login(single_use=True), caller.request_id()
    await caller.asked(login, request_id=request_id)
    caller.gateway.issue = replace(caller.gateway.issue, seen=Recent(1))
    yield
    await caller.ask(login, request_id=request_id)


async def decided_anew(caller: Caller) -> AsyncIterator[None]:
    """Asks when another revision was activated that this process has not heard of."""
    login = caller.login()
    await caller.activate(await caller.publish())
    yield
    await caller.ask(login)


async def ask_people(caller: Caller) -> AsyncIterator[None]:
    """Asks for what people have to approve."""
    login = caller.login(agent=CAREFUL)
    yield
    await caller.ask(login)


async def collect(caller: Caller) -> AsyncIterator[None]:
    """Collects what people said yes to."""
    login, request_id = caller.login(agent=CAREFUL), caller.request_id()
    await caller.ask(login, request_id=request_id)
    await caller.decide()
    yield
    await caller.ask(login, request_id=request_id)


async def decide(caller: Caller) -> AsyncIterator[None]:
    """Is a person who says yes."""
    login = caller.login(agent=CAREFUL)
    await caller.ask(login)
    approval, approvals, clock = caller.waiting, caller.gateway.approvals, caller.gateway.clock
    assert approval is not None
    decide = DecideApproval(approvals, ShowApprovals(approvals, _sees_nothing_else, clock), clock)
    yield
    lea = Operator("https://corp.example", "corp", "lea", OperatorKind.PERSON, "127.0.0.1", groups=APPROVERS)
    await decide(lea, Decision(approval.approval_id, approval.digest, approve=True))
    caller.gateway.steps.tell("decided", approval=approval.approval_id, approved=True)


async def renew(caller: Caller) -> AsyncIterator[None]:
    """Renews."""
    login = caller.login()
    issued = await caller.asked(login)
    yield
    await caller.renew(login, issued)


async def attenuate(caller: Caller) -> AsyncIterator[None]:
    """Takes a part of a grant."""
    login = caller.login()
    issued = await caller.asked(login)
    yield
    await caller.attenuate(login, issued)


async def attenuate_again(caller: Caller) -> AsyncIterator[None]:
    """Repeats that."""
    login, request_id = caller.login(), caller.request_id()
    issued = await caller.asked(login)
    await caller.attenuate(login, issued, request_id=request_id)
    yield
    await caller.attenuate(login, issued, request_id=request_id)


async def delegate(caller: Caller) -> AsyncIterator[None]:
    """Hands a task on."""
    login, below = caller.login(), caller.login(agent="fixer")
    issued = await caller.asked(login)
    yield
    await caller.delegate(login, issued, below, request_id=caller.request_id())


async def below(caller: Caller) -> AsyncIterator[None]:
    """Asks in a task that was handed on."""
    login, fixer = caller.login(), caller.login(agent="fixer")
    issued = await caller.asked(login)
    task = await caller.delegate(login, issued, fixer, request_id=caller.request_id())
    yield
    await caller.ask(fixer, task=task)


async def end_task(caller: Caller) -> AsyncIterator[None]:
    """Ends a task."""
    login = caller.login()
    issued = await caller.asked(login)
    yield
    await caller.end(login, issued.grant.task_id)


async def refused(caller: Caller) -> AsyncIterator[None]:
    """Uses the id of a request for another one."""
    login, request_id = caller.login(), caller.request_id()
    issued = await caller.asked(login, request_id=request_id)
    yield
    await caller.ask(login, request_id=request_id, task=issued.grant.task_id)


async def sts_refuses(caller: Caller) -> AsyncIterator[None]:
    """Is refused by STS."""
    login = caller.login()
    yield
    _sts(caller).plan(refusing(403, "AccessDenied"))
    await caller.ask(login)


async def sts_breaks_off(caller: Caller) -> AsyncIterator[None]:
    """Gets an answer of STS that nobody can read."""
    login = caller.login()
    yield
    _sts(caller).plan(answering(200, "<html>"))
    await caller.ask(login)


async def below_again(caller: Caller) -> AsyncIterator[None]:
    """Repeats a request in a task that was handed on."""
    login, fixer, request_id = caller.login(), caller.login(agent="fixer"), caller.request_id()
    issued = await caller.asked(login)
    task = await caller.delegate(login, issued, fixer, request_id=caller.request_id())
    await caller.asked(fixer, task=task, request_id=request_id)
    yield
    await caller.ask(fixer, task=task, request_id=request_id)


async def ask_people_in_task(caller: Caller) -> AsyncIterator[None]:
    """Asks for more of what people have to approve."""
    login, request_id = caller.login(agent=CAREFUL), caller.request_id()
    await caller.ask(login, request_id=request_id)
    await caller.decide()
    issued = await caller.asked(login, request_id=request_id)
    yield
    await caller.ask(login, task=issued.grant.task_id)


async def renew_approved(caller: Caller) -> AsyncIterator[None]:
    """Renews what people said yes to."""
    login, request_id = caller.login(agent=CAREFUL), caller.request_id()
    await caller.ask(login, request_id=request_id)
    await caller.decide()
    issued = await caller.asked(login, request_id=request_id)
    yield
    await caller.renew(login, issued)


async def renew_refused(caller: Caller) -> AsyncIterator[None]:
    """Renews a grant whose task is over."""
    login = caller.login()
    issued = await caller.asked(login)
    await caller.end(login, issued.grant.task_id)
    yield
    await caller.renew(login, issued)


async def renew_decided_anew(caller: Caller) -> AsyncIterator[None]:
    """Renews when another revision was activated that this process has not heard of."""
    login = caller.login()
    issued = await caller.asked(login)
    await caller.activate(await caller.publish())
    yield
    await caller.renew(login, issued)


async def renew_sts_refuses(caller: Caller) -> AsyncIterator[None]:
    """Renews, and is refused by STS."""
    login = caller.login()
    issued = await caller.asked(login)
    yield
    _sts(caller).plan(refusing(403, "AccessDenied"))
    await caller.renew(login, issued)


async def attenuate_refused(caller: Caller) -> AsyncIterator[None]:
    """Takes a part of a grant whose task is over."""
    login = caller.login()
    issued = await caller.asked(login)
    await caller.end(login, issued.grant.task_id)
    yield
    await caller.attenuate(login, issued)


async def delegate_refused(caller: Caller) -> AsyncIterator[None]:
    """Hands on a task that is over."""
    login, fixer = caller.login(), caller.login(agent="fixer")
    issued = await caller.asked(login)
    await caller.end(login, issued.grant.task_id)
    yield
    with suppress(RemitError):
        await caller.delegate(login, issued, fixer, request_id=caller.request_id())


async def _sees_nothing_else(_operator: Operator, _method: str) -> bool:
    """Lets a person see what they are asked, and nothing else (implements `MaySeeAll`)."""
    return False


def _sts(caller: Caller) -> FakeSts:
    found: Any = caller.gateway.sts
    assert isinstance(found, FakeSts)
    return found


SCRIPTS: Final[dict[str, Script]] = {
    script.__name__: script
    for script in (
        issue,
        in_task,
        repeat,
        repeat_elsewhere,
        decided_anew,
        ask_people,
        collect,
        decide,
        renew,
        attenuate,
        attenuate_again,
        delegate,
        below,
        end_task,
        refused,
        sts_refuses,
        sts_breaks_off,
        below_again,
        ask_people_in_task,
        renew_approved,
        renew_refused,
        renew_decided_anew,
        renew_sts_refuses,
        attenuate_refused,
        delegate_refused,
    )
}
# Swept with AssumeRoleWithWebIdentity as well: one for each place that asks STS, and what people said yes to.
CALL_STS: Final = ("issue", "renew", "attenuate", "below", "collect")
