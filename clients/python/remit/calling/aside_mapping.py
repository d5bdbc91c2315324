"""Messages of the calls beside issuing and renewing, to values and back."""

from datetime import timedelta

from remit.calling.ask import Ask
from remit.calling.mapping import grant_of, intent_of, issued, not_understood, refusal_of, time_of
from remit.grant import Decision, Grant, Identity, Issued, Subject
from remit.secret import Secret
from remit.v1 import credential_service_pb2 as service


def attenuate_request(ask: Ask, grant: Grant, *, request_id: str) -> Secret[service.AttenuateCredentialsRequest]:
    """Writes a request for a part of a grant."""
    message = service.AttenuateCredentialsRequest(
        request_id=request_id, name=grant.name, intent=intent_of(ask), narrow=ask.narrow
    )
    if ask.duration is not None:
        message.requested_duration.FromTimedelta(ask.duration)
    return Secret(message)


def delegate_request(
    task_id: str, actor: str, *, purpose: str, max_duration: timedelta | None, request_id: str
) -> Secret[service.DelegateTaskRequest]:
    """Writes a request to hand a task on to another agent."""
    message = service.DelegateTaskRequest(request_id=request_id, task_id=task_id, actor=actor, purpose=purpose)
    if max_duration is not None:
        message.max_duration.FromTimedelta(max_duration)
    return Secret(message)


def attenuated(response: Secret[service.AttenuateCredentialsResponse], request_id: str) -> Issued:
    """Reads a part of a grant; raises GatewayFailure for an answer that is not whole."""
    return issued(response, request_id)


def identity_request(token: Secret[str]) -> Secret[service.GetCallerIdentityRequest]:
    """Writes the question who is calling, and for whom."""
    message = Secret(service.GetCallerIdentityRequest())
    message.reveal().subject_token = token.reveal()
    return message


def identity(response: service.GetCallerIdentityResponse) -> Identity:
    """Reads who is calling."""
    return Identity(
        actor=response.actor,
        subject=Subject(response.subject.issuer, response.subject.id) if response.HasField("subject") else None,
        groups=tuple(response.groups),
        subject_token_expire_time=time_of(response, "subject_token_expire_time"),
        policy_revision=response.policy_revision,
        time=time_of(response, "time"),
    )


def decision(response: service.GetDecisionResponse, request_id: str) -> Decision:
    """Reads what a request came to; raises GatewayFailure for an outcome that this version does not know."""
    match response.WhichOneof("outcome"):
        case "grant":
            return grant_of(response.grant, request_id)
        case "refusal":
            return refusal_of(response.refusal)
        case _:
            raise not_understood("an outcome of an unknown kind", request_id)
