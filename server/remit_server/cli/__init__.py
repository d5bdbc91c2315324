"""The command line, one file per command group; each command imports what it needs only when it runs."""

from remit_server.cli.main import app

__all__ = ["app"]
