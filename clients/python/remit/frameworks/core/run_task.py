"""The task of one run of an agent: begun at its first AWS tool call, ended when the run is left, whichever way."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from remit.attenuated import Attenuated
from remit.calling.ask import Allow, items_of
from remit.errors import ApprovalPending, Refused, Remedy, TaskOver
from remit.frameworks.core.aws_errors import note_needs
from remit.frameworks.core.limits import Item, check_within
from remit.gateway import DEFAULT_LEASE, Gateway
from remit.secret import TokenSource
from remit.task import Task, TaskBlock

if TYPE_CHECKING:
    import boto3

LONGEST_PURPOSE = 512
# The loop keeps no hold of its tasks: an ending that nobody awaits any more is kept here until it is done.
_endings: set[Any] = set()


class RunTask:
    """The task of one run; for threads and event loops alike, for tool calls one after the other or at once.

        async with RunTask(gateway, "summarise Q3", subject_token=token, allow=[reports]) as aws:
            await agent.run(question, deps=aws)

    The gateway is asked at the first tool call that needs AWS, or on entering with `start_now`. A refusal is that tool
    call's result, and the next one asks again. Leaving the block ends the task: after success, an exception, a
    cancellation, a stream that nobody reads to its end.

    `purpose`, `subject_token`, `duration`, `narrow`, `labels` and `lease` are those of `Gateway.task`; `allow` may also
    be text (`s3:GetObject=arn:aws:s3:::reports/*`). `at_most` is what the model may ask for on top, by the tool
    `request_aws_access`: without it no more than `allow`, which lets it narrow. `region` is that of the boto3 sessions.
    """

    def __init__(
        self,
        gateway: Gateway,
        purpose: str,
        *,
        subject_token: TokenSource,
        allow: Allow = (),
        at_most: Allow = (),
        duration: timedelta | float | None = None,
        narrow: bool = False,
        labels: Mapping[str, str] | None = None,
        lease: timedelta | float | None = DEFAULT_LEASE,
        region: str | None = None,
        start_now: bool = False,
    ) -> None:
        self.purpose = purpose
        self._allow = items_of(allow)
        self._limits = (*items_of(at_most), *self._allow)
        self._region = region
        self._start_now = start_now
        self._lock = threading.Lock()
        self._state = _NEW
        self._blocks: list[TaskBlock] = []
        self._task: Task | None = None
        self._holds: tuple[Item, ...] = ()
        self._turned_away = False  # what the run was to begin with was not had: the model may begin with less
        self._pending: dict[frozenset[Item], tuple[str, str]] = {}  # what people were asked: request id and purpose
        self._watchers: set[Callable[[Task | Attenuated], None]] = set()

        def block(purpose: str, items: tuple[Item, ...], task_id: str | None, request_id: str | None) -> TaskBlock:
            # A closure, so that no frame and no repr of ours has the token.
            return gateway.task(
                purpose,
                subject_token=subject_token,
                allow=items,
                duration=duration,
                narrow=narrow,
                labels=labels,
                task_id=task_id,
                lease=lease,
                request_id=request_id,
            )

        self._block = block

    @property
    def may_ask(self) -> tuple[Item, ...]:
        """What this run may ask for at most."""
        return self._limits

    @property
    def holds(self) -> tuple[Item, ...]:
        """What the run's present credentials were asked for; nothing before the first call."""
        return self._holds

    def task(self) -> Task:
        """Returns the run's task, begun now if it was not; raises RemitError, and RuntimeError outside of the block."""
        task = self._task
        if task is not None and self._state is _ENTERED:
            return task
        with self._lock:
            return self._begun()

    def boto3_session(self) -> "boto3.Session":
        """Returns a boto3 session on the run's credentials; begins the task if need be, as `task()` does."""
        return self.session_of(self.task())

    def session_of(self, holder: Task | Attenuated) -> "boto3.Session":
        """Returns a boto3 session on these credentials, whose refusals say which permission they were for."""
        self._told(holder)
        session = holder.boto3_session(self._region)
        note_needs(session)
        return session

    def attenuated(self, allow: Allow, duration: timedelta | float | None = None) -> Attenuated:
        """Returns narrower credentials out of the run's, for one call, as `Task.attenuate` does."""
        part = self.task().attenuate(allow, duration=duration)
        self._told(part)
        return part

    def watch(self, watcher: Callable[[Task | Attenuated], None]) -> None:
        """Tells a watcher of everything with keys that the run holds, or hands out from now on; until `unwatch`."""
        self._watchers.add(watcher)
        if (task := self._task) is not None:
            watcher(task)

    def unwatch(self, watcher: Callable[[Task | Attenuated], None]) -> None:
        """Tells the watcher nothing more."""
        self._watchers.discard(watcher)

    def _told(self, holder: Task | Attenuated) -> None:
        for watcher in tuple(self._watchers):
            watcher(holder)

    def request(self, allow: Allow, why: str = "") -> Task:
        """Asks for more on top of what the run holds, at most what it may; later tool calls then have both.

        Where one set of credentials cannot hold both, what was asked for replaces what there was. `why` is told to
        people beside the purpose, as the agent's words. Raises RemitError, and leaves what there is as it is then.
        """
        asked = items_of(allow)
        check_within(asked, self._limits)
        with self._lock:
            self._check_entered()
            held = self._holds or (() if self._turned_away else self._allow)
            more = tuple(dict.fromkeys((*held, *asked)))
            try:
                return self._asked(more, why)
            except Refused as refused:
                if refused.remedy is not Remedy.SPLIT or len(more) == len(asked):
                    raise
                return self._asked(asked, why)

    def _begun(self) -> Task:
        """Returns the task, begun if it was not; with the lock held."""
        self._check_entered()
        if self._task is not None:
            return self._task
        if not self._allow:
            raise Refused(
                "this run has not asked for any AWS access yet", reason="NOTHING_ASKED_FOR", remedy=Remedy.NARROW
            )
        return self._asked(self._allow, "")

    def _asked(self, items: tuple[Item, ...], why: str) -> Task:
        """Asks the gateway, comes back to a request that people were asked about; with the lock held."""
        key = frozenset(items)
        purpose = self.purpose if not why else f'{self.purpose} (the agent says: "{why}")'[:LONGEST_PURPOSE]
        request_id, purpose = self._pending.get(key, (None, purpose))
        block = self._block(purpose, items, self._task.id if self._task else None, request_id)
        try:
            task = block.__enter__()
        except ApprovalPending as pending:
            self._turned_away = True
            if pending.request_id:
                self._pending[key] = (pending.request_id, purpose)
            raise
        except Refused as refused:
            self._turned_away = True
            self._pending.pop(key, None)
            # What the gateway offers lies within what was asked for: the model may take it up.
            self._limits += tuple(item for item in refused.offer if item not in self._limits)
            raise
        self._pending.pop(key, None)
        self._blocks.append(block)
        self._task, self._holds = task, items
        self._told(task)
        return task

    def _check_entered(self) -> None:
        """Refuses a run that was not begun, or is over: nobody would end its task."""
        if self._state is _NEW:
            raise RuntimeError("enter the run's task first: `with RunTask(...) as aws:` around the whole run")
        if self._state is _LEFT:
            raise TaskOver("the run that this task was begun for is over", reason="GRANT_NOT_LIVE")

    def __enter__(self) -> Self:
        with self._lock:
            if self._state is not _NEW:
                raise RuntimeError("a RunTask is for one run: make another for the next")
            self._state = _ENTERED
            try:
                if self._start_now:
                    self._begun()
            except BaseException:
                self._state = _LEFT
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:  # a call that is just beginning the task is waited for, so that its task is ended too
            self._state = _LEFT
            blocks, self._blocks = self._blocks[::-1], []
            for block in blocks:  # the first one, which began the task and ends it, comes last
                block.__exit__(kind, error, traceback)

    async def __aenter__(self) -> Self:
        if not self._start_now:
            return self.__enter__()
        entering = asyncio.ensure_future(asyncio.to_thread(self.__enter__))
        try:
            return await asyncio.shield(entering)
        except asyncio.CancelledError:
            # Nobody will leave a block that was not entered: what is being begun is ended.
            _keep(asyncio.ensure_future(self._left_unentered(entering)))
            raise

    async def _left_unentered(self, entering: "asyncio.Future[Self]") -> None:
        """Ends what an entering that was cancelled has begun meanwhile."""
        await asyncio.wait([entering])
        entering.exception()
        await asyncio.to_thread(self.__exit__, None, None, None)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # A block that is cancelled, once or again and again, still ends its task.
        await asyncio.shield(_keep(asyncio.ensure_future(asyncio.to_thread(self.__exit__, kind, error, traceback))))

    def __repr__(self) -> str:
        task = f" {self._task.id}" if self._task else ""
        return f"<{type(self).__name__} {self.purpose!r}{task} {self._state}>"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # frameworks copy their contexts; there is one task however often

    def __reduce__(self) -> NoReturn:
        raise TypeError("a RunTask stands for live credentials: it is not written into checkpoints or sessions")


_NEW, _ENTERED, _LEFT = "not entered", "entered", "over"


def _keep(work: "asyncio.Future[Any]") -> "asyncio.Future[Any]":
    """Keeps work from being collected before it is done."""
    _endings.add(work)
    work.add_done_callback(_endings.discard)
    return work
