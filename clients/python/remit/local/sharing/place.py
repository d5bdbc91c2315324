"""Where the endpoint's socket is, and whether that place is to be trusted.

NOTE: this module is on the way that tools call again and again: it imports nothing but what an interpreter has loaded.
"""

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class NotTrusted(Exception):  # noqa: N818 - named for what it says
    """The place of a socket, or the process behind it, could be another user's."""


def socket_path(environ: "Mapping[str, str]" = os.environ) -> str:
    """Returns `$REMIT_SOCKET`, else a socket in `$XDG_RUNTIME_DIR/remit` or, where there is none, `~/.cache/remit`."""
    if named := environ.get("REMIT_SOCKET"):
        return os.path.abspath(named)  # noqa: PTH100 - pathlib takes longer to import than all the rest
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if not (os.path.isabs(runtime) and _is_private(runtime)):  # noqa: PTH117
        runtime = environ.get("XDG_CACHE_HOME") or os.path.join(environ.get("HOME", "/nowhere"), ".cache")  # noqa: PTH118
    return os.path.join(runtime, "remit", "endpoint.sock")  # noqa: PTH118


def check_place(path: str) -> None:
    """Raises NotTrusted unless the socket and its folder are this user's own; FileNotFoundError where there is none."""
    check_folder(os.path.dirname(path))  # noqa: PTH120
    found = os.lstat(path)
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.getuid():
        raise NotTrusted(f"{path} is no socket, or is another user's")


def check_folder(folder: str) -> None:
    """Raises NotTrusted unless this is a folder, and no link to one, that only this user may enter."""
    if not _is_private(folder):
        if not os.path.lexists(folder):
            raise FileNotFoundError(folder)
        raise NotTrusted(f"{folder} must be a folder, not a link, of this user and of mode 0700")


def _is_private(folder: str) -> bool:
    """Says whether this is a folder that only this user may enter."""
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
