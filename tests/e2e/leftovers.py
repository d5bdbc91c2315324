"""Runs a command to its end and reports its exit code and every process it left behind.

Usage: `python leftovers.py REPORT COMMAND...`. Whatever the command started and abandoned, in whichever session or
process group, becomes a child of this process (prctl(2), PR_SET_CHILD_SUBREAPER): nothing is looked for by its name.
SIGINT and SIGTERM are handed to the command alone, as a terminal's Ctrl-C reaches a program whose children have
sessions of their own.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


def left_behind() -> dict[int, str]:
    """Returns this process's living children: process id and command line."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended meanwhile
            continue
        if int(parent) == os.getpid() and state != "Z":
            found[int(entry.name)] = line.strip()
    return found


def main() -> None:
    """Runs the command, reports, and ends what was left behind."""
    report, command = Path(sys.argv[1]), sys.argv[2:]
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "this system has no child subreapers")
    with subprocess.Popen(command) as process:  # noqa: S603 - the test's own command
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda got, _frame: process.send_signal(got))
        code = process.wait()
    left = left_behind()
    report.write_text(json.dumps({"code": code, "left": list(left.values())}))
    for process_id in left:
        os.kill(process_id, signal.SIGKILL)


if __name__ == "__main__":
    main()
