"""`remit-server policy`: one file per command; importing this package puts them into the group."""

from remit_server.cli.policy import (
    activate,
    build,
    check,
    diff,
    download,
    listing,
    mutate,
    publish,
    replay,
    schemas,
    shadow,
    show,
    sign,
    simulate,
    stamp,
    test,
)
from remit_server.cli.policy.app import app

__all__ = [
    "activate",
    "app",
    "build",
    "check",
    "diff",
    "download",
    "listing",
    "mutate",
    "publish",
    "replay",
    "schemas",
    "shadow",
    "show",
    "sign",
    "simulate",
    "stamp",
    "test",
]
