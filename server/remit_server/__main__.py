"""The entry point of `remit-server`."""

import os
import sys


def main() -> None:
    """Runs the command line; says what to install where only the client is."""
    # NOTE: before gRPC is loaded: its core's own lines on standard error are for gRPC's developers.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        from remit_server.cli import app  # noqa: PLC0415 - the client alone does not bring what this needs
    except ModuleNotFoundError as error:
        sys.exit(f"the gateway is not installed here ({error.name} is missing): pip install 'remit[server]'")
    app()


if __name__ == "__main__":
    main()
