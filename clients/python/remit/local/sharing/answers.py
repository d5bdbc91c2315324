"""What a process that holds tasks answers at its socket."""

import os
from collections.abc import Callable, Mapping
from typing import Any

from remit._version import __version__
from remit.errors import FieldViolation, InvalidRequest
from remit.local.broker import Broker, Held
from remit.local.formats import process_json
from remit.local.telling import as_json
from remit.local.wishes import VARIABLES, Caller, options_of, wish_of


class Answers:
    """Answers requests on a broker.

    `takes_wishes` lets programs ask for tasks by profile or options; without it only those that are held already are
    given, by their handle. `stop` is called when a program asks the process to stop.
    """

    def __init__(self, broker: Broker, *, takes_wishes: bool, stop: Callable[[], None] | None = None) -> None:
        self._broker = broker
        self._takes_wishes = takes_wishes
        self._stop = stop

    def __call__(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns the answer; raises RemitError."""
        match request:
            case {"op": "credentials"}:
                return process_json(self._held(request).credentials())
            case {"op": "status"}:
                tasks = [told_of(held, policy=request.get("policies") is True) for held in self._broker.all()]
                return {"version": __version__, "pid": os.getpid(), "tasks": tasks}
            case {"op": "failures"}:
                return {"failures": self._failures()}
            case {"op": "end", "all": True}:
                return {"ended": [self._broker.end(held) for held in self._broker.all()]}
            case {"op": "end"}:
                return {"ended": [self._broker.end(self._held(request))]}
            case {"op": "stop"} if self._stop is not None:
                self._stop()
                return {"pid": os.getpid()}
            case _:
                raise InvalidRequest.of(FieldViolation("op", "is nothing that this process does"))

    def _held(self, request: Mapping[str, Any]) -> Held:
        """Returns what the request names by a handle, or wishes for."""
        match request:
            case {"handle": str(handle)}:
                return self._broker.held(handle)
            case {"wish": dict(values), "environ": dict(environ)} if self._takes_wishes:
                caller = Caller.of(_environment(environ))
                return self._broker.hold(wish_of(options_of(values), caller.settings), caller)
            case _:
                raise InvalidRequest.of(FieldViolation("request", "names no task that this process holds"))

    def _failures(self) -> list[dict[str, Any]]:
        """Returns the last failures as JSON, the newest first."""
        return [
            {
                "time": item.time.isoformat(),
                "handle": item.handle,
                "purpose": item.wish.purpose,
                "request_id": item.error.request_id,
                **as_json(item.error),
            }
            for item in self._broker.failures()
        ]


def told_of(held: Held, *, policy: bool = True) -> dict[str, Any]:
    """Returns what is told of a task as JSON; with what its credentials may do, to be compared with a denial."""
    task = held.task if policy else None
    return held.status().as_json() | ({"session_policy": task.grant.session_policy} if task else {})


def _environment(told: Mapping[str, Any]) -> dict[str, str]:
    """Returns this process's environment with what settings are made of replaced by what the caller's says."""
    usual = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return usual | {name: value for name, value in told.items() if name in VARIABLES and isinstance(value, str)}
