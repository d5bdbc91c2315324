"""Remit as a broker under attack: the gateway as it is shipped, in a process of its own, called by gRPC."""

import json
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from tests.attack.black_box.broker import (
    Agent,
    Ask,
    Given,
    OnTheWire,
    Outcome,
    Record,
    Refused,
    Said,
    Scene,
    Why,
)
from tests.attack.black_box.remit_configuration import configured, named
from tests.e2e.watched import plain_environment

from remit.v1 import credential_service_pb2 as messages
from remit.v1.credential_service_pb2_grpc import CredentialServiceStub
from remit.v1.grant_service_pb2 import RevokeGrantsRequest, RevokeTarget
from remit.v1.grant_service_pb2_grpc import GrantServiceStub
from remit.v1.policy_service_pb2_grpc import PolicyServiceStub
from remit.v1.types_pb2 import Capability, Permission, TaskIntent
from remit_sandbox import tethered
from remit_server.adapters.database.trail.audit_log import events

SECONDS = 60.0
_SERVING = re.compile(r'"serving on (?P<bearer>[0-9.:]+) under')
_WHY = {
    "INVALID_REQUEST": Why.MALFORMED,
    "POLICY_DENIED": Why.BEYOND,
    "CEILING_EXCEEDED": Why.BEYOND,
    "NEVER_ISSUABLE": Why.BEYOND,
    "INTENT_SPANS_ROLES": Why.BEYOND,
    "DELEGATION_TOO_DEEP": Why.BEYOND,
    "INTENT_TOO_LARGE": Why.TOO_LARGE,
    "SUBJECT_TOKEN_REJECTED": Why.NOT_KNOWN,
    "ACTOR_REJECTED": Why.NOT_KNOWN,
    "TOKEN_NOT_BOUND": Why.NOT_BOUND,
    "TOKEN_REPLAYED": Why.REPLAYED,
    "NOT_FOUND": Why.NOT_THERE,
    "GRANT_NOT_LIVE": Why.OVER,
    "RATE_LIMITED": Why.BUSY,
    "OVERLOADED": Why.BUSY,
}


@dataclass(frozen=True, slots=True)
class RemitBroker:
    """A gateway that serves (implements `Broker`)."""

    address: str
    process: int
    database: Path
    scene: Scene
    stub: CredentialServiceStub
    grants: GrantServiceStub
    policies: PolicyServiceStub

    def exchange(self, agent: Agent, subject_token: str, ask: Ask) -> Outcome:
        """Issues credentials."""
        return self._called(self.stub.IssueCredentials, _issue_request(subject_token, ask), agent)

    def on_the_wire(self, agent: Agent, subject_token: str, ask: Ask) -> OnTheWire:
        """Returns the call of IssueCredentials."""
        message = _issue_request(subject_token, ask).SerializeToString()
        return OnTheWire("/remit.v1.CredentialService/IssueCredentials", self._metadata(agent), message)

    def preview(self, agent: Agent, subject_token: str, ask: Ask) -> Outcome:
        """Previews credentials; what would be refused is a refusal."""
        request = messages.PreviewCredentialsRequest(
            subject_token=subject_token,
            task_id=ask.task,
            intent=_intent(ask),
            requested_duration=_duration(ask.seconds),
            narrow=ask.narrow,
        )
        return self._called(self.stub.PreviewCredentials, request, agent)

    def renew(self, agent: Agent, subject_token: str, grant: str, seconds: int = 0) -> Outcome:
        """Renews a grant's credentials."""
        request = messages.RenewCredentialsRequest(
            name=grant, subject_token=subject_token, requested_duration=_duration(seconds)
        )
        return self._called(self.stub.RenewCredentials, request, agent)

    def part(self, agent: Agent, grant: str, ask: Ask) -> Outcome:
        """Attenuates a grant."""
        request = messages.AttenuateCredentialsRequest(
            request_id=ask.request_id or str(uuid.uuid4()),
            name=grant,
            intent=_intent(ask),
            requested_duration=_duration(ask.seconds),
            narrow=ask.narrow,
        )
        return self._called(self.stub.AttenuateCredentials, request, agent)

    def hand_on(self, agent: Agent, task: str, to: Agent) -> Outcome:
        """Delegates a task."""
        request = messages.DelegateTaskRequest(
            request_id=str(uuid.uuid4()), task_id=task, actor=named(to), purpose="read the reports"
        )
        return self._called(self.stub.DelegateTask, request, agent)

    def end(self, agent: Agent, task: str) -> Outcome:
        """Ends a task."""
        return self._called(self.stub.EndTask, messages.EndTaskRequest(task_id=task), agent)

    def decision(self, agent: Agent, request_id: str) -> Outcome:
        """Recalls a decision."""
        return self._called(self.stub.GetDecision, messages.GetDecisionRequest(request_id=request_id), agent)

    def revoke(self, task: str) -> None:
        """Revokes a task as bob of security."""
        metadata = (("authorization", f"Bearer {self.scene.of_operator('bob')}"),)
        request = RevokeGrantsRequest(target=RevokeTarget(task_id=task), why="a drill")
        self.grants.RevokeGrants(request, metadata=metadata, timeout=SECONDS)

    def audit(self) -> Sequence[Record]:
        """Reads the ledger."""
        return [_record(event.kind, event.body_text) for event in events(self.database)]

    def _called(self, method: Callable[..., Any], request: Message, agent: Agent) -> Outcome:
        try:
            return _outcome(method(request, metadata=self._metadata(agent), timeout=SECONDS))
        except grpc.RpcError as error:
            return _refusal(error)

    def _metadata(self, agent: Agent) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.scene.of_agent(agent)}"),)


def _issue_request(subject_token: str, ask: Ask) -> messages.IssueCredentialsRequest:
    return messages.IssueCredentialsRequest(
        request_id=ask.request_id or str(uuid.uuid4()),
        subject_token=subject_token,
        task_id=ask.task,
        intent=_intent(ask),
        requested_duration=_duration(ask.seconds),
        narrow=ask.narrow,
    )


def _duration(seconds: int) -> Duration | None:
    return Duration(seconds=seconds) if seconds else None


def _intent(ask: Ask) -> TaskIntent:
    return TaskIntent(
        purpose=ask.purpose,
        permissions=[Permission(actions=actions, resources=resources) for actions, resources in ask.permissions],
        capabilities=[Capability(name=name, parameters=dict(values)) for name, values in ask.capabilities],
        labels=dict(ask.labels),
    )


def _outcome(answer: Any) -> Outcome:
    """Returns an answer as the port has it; whatever it holds beside a secret is told."""
    match answer:
        case messages.PreviewCredentialsResponse() if answer.HasField("would_refuse"):
            return Refused(_why(answer.would_refuse.reason), str(answer.would_refuse))
        case messages.GetDecisionResponse() if answer.HasField("refusal"):
            return Refused(_why(answer.refusal.reason), str(answer.refusal))
        case messages.IssueCredentialsResponse() if not answer.HasField("credentials"):
            return Said(str(answer.approval))
        case _ if hasattr(answer, "credentials"):
            grant = answer.grant
            return Given(grant.task_id, grant.name, answer.credentials.access_key_id, grant.session_policy)
        case _:
            return Said(str(answer), getattr(answer, "task_id", ""))


def _record(kind: str, text: str) -> Record:
    if kind != "grant_authorized":
        return Record(kind, text)
    body = json.loads(text)
    account, who = body["role_arn"].split(":")[4], body["who"]
    return Record(kind, text, given=True, account=account, user=who["subject_id"], issuer=who["subject_issuer"])


def _refusal(error: Any) -> Refused:
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    status, info = Status.FromString(details), ErrorInfo()
    for detail in status.details:
        detail.Unpack(info)
    told = f"{info.reason or error.code().name}: {status.message} {[each.value for each in status.details]}"
    return Refused(_why(info.reason), told)


def _why(reason: str) -> Why:
    return _WHY.get(reason, Why.OTHER)


@contextmanager
def remit_broker(scene: Scene) -> Iterator[RemitBroker]:
    """Runs a gateway that is set up for the world."""
    folder = scene.folder / "gateway"
    folder.mkdir(mode=0o700)
    config = configured(scene, folder)
    with subprocess.Popen(  # noqa: S603 - the gateway itself
        [sys.executable, tethered.__file__, "remit_server", "serve", "--config", str(config)],
        stdin=subprocess.PIPE,  # its tether: it ends when this test run does
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=plain_environment(),
    ) as process:
        said = _Listening(process, folder / "gateway.log")
        try:
            address = said.address()
            roots = scene.authority.bundle_path.read_bytes()
            # A pool of its own: channels with equal arguments would share one connection.
            own = (("grpc.use_local_subchannel_pool", 1),)
            with grpc.secure_channel(address, grpc.ssl_channel_credentials(roots), options=own) as channel:
                stubs = CredentialServiceStub(channel), GrantServiceStub(channel), PolicyServiceStub(channel)
                yield RemitBroker(address, process.pid, folder / "remit.sqlite3", scene, *stubs)
        finally:
            process.terminate()
            process.wait(SECONDS)
            said.join()


class _Listening(threading.Thread):
    """Keeps what the gateway says, and hears where it listens."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        super().__init__()
        self._process, self._log, self._found, self._heard = process, log, "", threading.Event()
        self.start()

    def run(self) -> None:
        assert self._process.stderr is not None
        with self._log.open("a") as log:
            for line in self._process.stderr:
                log.write(line)
                log.flush()
                if (found := _SERVING.search(line)) is not None:
                    self._found = found["bearer"]
                    self._heard.set()
        self._heard.set()

    def address(self) -> str:
        """Returns where it listens, or fails with what it said."""
        assert self._heard.wait(SECONDS), "the gateway said nothing"
        assert self._found, self._log.read_text()
        return self._found
