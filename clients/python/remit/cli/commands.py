"""All commands together: each registers itself when its file is imported, so a new one is a word here."""

from remit.cli import credential_process, end, endpoint, explain, init, login, run, serve_container, whoami
from remit.cli.app import app

__all__ = [
    "app",
    "credential_process",
    "end",
    "endpoint",
    "explain",
    "init",
    "login",
    "run",
    "serve_container",
    "whoami",
]
