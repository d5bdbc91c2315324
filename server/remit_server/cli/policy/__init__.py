"""`remit-server policy`: one file per command; importing this package puts them into the group."""

from remit_server.cli.policy import build, check, diff, replay, sign, simulate, stamp, test
from remit_server.cli.policy.app import app

__all__ = ["app", "build", "check", "diff", "replay", "sign", "simulate", "stamp", "test"]
