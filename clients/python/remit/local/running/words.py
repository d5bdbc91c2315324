"""What a task got, in one line for the person who started it."""

import json
from contextlib import suppress

from remit.grant import Grant

LONGEST = 240


def got(grant: Grant) -> str:
    """Returns who may do what, until when; never longer than a few hundred characters."""
    until = grant.expire_time.strftime("%H:%M:%S")
    return (
        f"task {grant.task_id} for {grant.subject.id}: {allowed(grant.session_policy)} (credentials until {until} UTC)"
    )


def allowed(session_policy: str) -> str:
    """Returns a session policy's permissions in words, shortened where they are many."""
    told = session_policy
    with suppress(ValueError, TypeError, KeyError, AttributeError):
        statements = json.loads(session_policy)["Statement"]
        told = "; ".join(
            f"{_listed(one['Action'])} on {_listed(one['Resource'])}" for one in statements if one["Effect"] == "Allow"
        )
    return told if len(told) <= LONGEST else f"{told[:LONGEST]}..."


def _listed(value: str | list[str]) -> str:
    return value if isinstance(value, str) else ", ".join(value)
