"""Calls to the gateway, from threads and from event loops over the same channel, repeated where that is safe."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import grpc

from remit.calling import mapping, watch_mapping
from remit.calling.ask import Ask
from remit.calling.attempts import Attempts, may_help, says_less
from remit.calling.channel import TlsChannel
from remit.calling.status import failure_of
from remit.calling.waiting import Patience
from remit.errors import ApprovalPending, InvalidRequest, RemitError
from remit.grant import Grant, Issued, Preview, TaskEnd, TaskEvent
from remit.secret import Secret, Token
from remit.v1 import credential_service_pb2 as service
from remit.v1.credential_service_pb2_grpc import CredentialServiceStub
from remit.workload.failing import NoWorkloadIdentity

SPARE_SECONDS = 1.0
Q = TypeVar("Q")
R = TypeVar("R")
Metadata = tuple[tuple[str, str], ...]

if TYPE_CHECKING:
    # gRPC's own classes take no type parameters when the program runs.
    Method = Callable[[CredentialServiceStub], grpc.UnaryUnaryMultiCallable[Q, R]]

_leaving: set[Any] = set()


class Calls:
    """The calls, each for threads and for event loops, but for those that a thread of their own makes.

    One channel serves both: gRPC's futures tell an event loop when they are done, so an asyncio caller needs no channel
    of its own, which would be bound to one loop. A call and its repeats share one request_id and one deadline; the
    agent's bearer token is asked for at each of them. Where the user's token comes from the same source, the call's one
    token proves both, as some issuers' do.
    """

    def __init__(self, channel: TlsChannel, bearer: Token | None, timeout: float) -> None:
        self.channel = channel
        self._bearer = bearer
        self._timeout = timeout
        self._begun: set[str] = set()
        self._lock = Lock()

    def begins(self, grant: Grant) -> bool:
        """Says whether a grant begins the work in a task that another agent handed on, as far as is known here."""
        with self._lock:
            begins = grant.is_handed_on and grant.task_id not in self._begun
            self._begun.add(grant.task_id)
            return begins

    def issue(self, ask: Ask, task_id: str | None) -> Issued:
        """Asks for credentials, and again while people are waited for; raises RemitError."""
        request_id, patience = ask.request_id or str(uuid4()), Patience(ask.approval_timeout)
        with self._waiting(task_id) as waiting:
            while True:
                token = ask.subject_token.read()
                request = mapping.issue_request(ask, token=token, request_id=request_id, task_id=task_id)
                try:
                    answer = self._call(_issue, request, request_id, bearer=self._carried(ask, token))
                    return mapping.issued(answer, request_id)
                except ApprovalPending as pending:
                    waiting.append(pending)
                time.sleep(patience.pause(waiting[-1]))

    async def issue_async(self, ask: Ask, task_id: str | None) -> Issued:
        """Asks for credentials, and again while people are waited for; raises RemitError."""
        request_id, patience = ask.request_id or str(uuid4()), Patience(ask.approval_timeout)
        with self._waiting(task_id) as waiting:
            while True:
                token = await _read(ask.subject_token)
                request = mapping.issue_request(ask, token=token, request_id=request_id, task_id=task_id)
                try:
                    answer = await self._call_async(_issue, request, request_id, bearer=self._carried(ask, token))
                    return mapping.issued(answer, request_id)
                except ApprovalPending as pending:
                    waiting.append(pending)
                await asyncio.sleep(patience.pause(waiting[-1]))

    @contextmanager
    def _waiting(self, task_id: str | None) -> Iterator[list[ApprovalPending]]:
        """Tells the gateway that a task is over when waiting for people is interrupted: nobody comes back for it."""
        waiting: list[ApprovalPending] = []
        try:
            yield waiting
        except RemitError:
            raise
        except BaseException:
            if waiting and task_id is None:
                with suppress(Exception):  # else it lapses
                    request = Secret(service.EndTaskRequest(task_id=waiting[-1].task_id))
                    call = self._start(_end, request, self._timeout, self._metadata(self._read_bearer()))
                    _leaving.add(call)  # gRPC cancels a call that nobody holds
                    call.add_done_callback(_leaving.discard)
            raise

    def renew(self, ask: Ask, grant: Grant) -> Issued:
        """Asks for new credentials of a grant; raises RemitError.

        Where the grant may be renewed without the user it is, once the user's token is no good any more.
        """
        try:
            return self._renewed(ask, grant, ask.subject_token.read())
        except Exception as error:
            if not grant.offline_renewal or (isinstance(error, RemitError) and not _is_of_the_token(error)):
                raise
        return self._renewed(ask, grant, Secret(""))

    def watch(self, task_id: str, lease: timedelta | None, opened: Callable[[Any], None]) -> Iterator[TaskEvent]:
        """Yields what happens to a task; raises RemitError when the stream breaks. `opened` gets what can cancel it."""
        metadata = self._metadata(self._read_bearer())
        call = self.channel.stub().WatchTask(watch_mapping.watch_request(task_id, lease), metadata=metadata.reveal())
        opened(call)
        try:
            for message in call:
                yield watch_mapping.task_event(message)
        except grpc.RpcError:
            raise failure_of(call, way=self.channel.way, request_id=None) from None
        finally:
            call.cancel()

    def preview(self, ask: Ask) -> Preview:
        """Asks what would be issued; raises RemitError."""
        token = ask.subject_token.read()
        request = mapping.preview_request(ask, token=token)
        return mapping.preview(self._call(_preview, request, bearer=self._carried(ask, token)).reveal())

    async def preview_async(self, ask: Ask) -> Preview:
        """Asks what would be issued; raises RemitError."""
        token = await _read(ask.subject_token)
        request = mapping.preview_request(ask, token=token)
        return mapping.preview((await self._call_async(_preview, request, bearer=self._carried(ask, token))).reveal())

    def end(self, task_id: str) -> TaskEnd:
        """Ends a task; raises RemitError."""
        request = Secret(service.EndTaskRequest(task_id=task_id))
        return mapping.task_end(self._call(_end, request).reveal())

    async def end_async(self, task_id: str) -> TaskEnd:
        """Ends a task; raises RemitError."""
        request = Secret(service.EndTaskRequest(task_id=task_id))
        return mapping.task_end((await self._call_async(_end, request)).reveal())

    def _renewed(self, ask: Ask, grant: Grant, token: Secret[str]) -> Issued:
        """Asks once for new credentials of a grant with this token."""
        request = mapping.renew_request(grant, token=token, narrow=ask.narrow)
        bearer = self._carried(ask, token) if token.reveal() else None
        timeout = _within(grant, self._timeout)
        return mapping.issued(self._call(_renew, request, bearer=bearer, timeout=timeout), None)

    def _carried(self, ask: Ask, token: Secret[str]) -> Secret[str] | None:
        """Returns the user's token where it is the agent's own proof, too; None where that is asked for by itself."""
        return token if self._bearer is not None and self._bearer.is_from_where(ask.subject_token) else None

    def _call(
        self,
        method: "Method[Q, R]",
        request: Secret[Q],
        request_id: str | None = None,
        *,
        bearer: Secret[str] | None = None,
        timeout: float | None = None,
    ) -> Secret[R]:
        """Calls, and repeats while nobody was there or the gateway was full; blocks this thread."""
        attempts = Attempts(timeout or self._timeout)
        while True:
            call = self._start(method, request, attempts.left(), self._metadata(bearer or self._read_bearer()))
            try:
                code = call.code()  # waits
            except BaseException:
                call.cancel()
                raise
            if code is grpc.StatusCode.OK:
                return Secret(call.result())
            time.sleep(self._pause(call, attempts, request_id))

    async def _call_async(
        self,
        method: "Method[Q, R]",
        request: Secret[Q],
        request_id: str | None = None,
        *,
        bearer: Secret[str] | None = None,
    ) -> Secret[R]:
        """Calls, and repeats while nobody was there or the gateway was full; the loop is free meanwhile."""
        attempts = Attempts(self._timeout)
        while True:
            own = await _read(self._bearer) if self._bearer and bearer is None else bearer
            call = self._start(method, request, attempts.left(), self._metadata(own))
            await _done(call)
            if call.code() is grpc.StatusCode.OK:
                return Secret(call.result())
            await asyncio.sleep(self._pause(call, attempts, request_id))

    def _start(self, method: "Method[Q, R]", request: Secret[Q], timeout: float, metadata: Secret[Metadata]) -> Any:
        """Sends a request and returns its call, which is a future too."""
        return method(self.channel.stub()).future(request.reveal(), timeout=timeout, metadata=metadata.reveal())

    def _pause(self, call: grpc.Call, attempts: Attempts, request_id: str | None) -> float:
        """Returns the seconds until the call is repeated; raises its failure when that is not safe or no use."""
        failure = failure_of(call, way=self.channel.way, request_id=request_id)
        if attempts.failure is not None and says_less(call, failure):
            raise attempts.failure
        attempts.failure = failure
        pause = attempts.pause(failure) if may_help(call, failure) else None
        if pause is None:
            raise failure
        return pause

    def _read_bearer(self) -> Secret[str] | None:
        """Returns the agent's bearer token as it is now."""
        return self._bearer.read() if self._bearer else None

    @staticmethod
    def _metadata(bearer: Secret[str] | None) -> Secret[Metadata]:
        """Writes the one authorization value, if there is to be any."""
        return Secret((("authorization", f"Bearer {bearer.reveal()}"),) if bearer else ())


def _is_of_the_token(error: RemitError) -> bool:
    """Says whether the user's token was the reason."""
    return error.reason == "SUBJECT_TOKEN_REJECTED" or isinstance(error, (InvalidRequest, NoWorkloadIdentity))


async def _read(token: Token) -> Secret[str]:
    """Reads a token; a caller's function may block, so it runs in a thread."""
    return await asyncio.to_thread(token.read) if token.is_asked_for else token.read()


async def _done(call: Any) -> None:
    """Returns when the call is done; cancels it when this is cancelled."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def tell(_: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(done.set)

    call.add_done_callback(tell)
    try:
        await done.wait()
    except BaseException:
        call.cancel()
        raise


def _within(grant: Grant, timeout: float) -> float:
    """Returns how long a renewal is waited for: less than what is left of what it renews, which is of use till then."""
    left = (grant.expire_time - datetime.now(UTC)).total_seconds()
    return timeout if left <= 0 else min(timeout, max(left - SPARE_SECONDS, SPARE_SECONDS))


def _issue(
    stub: CredentialServiceStub,
) -> "grpc.UnaryUnaryMultiCallable[service.IssueCredentialsRequest, service.IssueCredentialsResponse]":
    return stub.IssueCredentials


def _renew(
    stub: CredentialServiceStub,
) -> "grpc.UnaryUnaryMultiCallable[service.RenewCredentialsRequest, service.RenewCredentialsResponse]":
    return stub.RenewCredentials


def _preview(
    stub: CredentialServiceStub,
) -> "grpc.UnaryUnaryMultiCallable[service.PreviewCredentialsRequest, service.PreviewCredentialsResponse]":
    return stub.PreviewCredentials


def _end(
    stub: CredentialServiceStub,
) -> "grpc.UnaryUnaryMultiCallable[service.EndTaskRequest, service.EndTaskResponse]":
    return stub.EndTask
