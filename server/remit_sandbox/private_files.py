"""Folders and files that only their owner can read."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from remit_sandbox.errors import SandboxError


def private_folder(path: Path) -> Path:
    """Returns the folder, made with mode 0700 if it was missing; raises SandboxError if others can enter it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.stat()
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        message = f"{path} holds private keys but others can enter it: run `chmod 700 {path}` or name another folder"
        raise SandboxError(message)
    return path


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keeps the folder for this process while the block runs; raises SandboxError when another one has it."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            message = (
                f"a sandbox is running in {folder} already: use that one (its terminal shows how), end it there "
                "with Ctrl-C, or start another beside it: remit-sandbox up --folder OTHER"
            )
            raise SandboxError(message) from None
        yield


def write_private(path: Path, content: bytes) -> Path:
    """Replaces the file by one of mode 0600 with this content, whole or not at all."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    return fresh.replace(path)
