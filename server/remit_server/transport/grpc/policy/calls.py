"""The calls behind `remit-server policy`, each with what it asks for and answers."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration

from remit.v1 import policy_service_pb2 as messages
from remit.v1.policy_service_pb2 import (
    ActivateRevisionResponse,
    CheckRevisionResponse,
    GetRevisionResponse,
    GetShadowResponse,
    PolicyActivation,
    PolicyFinding,
    PolicyRevision,
    PublishRevisionResponse,
    SimulatedApproval,
    SimulateDecisionRequest,
    SimulateDecisionResponse,
)
from remit.v1.types_pb2 import Permission, Refusal, Remedy
from remit_server.transport.grpc.given_intents import intent_message_of
from remit_server.transport.grpc.operator_calls import as_json
from remit_server.transport.grpc.operator_client import OperatorClient

__all__ = [
    "ActivateRevisionResponse",
    "CheckRevisionResponse",
    "GetRevisionResponse",
    "GetShadowResponse",
    "Permission",
    "PolicyActivation",
    "PolicyFinding",
    "PolicyRevision",
    "PublishRevisionResponse",
    "SimulateDecisionRequest",
    "SimulateDecisionResponse",
    "SimulatedApproval",
    "activate",
    "as_json",
    "check",
    "download",
    "get",
    "kind_name",
    "list_revisions",
    "publish",
    "remedy_name",
    "replay",
    "shadow",
    "simulate",
    "simulation",
    "source_name",
    "start_shadow",
    "stop_shadow",
]

CHUNK: Final = 32 * 1024
UPLOAD_TIMEOUT: Final = timedelta(seconds=420)  # a minute to send, five to be checked, and to be kept
ACTIVATE_TIMEOUT: Final = timedelta(seconds=120)  # a large catalogue is loaded first
MAX_ARCHIVE: Final = 64 * 1024 * 1024
_PAGE: Final = 200


def publish(client: OperatorClient, archive: bytes) -> messages.PublishRevisionResponse:
    """Publishes a bundle."""
    pieces = (messages.PublishRevisionRequest(chunk=piece) for piece in _pieces(archive))
    return client.upload(client.policies.PublishRevision, pieces, UPLOAD_TIMEOUT)


def check(client: OperatorClient, archive: bytes) -> messages.CheckRevisionResponse:
    """Has a bundle checked by the gateway that would decide by it."""
    pieces = (messages.CheckRevisionRequest(chunk=piece) for piece in _pieces(archive))
    return client.upload(client.policies.CheckRevision, pieces, UPLOAD_TIMEOUT)


def list_revisions(client: OperatorClient, limit: int) -> Iterator[PolicyRevision]:
    """Yields revisions, newest first, at most so many."""
    token = ""
    while limit > 0:
        request = messages.ListRevisionsRequest(page_size=min(limit, _PAGE), page_token=token)
        page = client.call(client.policies.ListRevisions, request)
        yield from page.revisions
        limit -= len(page.revisions)
        token = page.next_page_token
        if not token:
            return


def get(client: OperatorClient, revision: str) -> messages.GetRevisionResponse:
    """Returns a revision, the active one for no digits, with its activations."""
    return client.call(client.policies.GetRevision, messages.GetRevisionRequest(revision=revision))


def download(client: OperatorClient, revision: str) -> tuple[str, bytes]:
    """Returns the digest and the archive of a revision, the active one for no digits.

    Raises ValueError for more than a bundle may have: a gateway does not fill this machine's memory.
    """
    digest, archive = "", bytearray()
    for answer in client.stream(client.policies.DownloadRevision, messages.DownloadRevisionRequest(revision=revision)):
        digest = digest or answer.revision
        archive += answer.chunk
        if len(archive) > MAX_ARCHIVE:
            raise ValueError(f"the gateway sends over {MAX_ARCHIVE} bytes, which no bundle has")
    return digest, bytes(archive)


def activate(
    client: OperatorClient,
    revision: str,
    why: str,
    *,
    revoke_issued: bool = False,
    expected: str = "",
    rollback: bool = False,
) -> messages.ActivateRevisionResponse:
    """Makes a revision the one that decides; with `rollback` and no digits the one before."""
    request = messages.ActivateRevisionRequest(
        revision=revision, why=why, revoke_issued=revoke_issued, expected_active=expected, rollback=rollback
    )
    return client.call(client.policies.ActivateRevision, request, ACTIVATE_TIMEOUT)


def simulate(client: OperatorClient, request: messages.SimulateDecisionRequest) -> messages.SimulateDecisionResponse:
    """Asks what would be decided."""
    return client.call(client.policies.SimulateDecision, request, ACTIVATE_TIMEOUT)


def simulation(
    *, claims: str, agent: str, intent: Mapping[str, Any], revision: str, narrow: bool, source_ip: str
) -> messages.SimulateDecisionRequest:
    """Returns what is asked of a simulation; `intent` has members of the right names and types."""
    return messages.SimulateDecisionRequest(
        revision=revision,
        claims=claims,
        agent=agent,
        intent=intent_message_of(intent),
        narrow=narrow,
        source_ip=source_ip,
    )


def start_shadow(client: OperatorClient, revision: str) -> str:
    """Puts a candidate into shadow and returns its digest."""
    request = messages.StartShadowRequest(revision=revision)
    return client.call(client.policies.StartShadow, request, ACTIVATE_TIMEOUT).revision


def stop_shadow(client: OperatorClient) -> str:
    """Ends the shadow and returns which revision was in it; empty when none was."""
    return client.call(client.policies.StopShadow, messages.StopShadowRequest()).revision


def shadow(client: OperatorClient, revision: str) -> messages.GetShadowResponse:
    """Returns what was counted of a candidate, the one in shadow for no digits."""
    return client.call(client.policies.GetShadow, messages.GetShadowRequest(revision=revision))


def source_name(revision: PolicyRevision) -> str:
    """Returns how a revision came, in a word; one that this version does not know by number."""
    try:
        return messages.RevisionSource.Name(revision.source).removeprefix("REVISION_SOURCE_").lower()
    except ValueError:
        return f"source {revision.source}"


def remedy_name(refusal: Refusal) -> str:
    """Returns what an agent would be told to do; one that this version does not know by number."""
    try:
        return Remedy.Name(refusal.remedy).removeprefix("REMEDY_")
    except ValueError:
        return f"remedy {refusal.remedy}"


def kind_name(activation: PolicyActivation) -> str:
    """Returns what an activation was, in words; one that this version does not know by number."""
    try:
        name = messages.ActivationKind.Name(activation.kind).removeprefix("ACTIVATION_KIND_")
    except ValueError:
        return f"kind {activation.kind}"
    return name.lower().replace("_", " ")


def _pieces(archive: bytes) -> Iterator[bytes]:
    """Yields an archive in the pieces that it is sent in."""
    for start in range(0, len(archive), CHUNK):
        yield archive[start : start + CHUNK]


def replay(client: OperatorClient, revision: str, since: timedelta, most: int) -> Iterator[tuple[int, int, bytes]]:
    """Yields how many records are dealt with, of how many, and the pieces of the report; raises CallFailed."""
    duration = Duration()
    duration.FromTimedelta(since)
    request = messages.ReplayRevisionRequest(revision=revision, since=duration, most=most)
    for answer in client.stream(client.policies.ReplayRevision, request):
        yield answer.done, answer.total, answer.report_chunk
