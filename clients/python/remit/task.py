"""A task as a block: entering it issues credentials, leaving it ends the task."""

import logging
import os
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any

from remit.attenuated import Attenuated
from remit.calling.ask import Allow, Ask, ask, seconds
from remit.errors import RemitError
from remit.grant import Credentials, Grant, Issued, TaskEnd
from remit.keeping.opening import open_boto3_session
from remit.keeping.renewal import Keyring
from remit.keeping.watch import Watch
from remit.secret import Token

if TYPE_CHECKING:
    import boto3

    from remit.calling.asides import AgentCalls

_log = logging.getLogger("remit")
# The loop keeps no hold of its tasks: an ending that nobody awaits any more is kept here until it is done.
_endings: set[Any] = set()


class _Task:
    """What a task offers to threads and event loops alike."""

    def __init__(self, calls: "AgentCalls", ask: Ask, first: Issued) -> None:
        self.id = first.grant.task_id
        self._calls = calls
        self._purpose = ask.purpose
        # A certain duration was asked for on purpose: such credentials end, they are not renewed behind its back.
        renew = None if ask.duration is not None else (lambda grant: calls.renew(ask, grant))
        self._keyring = Keyring(self.id, first, renew)
        self._end: TaskEnd | None = None
        self._process = os.getpid()
        self._begun_here = ask.task_id is None or calls.begins(first.grant)
        # Who joins a task leaves its lease as it is.
        self._watch = Watch(calls, self._keyring, self.id, ask.lease if self._begun_here else None)
        self._watch.start()

    @property
    def grant(self) -> Grant:
        """The latest grant: what exactly these credentials may do, and until when."""
        return self._keyring.grant

    def boto3_session(self, region: str | None = None) -> "boto3.Session":
        """Returns a boto3 session that uses this task's credentials, renewed while the task lasts, and no others.

        `region` defaults to the gateway's. Its clients may be used in any thread; once the task is over they raise
        TaskOver. Raises ImportError without boto3: `pip install 'remit[boto3]'`.
        """
        return open_boto3_session(self._keyring, region)

    def _part(self, allow: Allow, purpose: str | None, duration: timedelta | float | None, *, narrow: bool) -> Ask:
        """Reads what is wanted of the task for one call."""
        return ask(
            self._purpose if purpose is None else purpose,
            subject_token=Token("subject_token", ""),
            allow=allow,
            duration=duration,
            narrow=narrow,
            labels=None,
            task_id=None,
        )

    def forget(self, why: str) -> None:
        """Forgets the keys without ending the task."""
        self._keyring.close(why)
        self._watch.stop()

    @property
    def ends_with_its_block(self) -> bool:
        """Says whether the task was begun by its block, and not in the process that this one was forked off."""
        return self._begun_here and self._process == os.getpid()

    def __repr__(self) -> str:
        state = "over" if self._keyring.is_over else f"until {self.grant.expire_time.isoformat()}"
        return f"<{type(self).__name__} {self.id} {state}>"


class Task(_Task):
    """A live task; safe to share between threads."""

    def credentials(self) -> Credentials:
        """Returns credentials that work now; raises TaskOver once the task or its time is over, or a RemitError."""
        return self._keyring.credentials()

    def attenuate(
        self,
        allow: Allow,
        *,
        duration: timedelta | float | None = None,
        narrow: bool = False,
        purpose: str | None = None,
    ) -> Attenuated:
        """Returns narrower credentials out of this task's, for one call of a tool, as an object and as a block.

            with task.attenuate("read s3://reports/2026/q3/summary.md") as part:
                tool.run(part.boto3_session())

        They may do what `allow` says and no more, work for `duration` (seconds; 60 unless said, 15 at least, never
        longer than the task's present credentials), and are revoked with the task. No user and no policy is asked, as
        nothing is given that the task does not hold. `narrow` takes the part of `allow` that the task holds instead of
        a refusal, whose `offer` is that part. `purpose` is for people; the task's unless said.

        Raises Refused for more than the task holds, TaskOver once the task is over, or another RemitError.
        """
        self._keyring.credentials()  # what is nearly over is renewed, as the part lasts no longer
        part = self._part(allow, purpose, duration, narrow=narrow)
        return Attenuated(self._keyring, self._calls.attenuate(part, self.grant))

    def delegate(self, actor: str, *, purpose: str, max_duration: timedelta | float | None = None) -> str:
        """Hands a part of the work on to another agent; returns the id of a task of that agent's, to be given to it.

        `actor` is its SPIFFE ID or `<alias>:<id>`. It enters `gateway.task(..., task_id=...)` with a token of the same
        user, gets at most what this task's credentials may do, and loses it when this task ends. `max_duration`
        (seconds) ends its task earlier. Raises Refused (DELEGATION_TOO_DEEP), InvalidRequest for a name that no agent
        has, TaskOver, or another RemitError.
        """
        return self._calls.delegate(self.id, actor, purpose, seconds(max_duration))

    def end(self) -> TaskEnd:
        """Ends the task now; again, it gives the same answer. Raises RemitError; the keys are forgotten in any case."""
        self.forget("it was ended")
        if self._end is None:
            self._end = self._calls.end(self.id)
        return self._end


class AsyncTask(_Task):
    """A live task in an event loop; `boto3_session()` blocks as boto3 does, so use its clients in threads."""

    async def credentials(self) -> Credentials:
        """Returns credentials that work now; raises TaskOver once the task or its time is over, or a RemitError."""
        import asyncio  # noqa: PLC0415 - a third of what `import remit` takes, and loaded by now

        usable = self._keyring.usable()
        # Renewal is rare, and shared with the threads that boto3 runs in: its lock is held in one, not on the loop.
        return usable if usable is not None else await asyncio.to_thread(self._keyring.credentials)

    async def attenuate(
        self,
        allow: Allow,
        *,
        duration: timedelta | float | None = None,
        narrow: bool = False,
        purpose: str | None = None,
    ) -> Attenuated:
        """Returns narrower credentials for one call, as `Task.attenuate` does, without blocking the event loop."""
        await self.credentials()
        part = self._part(allow, purpose, duration, narrow=narrow)
        return Attenuated(self._keyring, await self._calls.attenuate_async(part, self.grant))

    async def delegate(self, actor: str, *, purpose: str, max_duration: timedelta | float | None = None) -> str:
        """Hands a part of the work on to another agent, as `Task.delegate` does."""
        return await self._calls.delegate_async(self.id, actor, purpose, seconds(max_duration))

    async def end(self) -> TaskEnd:
        """Ends the task now; again, it gives the same answer. Raises RemitError; the keys are forgotten in any case."""
        self.forget("it was ended")
        if self._end is None:
            self._end = await self._calls.end_async(self.id)
        return self._end


_OF_A_TASK = {"id", *(name for name in dir(Task) if not name.startswith("_"))}


class TaskBlock:
    """A task that is about to begin: `with` it for a Task, `async with` it for an AsyncTask. Good for one block.

    Entering issues credentials, so a refusal is raised there. Leaving ends the task, also when the block failed; if
    that cannot be done the failure is raised, or, when the block failed too, logged and noted on its exception.
    A block given an existing `task_id` joins that task: leaving it forgets the keys and leaves the ending to whoever
    started the task. A task that another agent handed on is begun by the first block of a gateway in it, and ends with
    that block.
    """

    def __init__(self, calls: "AgentCalls", ask: Ask) -> None:
        self._calls = calls
        self._ask = ask
        self._begun = False
        self._task: Task | None = None
        self._async_task: AsyncTask | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._ask.purpose!r}>"

    if not TYPE_CHECKING:  # a type checker sees the mistake before it is run

        def __getattr__(self, name: str) -> Any:
            """Tells whoever forgot `with` where the task is; raises AttributeError as for any missing name."""
            known = f"{type(self).__name__!r} object has no attribute {name!r}"
            if name in _OF_A_TASK:
                known += f": enter the block first, `with gateway.task(...) as task:`, and use task.{name}"
            raise AttributeError(known, name=name, obj=self)

    def __enter__(self) -> Task:
        self._begin()
        issued = self._calls.issue(self._ask, self._ask.task_id)
        self._task = Task(self._calls, self._ask, issued)
        return self._task

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        task = self._task
        if task is None or self._only_joined(task):
            return
        try:
            task.end()
        except Exception as failure:
            if not _noted(task, failure, error):
                raise

    async def __aenter__(self) -> AsyncTask:
        self._begin()
        issued = await self._calls.issue_async(self._ask, self._ask.task_id)
        self._async_task = AsyncTask(self._calls, self._ask, issued)
        return self._async_task

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        import asyncio  # noqa: PLC0415 - loaded by now

        task = self._async_task
        if task is None or self._only_joined(task):
            return
        ending = asyncio.ensure_future(_end(task, error))
        _endings.add(ending)
        ending.add_done_callback(_endings.discard)
        # A block that is cancelled, once or again and again, still ends its task.
        await asyncio.shield(ending)

    def _begin(self) -> None:
        """Refuses a second block."""
        if self._begun:
            raise RuntimeError("a task begins once: call gateway.task() again for another")
        self._begun = True

    def _only_joined(self, task: _Task) -> bool:
        """Forgets the keys of a task that somebody else started, and says whether it is one."""
        if task.ends_with_its_block:
            return False
        task.forget("its block was left")
        return True


async def _end(task: AsyncTask, error: BaseException | None) -> None:
    """Ends a task whose block was left."""
    try:
        await task.end()
    except Exception as failure:
        if not _noted(task, failure, error):
            raise


def _noted(task: _Task, failure: Exception, error: BaseException | None) -> bool:
    """Logs that a task was not ended and notes it on the block's exception; False if there is none."""
    # NOTE: the text of an exception that is not ours may hold anything, a token too; its type may not.
    why = failure.reason if isinstance(failure, RemitError) else type(failure).__name__
    told = (
        f"remit task {task.id} was not ended ({why}): its credentials work until {task.grant.expire_time.isoformat()}"
    )
    _log.warning("%s", told)
    (error or failure).add_note(told)
    return error is not None
