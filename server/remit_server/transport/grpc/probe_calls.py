"""Calls a gateway as the prober does: as the right agent, as a wrong one, or as nobody."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import grpc

from remit.v1 import credential_service_pb2 as messages
from remit.v1 import types_pb2
from remit.v1.credential_service_pb2_grpc import CredentialServiceStub
from remit_server.application.probing.probe_gateway import (
    Exchange,
    MadeCertificate,
    MadeToken,
    NoProof,
    OwnProof,
    Proof,
)
from remit_server.application.probing.values import (
    LABEL,
    PURPOSE,
    REQUEST_ID_PREFIX,
    Answer,
    Issued,
    NoAnswer,
    PeopleAsked,
    Refused,
    TurnedAway,
)
from remit_server.domain.errors import Reason
from remit_server.domain.secret import Secret
from remit_server.transport.grpc.knocking import NOBODY, Shown, turned_away
from remit_server.transport.grpc.operator_client import CallFailed, failure_of
from remit_server.transport.grpc.own_files import OwnCertificate, channel_credentials, way_of

_OPTIONS: Final = (
    # NOTE: else channels might share a connection, and the wrong agent's call go by the right one's.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.service_config_disable_resolution", 1),
)
_NOT_REACHED: Final = "UNAVAILABLE"
# What to do where the right identity is not taken.
_OWN: Final[dict[str, str]] = {
    Reason.ACTOR_REJECTED: "check --certificate and --key, or --bearer, and that --gateway is the port for it: "
    "certificates have one port, bearer tokens another",
    Reason.SUBJECT_TOKEN_REJECTED: "check what --subject-token gives",
    Reason.TOKEN_NOT_BOUND: "have --subject-token give a token of this agent's own client (client_ids)",
}


@dataclass(frozen=True, slots=True)
class ProbeCalls:
    """Calls one gateway; `agent` is the right agent's certificate or what gives its token."""

    target: str
    ca_file: Path | None
    agent: OwnCertificate | Callable[[], Secret]
    timeout: float

    def check(self) -> None:
        """Reads the files that the options name, as every round does; raises ValueError that names option and file."""
        channel_credentials(self.ca_file, self._pair)

    @property
    def _pair(self) -> OwnCertificate | None:
        """The right agent's certificate, where it has one."""
        return self.agent if isinstance(self.agent, OwnCertificate) else None

    def recognised(self, subject_token: Secret) -> str:
        """Returns an empty text when the gateway takes the right agent and token, else why it does not."""
        request = messages.GetCallerIdentityRequest(subject_token=subject_token.reveal())
        try:
            with self._stub(OwnProof()) as (stub, metadata):
                self._call(stub.GetCallerIdentity, request, metadata, OwnProof())
        except CallFailed as failed:
            todo = failed.remedy if failed.reason == _NOT_REACHED else _OWN.get(failed.reason)
            return f"{failed}; what to do: {todo}" if todo else str(failed)
        return ""

    def ask(self, exchange: Exchange) -> Answer:
        """Asks for credentials; ends what is issued before it returns, and keeps nothing of it."""
        try:
            with self._stub(exchange.proof) as (stub, metadata):
                answer = self._call(stub.IssueCredentials, _request(exchange), metadata, exchange.proof)
        except CallFailed as failed:
            if failed.is_no:
                return Refused(failed.reason, failed.message)
            return self._turned_away(exchange.proof, failed)
        given, task_id = answer.HasField("credentials"), answer.grant.task_id
        del answer  # NOTE: it holds keys
        is_ended = self._ended(task_id, exchange.proof)
        return Issued(task_id, is_ended) if given else PeopleAsked(task_id, is_ended)

    def _ended(self, task_id: str, proof: Proof) -> bool:
        """Ends a task that should not be, as whoever the gateway takes for its agent; says whether that was done."""
        for by in (proof, OwnProof()):
            try:
                with self._stub(by) as (stub, metadata):
                    self._call(stub.EndTask, messages.EndTaskRequest(task_id=task_id), metadata, by)
            except CallFailed:
                continue
            return True
        return False

    def _turned_away(self, proof: Proof, failed: CallFailed) -> Answer:
        """Says whether no answer was TLS's no to a certificate: gRPC tells that as it tells an outage."""
        if failed.reason == _NOT_REACHED and isinstance(proof, NoProof | MadeCertificate):
            shown = Shown(proof.certificate, proof.key) if isinstance(proof, MadeCertificate) else NOBODY
            told = turned_away(self.target, self.ca_file, shown, self._own(), self.timeout)
            if told:
                return TurnedAway(told)
        return NoAnswer(str(failed))

    def _own(self) -> Shown:
        """Returns what the right agent shows in the handshake."""
        if not isinstance(self.agent, OwnCertificate):
            return NOBODY
        return Shown(self.agent.certificate_file.read_bytes(), Secret(self.agent.key_file.read_text()))

    def _call(self, method: Any, request: Any, metadata: Any, proof: Proof) -> Any:
        """Returns the answer; raises CallFailed."""
        try:
            return method(request, metadata=metadata, timeout=self.timeout)
        except grpc.RpcError as error:
            way = way_of(self.target, self.ca_file, self._pair if isinstance(proof, OwnProof) else None)
            shows = "a made-up certificate" if isinstance(proof, MadeCertificate) else way.shows
            raise failure_of(error, replace(way, shows=shows)) from None

    @contextmanager
    def _stub(self, proof: Proof) -> Iterator[tuple[CredentialServiceStub, tuple[tuple[str, str], ...]]]:
        """Gives a connection of its own for this proof, and what goes with each call on it."""
        roots = self.ca_file.read_bytes() if self.ca_file else None
        key, certificate, bearer = self._shown(proof)
        credentials = grpc.ssl_channel_credentials(roots, key, certificate)
        metadata = () if bearer is None else (("authorization", f"Bearer {bearer.reveal()}"),)
        with grpc.secure_channel(self.target, credentials, options=_OPTIONS) as channel:
            yield CredentialServiceStub(channel), metadata

    def _shown(self, proof: Proof) -> tuple[bytes | None, bytes | None, Secret | None]:
        """Returns key, certificate and bearer token."""
        match proof:
            case MadeCertificate():
                return proof.key.reveal().encode(), proof.certificate, None
            case MadeToken():
                return None, None, proof.token
            case NoProof():
                return None, None, None
            case OwnProof():
                if isinstance(self.agent, OwnCertificate):
                    return self.agent.key_file.read_bytes(), self.agent.certificate_file.read_bytes(), None
                return None, None, self.agent()


def probe_request_id() -> str:
    """Returns a request id by which every record of the prober's is known (RFC 9562, version 8)."""
    digits = secrets.token_hex(10)
    variant = f"{8 + secrets.randbelow(4):x}"
    return f"{REQUEST_ID_PREFIX}{digits[:3]}-{variant}{digits[3:6]}-{digits[6:18]}"


def _request(exchange: Exchange) -> messages.IssueCredentialsRequest:
    """Returns the request; its purpose and label say in every record that this was the prober."""
    action, resource = exchange.intent
    intent = types_pb2.TaskIntent(
        purpose=PURPOSE.format(check=exchange.check.name),
        permissions=[types_pb2.Permission(actions=[action], resources=[resource])],
        labels={LABEL: exchange.check.name},
    )
    return messages.IssueCredentialsRequest(
        request_id=exchange.request_id, subject_token=exchange.subject_token.reveal(), intent=intent
    )
