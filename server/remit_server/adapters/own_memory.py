"""Keeps this process's memory, in which keys and tokens are, from disks and from its neighbours (8-threats.md G13).

NOTE: a limit of 0 is not enough: dumps that are piped to a program, as on most systems, are not held to it (core(5)).
A process that is not dumpable leaves none at all, and no other one of its user may look into it (prctl(2)).
"""

import ctypes
import resource
import sys
from typing import Final

_PR_SET_DUMPABLE: Final = 4


def keep_memory_private() -> None:
    """Forbids core dumps and other processes' looking in, for this process and those that it forks."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "this process cannot be kept from being dumped")
