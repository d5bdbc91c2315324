"""`remit credential-process` where no endpoint runs: one task for one call, straight from the gateway."""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from remit.errors import RemitError
from remit.local.connecting import begin, gateway_of
from remit.local.errors import EndpointGone, EndpointRefused
from remit.local.formats import process_json
from remit.local.telling import exit_code, told
from remit.local.wishes import Caller, options_of, wish_of


def direct(values: Mapping[str, Any]) -> int:
    """Begins a task, prints its credentials, and leaves: they work until their own end, and nobody renews them.

    Nothing is cached, here or on disk. The task has no lease, because nobody stays to keep one.
    """
    try:
        caller = Caller.of(os.environ)
        wish = wish_of(options_of(values), caller.settings)
        with gateway_of(caller) as gateway:
            task = begin(gateway, wish, caller, wish.request_id, lease=None)
            credentials = task.credentials()
            task.forget("they were handed out")
    except RemitError as error:
        return failed(error)
    sys.stdout.write(f"{json.dumps(process_json(credentials))}\n")
    return 0


def gone(path: str) -> int:
    """Tells that nobody answers for a task that a program held."""
    return failed(
        EndpointGone(
            f"no process answers at {path}: whatever held this task has ended, and the task with it",
            advice="start that program again and ask it for another task",
        )
    )


def refused(why: str) -> int:
    """Tells that the endpoint's place is not to be trusted."""
    return failed(EndpointRefused(why, advice="find out whose it is; remove it, or name another place in REMIT_SOCKET"))


def failed(error: RemitError) -> int:
    """Tells a failure and returns its exit code."""
    sys.stderr.write(f"{told(error)}\n")
    return int(exit_code(error))
