"""Messages of attenuation, of who is calling and of what a request came to, to domain values and back."""

from typing import assert_never

from remit.v1 import credential_service_pb2 as service
from remit.v1 import types_pb2
from remit_server.application.attenuation.attenuations import AttenuateRequest
from remit_server.application.caller.identify_caller import CallerIdentity
from remit_server.application.issuing.handing_out import Issued
from remit_server.domain.errors import Denied
from remit_server.domain.grant import Grant
from remit_server.domain.identity import Admitted
from remit_server.domain.task import GrantId, TaskId
from remit_server.transport.grpc.mapping import (
    credentials_message,
    grant_message,
    previewed_refusal,
    requested_duration,
    task_intent,
)


def attenuate_request(message: service.AttenuateCredentialsRequest, by: Admitted) -> AttenuateRequest:
    """Reads a wish for a part of a grant; raises InvalidRequest naming field and rule."""
    _, task_id, _, grant_id = message.name.split("/")
    return AttenuateRequest(
        by=by,
        request_id=message.request_id.lower(),
        task_id=TaskId(task_id),
        grant_id=GrantId(grant_id),
        intent=task_intent(message.intent),
        requested_duration=requested_duration(message),
        narrow=message.narrow,
    )


def attenuate_response(issued: Issued) -> service.AttenuateCredentialsResponse:
    """Writes what an attenuation gets."""
    credentials = credentials_message(issued.credentials, issued.grant.region)
    return service.AttenuateCredentialsResponse(grant=grant_message(issued.grant), credentials=credentials)


def identity_response(identity: CallerIdentity) -> service.GetCallerIdentityResponse:
    """Writes who is calling, and for whom."""
    message = service.GetCallerIdentityResponse(
        actor=identity.by.actor.actor_id, policy_revision=identity.policy_revision
    )
    message.time.FromDatetime(identity.time)
    if identity.delegation is not None:
        subject = identity.delegation.subject
        message.subject.CopyFrom(types_pb2.Subject(issuer=subject.issuer, id=subject.subject))
        message.groups.extend(subject.groups)
        message.subject_token_expire_time.FromDatetime(identity.delegation.token_expire_time)
    return message


def decision_response(outcome: Grant | Denied) -> service.GetDecisionResponse:
    """Writes what a request came to."""
    match outcome:
        case Grant():
            return service.GetDecisionResponse(grant=grant_message(outcome))
        case Denied():
            return service.GetDecisionResponse(refusal=previewed_refusal(outcome))
        case _:
            assert_never(outcome)
