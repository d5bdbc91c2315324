"""All commands together: each registers itself when its file is imported, so a new one is a word here."""

from remit.cli import login
from remit.cli.app import app

__all__ = ["app", "login"]
