"""The calls that commands make on the security side, page after page and stream after stream."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from remit.v1 import audit_service_pb2 as audit
from remit.v1 import grant_service_pb2 as service
from remit.v1 import types_pb2
from remit_server.domain.decision import canonical_json
from remit_server.transport.grpc.operator_client import CallFailed, OperatorClient

__all__ = ["AuditEvent", "Block", "Grant", "Revoked", "Target"]

Grant = types_pb2.Grant
Block = service.Block
AuditEvent = audit.AuditEvent
Target = service.RevokeTarget
Revoked = service.RevokeGrantsResponse
M = TypeVar("M", bound=Message)
PAGE: Final = 200
PAUSE: Final = 1.0  # seconds between two streams
MOST_PAUSES: Final = 60
VERIFY_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Aim:
    """What is to be revoked: exactly one of a grant's name, a task, a subject (issuer and id), an actor, a revision."""

    grant: str = ""
    task_id: str = ""
    subject: tuple[str, str] | None = None
    actor: str = ""
    policy_revision: str = ""

    def message(self) -> service.RevokeTarget:
        """Returns it as the API writes it; raises ValueError unless it is exactly one."""
        given = [self.grant, self.task_id, self.subject, self.actor, self.policy_revision]
        if sum(bool(one) for one in given) != 1:
            raise ValueError("Name exactly one: a grant, --task, --user with --issuer, --actor, or --revision.")
        if self.subject is not None:
            issuer, subject_id = self.subject
            return service.RevokeTarget(subject=types_pb2.Subject(issuer=issuer, id=subject_id))
        if self.grant:
            return service.RevokeTarget(grant=self.grant)
        if self.task_id:
            return service.RevokeTarget(task_id=self.task_id)
        if self.actor:
            return service.RevokeTarget(actor=self.actor)
        return service.RevokeTarget(policy_revision=self.policy_revision)


def list_grants(client: OperatorClient, filter_: str, at_most: int) -> Iterator[types_pb2.Grant]:
    """Yields grants, newest first, at most so many."""
    token = ""
    while at_most > 0:
        request = service.ListGrantsRequest(filter=filter_, page_size=min(PAGE, at_most), page_token=token)
        page = client.call(client.grants.ListGrants, request)
        yield from page.grants
        at_most -= len(page.grants)
        token = page.next_page_token
        if not token:
            return


def get_grant(client: OperatorClient, name: str) -> types_pb2.Grant:
    """Returns one grant."""
    return client.call(client.grants.GetGrant, service.GetGrantRequest(name=name)).grant


def revoke(client: OperatorClient, aim: Aim, *, block: bool, why: str) -> service.RevokeGrantsResponse:
    """Revokes."""
    request = service.RevokeGrantsRequest(target=aim.message(), block=block, why=why)
    return client.call(client.grants.RevokeGrants, request)


def list_blocks(client: OperatorClient, at_most: int) -> Iterator[service.Block]:
    """Yields blocks, newest first, at most so many."""
    token = ""
    while at_most > 0:
        request = service.ListBlocksRequest(page_size=min(PAGE, at_most), page_token=token)
        page = client.call(client.grants.ListBlocks, request)
        yield from page.blocks
        at_most -= len(page.blocks)
        token = page.next_page_token
        if not token:
            return


def remove_block(client: OperatorClient, name: str, why: str) -> Timestamp:
    """Lifts a block and returns when that was."""
    return client.call(client.grants.RemoveBlock, service.RemoveBlockRequest(name=name, why=why)).lift_time


def watch_grants(client: OperatorClient, filter_: str) -> Iterator[types_pb2.Grant]:
    """Yields grants as they change, over as many streams as it takes."""
    request = service.WatchGrantsRequest(filter=filter_)
    for answer in streamed(lambda: client.stream(client.grants.WatchGrants, request)):
        yield answer.grant


def watch_events(client: OperatorClient, from_sequence: int) -> Iterator[audit.AuditEvent]:
    """Yields events as they are written, from a place on and without a gap, over as many streams as it takes."""
    following = from_sequence

    def opened() -> Iterator[audit.WatchEventsResponse]:
        return client.stream(client.audit.WatchEvents, audit.WatchEventsRequest(from_sequence=following))

    for answer in streamed(opened):
        following = answer.event.sequence + 1
        yield answer.event


def streamed(opened: Callable[[], Iterator[M]]) -> Iterator[M]:
    """Yields from stream after stream, as the gateway ends each after a while; raises CallFailed when none goes on."""
    in_vain = 0
    while True:
        try:
            for answer in opened():
                in_vain = 0
                yield answer
        except CallFailed as failed:
            in_vain += 1
            if not failed.is_over or in_vain > MOST_PAUSES:
                raise
        time.sleep(PAUSE)


def as_json(message: Message) -> str:
    """Returns a message as one line of JSON, with the names of its proto."""
    return canonical_json(MessageToDict(message, preserving_proto_field_name=True))


def state_name(grant: types_pb2.Grant) -> str:
    """Returns a grant's state without the prefix that protos give it; one that this version does not know by number."""
    try:
        return types_pb2.GrantState.Name(grant.state).removeprefix("GRANT_STATE_")
    except ValueError:
        return f"state {grant.state}"


def is_refused_by_aws(grant: types_pb2.Grant) -> bool:
    """Says whether it is known that AWS refuses a grant's credentials."""
    over = (types_pb2.GRANT_STATE_REVOKED, types_pb2.GRANT_STATE_EXPIRED)
    return grant.state in over or grant.HasField("revocation_effective_time")


def refused_since(grant: types_pb2.Grant) -> datetime:
    """Returns since when AWS refuses: by a written deny, or by the time guard."""
    if grant.HasField("revocation_effective_time"):
        return grant.revocation_effective_time.ToDatetime(tzinfo=UTC)
    return grant.expire_time.ToDatetime(tzinfo=UTC)


def how_known(grant: types_pb2.Grant) -> str:
    """Returns how it is known that AWS refuses."""
    match grant.revocation_effective:
        case types_pb2.REVOCATION_EFFECTIVE_OBSERVED:
            return "as a session denied with them was seen to be refused"
        case types_pb2.REVOCATION_EFFECTIVE_ASSUMED:
            return "by the time that AWS is said to take"
        case _:
            return "by their time guard"
