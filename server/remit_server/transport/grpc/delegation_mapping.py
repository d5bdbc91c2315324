"""What hands a task on, from messages to domain values and back."""

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from remit.v1 import credential_service_pb2 as service
from remit_server.application.delegating.delegate_task import DelegateRequest
from remit_server.domain.errors import FieldViolation, InvalidRequest
from remit_server.domain.identity import Admitted
from remit_server.domain.task import Task, TaskId
from remit_server.transport.grpc.mapping import MAX_DURATION


def delegate_request(message: service.DelegateTaskRequest, by: Admitted) -> DelegateRequest:
    """Reads a wish to hand a task on; raises InvalidRequest naming field and rule."""
    for name, value in (("purpose", message.purpose), ("actor", message.actor)):
        if not value.isprintable():
            raise InvalidRequest([FieldViolation(name, "must not hold control characters")])
    return DelegateRequest(
        by=by,
        request_id=message.request_id.lower(),
        task_id=TaskId(message.task_id),
        agent=message.actor,
        purpose=message.purpose,
        max_duration=_duration(message.max_duration) if message.HasField("max_duration") else None,
    )


def _duration(message: Duration) -> timedelta:
    """Reads how long a task may last, which is whole seconds of at most a week."""
    longest = int(MAX_DURATION.total_seconds())
    if message.nanos or not 0 < message.seconds <= longest:
        raise InvalidRequest([FieldViolation("max_duration", f"must be whole seconds between 15 and {longest}")])
    return timedelta(seconds=message.seconds)


def delegate_response(task: Task) -> service.DelegateTaskResponse:
    """Writes the task that was opened."""
    response = service.DelegateTaskResponse(task_id=task.task_id, depth=task.depth)
    response.end_time.FromDatetime(task.end_time)
    return response
