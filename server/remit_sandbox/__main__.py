"""The entry point of `remit-sandbox`."""

import os
import signal
import sys

_INTERRUPTED = 130


def main() -> None:
    """Runs the command line; says what to install where only the client is."""
    waits = signal.getsignal(signal.SIGINT)
    if waits is signal.default_int_handler:
        # What is loaded takes a second or two, and nothing is running yet: a Ctrl-C ends it without a traceback.
        signal.signal(signal.SIGINT, lambda *_: os._exit(_INTERRUPTED))
    try:
        from remit_sandbox.commands import app  # noqa: PLC0415 - the client alone does not bring what this needs
    except ModuleNotFoundError as error:
        sys.exit(f"the sandbox is not installed here ({error.name} is missing): pip install 'remit[sandbox]'")
    signal.signal(signal.SIGINT, waits)
    app()


if __name__ == "__main__":
    main()
