"""How many connections a process takes under its limit of open files, in processes that have another one."""

import subprocess
import sys

import pytest

ASKED = """
import resource, sys
from remit_server.adapters.own_files import room_for

soft, hard, wanted, listeners = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(room_for(wanted, listeners=listeners), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def room(soft: int, hard: int, wanted: int, listeners: int) -> tuple[list[int], str]:
    """Returns the connections that are taken and the limits afterwards, and what was logged."""
    arguments = map(str, (soft, hard, wanted, listeners))
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", ASKED, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    return [int(word) for word in done.stdout.split()], done.stderr


@pytest.mark.parametrize(
    ("limits", "wanted", "listeners", "found"),
    [
        ((1024, 1024), 300, 2, [300, 1024, 1024]),
        ((512, 1024), 300, 2, [300, 856, 1024]),
        ((512, 1024), 4096, 1, [768, 1024, 1024]),
        ((512, 1024), 4096, 2, [384, 1024, 1024]),
        ((300, 300), 4096, 2, [22, 300, 300]),
        ((64, 64), 4096, 2, [1, 64, 64]),
    ],
)
def test_connections_leave_files_for_the_process_itself(
    limits: tuple[int, int], wanted: int, listeners: int, found: list[int]
) -> None:
    taken, said = room(*limits, wanted, listeners)

    assert taken == found
    assert ("raise it (ulimit -n)" in said) is (taken[0] < wanted)
