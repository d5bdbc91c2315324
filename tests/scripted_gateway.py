"""A gateway that answers what a test tells it to, over real gRPC and real TLS on loopback.

It exists because the client is the subject: a real gateway cannot be told to be away for two calls, to hand out a
credential that is nearly over, or to be newer than this client. Its failures are written by the real server's mapping.
"""

import queue
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.status_pb2 import Status

import remit
from remit.v1 import credential_service_pb2 as messages
from remit.v1 import types_pb2
from remit.v1.credential_service_pb2_grpc import CredentialServiceServicer, add_CredentialServiceServicer_to_server
from remit_sandbox.certificates import Authority
from remit_server.domain.errors import RemitError as ServerError
from remit_server.transport.grpc.status import DETAILS_KEY, status_of

AGENT = "spiffe://remit.test/agent/copilot"
TASK_ID = "abcdefghijklmnopqrstuvwxyz"
GRANT = f"tasks/{TASK_ID}/grants/{'b' * 26}"
SUBJECT_TOKEN = "subject-token-canary"
BEARER = "bearer-token-canary"
SECRET_KEY = "secret-key-canary"
SESSION_TOKEN = "session-token-canary"
CANARIES = (SUBJECT_TOKEN, BEARER, SECRET_KEY, SESSION_TOKEN)
REPORTS = remit.Capability("s3.read_prefix", bucket="reports", prefix="2026/q3/")

Answer = Any
"""What a call is answered with: a message, a status, one of the server's errors, or a function of the context."""


@dataclass
class Held:
    """An answer that waits until it is released; says when it is asked for and when its caller left."""

    answer: Answer
    arrived: threading.Event = field(default_factory=threading.Event)
    gone: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)

    def __call__(self, context: Any) -> Answer:
        """Waits for at most half a minute, so that a test that fails ends."""
        context.add_callback(self.gone.set)
        self.arrived.set()
        self.release.wait(timeout=30)
        return self.answer


@dataclass
class Stream:
    """A stream that begins with a heartbeat and goes on for as long as its caller or the test likes."""

    opened: threading.Event = field(default_factory=threading.Event)
    gone: threading.Event = field(default_factory=threading.Event)
    answers: "queue.SimpleQueue[Answer]" = field(default_factory=queue.SimpleQueue)

    def __call__(self, context: Any) -> Iterator[Any]:
        """Yields what is put in, until that is None or the caller has gone."""
        context.add_callback(self.gone.set)
        context.add_callback(lambda: self.answers.put(None))
        yield event("HEARTBEAT")
        self.opened.set()
        while (answer := self.answers.get()) is not None:
            yield _answer(deque([answer]), context, default=None)

    def tell(self, *answers: Answer) -> None:
        """Sends these answers."""
        for answer in answers:
            self.answers.put(answer)

    def end(self) -> None:
        """Ends the stream."""
        self.answers.put(None)


@dataclass
class ScriptedGateway(CredentialServiceServicer):
    """Answers each call with the next of its answers, and with success when there are none; keeps what it was asked."""

    authority: Authority
    issue_answers: deque[Answer] = field(default_factory=deque)
    preview_answers: deque[Answer] = field(default_factory=deque)
    end_answers: deque[Answer] = field(default_factory=deque)
    renew_answers: deque[Answer] = field(default_factory=deque)
    issues: list[messages.IssueCredentialsRequest] = field(default_factory=list)
    previews: list[messages.PreviewCredentialsRequest] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    renewals: list[messages.RenewCredentialsRequest] = field(default_factory=list)
    watched: threading.Event = field(default_factory=threading.Event)
    watches: list[messages.WatchTaskRequest] = field(default_factory=list)
    streams: deque[Answer] = field(default_factory=deque)
    requests: list[Any] = field(default_factory=list)
    attenuations: deque[Answer] = field(default_factory=deque)
    delegations: deque[Answer] = field(default_factory=deque)
    identities: deque[Answer] = field(default_factory=deque)
    decisions: deque[Answer] = field(default_factory=deque)
    authorizations: list[list[str]] = field(default_factory=list)
    peers: list[str] = field(default_factory=list)
    mtls: str = ""
    bearer: str = ""

    def IssueCredentials(self, request: messages.IssueCredentialsRequest, context: Any) -> Any:  # noqa: N802
        self._note(context)
        self.issues.append(request)
        return _answer(self.issue_answers, context, default=issued(len(self.issues)))

    def PreviewCredentials(self, request: messages.PreviewCredentialsRequest, context: Any) -> Any:  # noqa: N802
        self._note(context)
        self.previews.append(request)
        return _answer(self.preview_answers, context, default=messages.PreviewCredentialsResponse())

    def EndTask(self, request: messages.EndTaskRequest, context: Any) -> Any:  # noqa: N802
        self._note(context)
        self.ends.append(request.task_id)
        return _answer(self.end_answers, context, default=ended())

    def RenewCredentials(self, request: messages.RenewCredentialsRequest, context: Any) -> Any:  # noqa: N802
        self._note(context)
        self.renewals.append(request)
        return _answer(self.renew_answers, context, default=renewed(len(self.issues) + len(self.renewals)))

    def WatchTask(self, request: messages.WatchTaskRequest, context: Any) -> Iterator[Any]:  # noqa: N802
        self.watches.append(request)
        self.watched.set()
        planned = self.streams.popleft() if self.streams else Stream()
        if isinstance(planned, Stream):
            yield from planned(context)
        else:
            yield _answer(deque([planned]), context, default=None)

    def AttenuateCredentials(self, request: messages.AttenuateCredentialsRequest, context: Any) -> Any:  # noqa: N802
        """Answers with the next of `attenuations`."""
        self._note(context)
        self.requests.append(request)
        return _answer(self.attenuations, context, default=messages.AttenuateCredentialsResponse())

    def DelegateTask(self, request: messages.DelegateTaskRequest, context: Any) -> Any:  # noqa: N802
        """Answers with the next of `delegations`."""
        self._note(context)
        self.requests.append(request)
        return _answer(self.delegations, context, default=messages.DelegateTaskResponse())

    def GetCallerIdentity(self, request: messages.GetCallerIdentityRequest, context: Any) -> Any:  # noqa: N802
        """Answers with the next of `identities`."""
        self._note(context)
        self.requests.append(request)
        return _answer(self.identities, context, default=messages.GetCallerIdentityResponse())

    def GetDecision(self, request: messages.GetDecisionRequest, context: Any) -> Any:  # noqa: N802
        """Answers with the next of `decisions`."""
        self._note(context)
        self.requests.append(request)
        return _answer(self.decisions, context, default=messages.GetDecisionResponse())

    def connect(self, **options: Any) -> remit.Gateway:
        """Returns a client: an agent by certificate, or by bearer token when one is given."""
        if "bearer_token" in options:
            return remit.Gateway(self.bearer, **{"ca_file": self.authority.bundle_path} | options)
        pair = self.authority.issue_client(AGENT)
        files = {"certificate_file": pair.certificate_path, "key_file": pair.key_path}
        return remit.Gateway(self.mtls, **{"ca_file": self.authority.bundle_path} | files | options)

    def _note(self, context: Any) -> None:
        """Keeps who called, and with which authorization."""
        metadata = context.invocation_metadata()
        self.authorizations.append([str(value) for key, value in metadata if key == "authorization"])
        self.peers += [identity.decode() for identity in context.peer_identities() or ()]


def _answer(answers: deque[Answer], context: Any, *, default: Answer) -> Any:
    answer = answers.popleft() if answers else default
    if isinstance(answer, ServerError):
        answer = status_of(answer)
    if isinstance(answer, Status):
        context.set_trailing_metadata(((DETAILS_KEY, answer.SerializeToString()),) if answer.details else ())
        context.abort(next(code for code in grpc.StatusCode if code.value[0] == answer.code), answer.message)
    return answer(context) if callable(answer) else answer


def issued(
    number: int = 1,
    *,
    lifetime: timedelta = timedelta(seconds=900),
    left: timedelta | None = None,
    task_id: str = TASK_ID,
) -> messages.IssueCredentialsResponse:
    """Returns credentials of a certain life, of which so much is `left` (all of it unless said)."""
    expire_time = datetime.now(UTC) + (lifetime if left is None else left)
    issue_time = expire_time - lifetime
    key_id = f"ASIAREMIT{number:011d}"
    issuance = types_pb2.Issuance(access_key_id=key_id, issue_time=_stamp(issue_time), expire_time=_stamp(expire_time))
    return messages.IssueCredentialsResponse(
        grant=types_pb2.Grant(
            name=GRANT,
            task_id=task_id,
            subject=types_pb2.Subject(issuer="https://issuer.test", id="alice"),
            actor=AGENT,
            state=types_pb2.GRANT_STATE_ISSUED,
            session_policy='{"Version":"2012-10-17","Statement":[]}',
            size=types_pb2.PolicySize(characters=39, packed_percent=4),
            role_arn="arn:aws:iam::123456789012:role/remit-reports",
            entitlements=["analysts-read-reports"],
            issuances=[issuance],
            issue_time=_stamp(issue_time),
            expire_time=_stamp(expire_time),
        ),
        credentials=types_pb2.AwsCredentials(
            access_key_id=key_id,
            secret_access_key=SECRET_KEY,
            session_token=SESSION_TOKEN,
            expire_time=_stamp(expire_time),
            region="eu-central-1",
        ),
    )


def renewed(
    number: int = 2, *, narrowed: bool = False, lifetime: timedelta = timedelta(seconds=900), **more: Any
) -> messages.RenewCredentialsResponse:
    """Returns renewed credentials."""
    answer = issued(number, lifetime=lifetime, **more)
    return messages.RenewCredentialsResponse(grant=answer.grant, credentials=answer.credentials, narrowed=narrowed)


def event(kind: str, **more: Any) -> messages.WatchTaskResponse:
    """Returns an event of a task by the end of its kind's name."""
    number = messages.TaskEventKind.Value(f"TASK_EVENT_KIND_{kind}")
    return messages.WatchTaskResponse(kind=number, time=_stamp(datetime.now(UTC)), **more)


def ended() -> messages.EndTaskResponse:
    """Returns the answer to ending a task."""
    now = datetime.now(UTC)
    until = _stamp(now + timedelta(seconds=900))
    return messages.EndTaskResponse(end_time=_stamp(now), grants=[GRANT], credentials_until=until, denying=True)


def _stamp(time: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp


@contextmanager
def scripted_gateway(folder: Path) -> Iterator[ScriptedGateway]:
    """Serves a scripted gateway on an mTLS and a bearer listener until the block is left."""
    authority = Authority.create(folder / "authority")
    pair = authority.issue_server(["localhost"])
    key_and_chain = [(pair.key_path.read_bytes(), pair.certificate_path.read_bytes())]
    roots = authority.bundle_path.read_bytes()
    server = grpc.server(ThreadPoolExecutor(32))
    gateway = ScriptedGateway(authority)
    add_CredentialServiceServicer_to_server(gateway, server)
    mtls = grpc.ssl_server_credentials(key_and_chain, roots, require_client_auth=True)
    gateway.mtls = f"localhost:{server.add_secure_port('localhost:0', mtls)}"
    gateway.bearer = f"localhost:{server.add_secure_port('localhost:0', grpc.ssl_server_credentials(key_and_chain))}"
    server.start()
    try:
        yield gateway
    finally:
        server.stop(grace=None).wait()
