"""How many connections this process may hold and still open what it needs itself (8-threats.md G6)."""

import logging
import resource
from typing import Final

OWN_FILES: Final = 256
"""What the process needs beside its callers' connections: its database, STS, issuers, policies, logs."""

_log = logging.getLogger(__name__)


def room_for(connections: int, *, listeners: int) -> int:
    """Raises the limit of open files for so many connections per listener; returns how many there is room for.

    The hard limit is the system's word. Where it is too low that is said, and fewer connections are taken.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections * listeners + OWN_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))
    room = max(1, (limit - OWN_FILES) // listeners)
    if room < connections:
        _log.warning(
            "the limit of open files (%d) has room for %d connections per listener, not for %d: raise it (ulimit -n)",
            limit,
            room,
            connections,
        )
    return min(room, connections)
