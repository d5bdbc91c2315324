"""The entry point of `remit-mcp`."""

import argparse
import logging
import signal
import ssl
import sys
from types import FrameType
from typing import NoReturn


def main() -> int:
    """Serves MCP until its client goes or it is stopped, then ends every task that it held; returns the exit code."""
    arguments = _arguments()
    # Standard output is the protocol's: everything else goes to standard error, and no library's debugging at all.
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="remit-mcp: %(message)s")
    signal.signal(signal.SIGTERM, _stopped)
    from remit.errors import RemitError  # noqa: PLC0415 - all this takes a while, and --help need not wait for it

    try:
        from remit.local.telling import exit_code, told  # noqa: PLC0415
        from remit.mcp.running import run  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "remit":
            raise
        sys.stderr.write(f"remit-mcp needs {error.name}: pip install 'remit[mcp]'\n")
        return 1
    try:
        run(name=arguments.name, http=arguments.http)
    except (KeyboardInterrupt, SystemExit):
        return 0
    except (RemitError, ssl.SSLError) as error:
        sys.stderr.write(f"{told(error)}\n")
        return int(exit_code(error))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="remit-mcp",
        description="An MCP server that gives copilots AWS access for a task, as a profile and never as keys.",
        epilog="Settings are those of `remit` (client.toml, REMIT_*): see docs/mcp.md.",
    )
    parser.add_argument("--http", action="store_true", help="serve streamable HTTP as [mcp] says, instead of pipes")
    parser.add_argument(
        "--name", default="default", help="names the socket and the file of profiles, where several run (default)"
    )
    return parser.parse_args()


def _stopped(number: int, frame: FrameType | None) -> NoReturn:
    """Lets every block be left that is open."""
    del number, frame
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
