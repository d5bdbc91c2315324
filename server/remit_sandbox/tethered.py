"""Runs a module as `python -m` would, and ends with the process that started it.

Usage: `python tethered.py MODULE [ARGUMENT...]`, with a pipe as standard input that the starter never writes to. When
the starter ends, however it ends, the pipe closes and this process with it; no second process can be left behind. It
runs on the interpreter of another virtual environment, hence on the standard library alone.
"""

import os
import runpy
import signal
import sys
import threading

SECONDS_TO_END = 5.0


def _end_with_starter() -> None:
    while os.read(0, 4096):
        pass
    # NOTE: the timer is set first, so that a module that ignores the signal ends too.
    last_resort = threading.Timer(SECONDS_TO_END, os._exit, [1])
    last_resort.daemon = True
    last_resort.start()
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Runs the module named by the first argument with the others."""
    module = sys.argv[1]
    sys.argv = sys.argv[1:]
    threading.Thread(target=_end_with_starter, daemon=True).start()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
