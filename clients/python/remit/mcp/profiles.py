"""AWS profiles for tasks that are held: names and a command to ask, so that no key is ever written anywhere."""

import os
import secrets
import shlex
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from remit.local.sharing.answers import Answers
from remit.local.sharing.place import check_folder

NEWEST: Final = "newest"
STANDING_PROFILE: Final = "remit"


@dataclass(slots=True)
class Profiles:
    """The file of AWS profiles beside `socket`: one for each task, and `remit` for the one that was granted last.

    Tools find it by AWS_CONFIG_FILE. Each profile names the command that asks this process at its socket. Where
    `is_shared` by several users there is no profile `remit`: it would be whoever's came last.
    """

    socket: Path
    is_shared: bool = False
    _regions: dict[str, str | None] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def file(self) -> Path:
        """The file."""
        return self.socket.with_suffix(".aws")

    def name(self, handle: str) -> str:
        """Returns the name of a task's profile."""
        return f"{STANDING_PROFILE}-{handle}"

    def environment(self, handle: str) -> dict[str, str]:
        """Returns the variables with which any AWS tool uses a task."""
        return {"AWS_PROFILE": self.name(handle), "AWS_CONFIG_FILE": str(self.file)}

    def add(self, handle: str, region: str | None) -> None:
        """Writes the profile of a task; raises OSError."""
        with self._lock:
            self._regions.pop(handle, None)
            self._regions[handle] = region
            self._write()

    def drop(self, handle: str) -> None:
        """Takes the profile of a task away."""
        with self._lock:
            if self._regions.pop(handle, self) is not self:
                self._write()

    def newest(self) -> str | None:
        """Returns the handle of the task that was granted last and is not over; None where it may be another user's."""
        with self._lock:
            return None if self.is_shared else next(reversed(self._regions), None)

    def close(self) -> None:
        """Takes the file away."""
        with suppress(OSError):
            self.file.unlink()

    def _write(self) -> None:
        """Writes the whole file anew, in one step."""
        lines = [f"# Written by remit-mcp (process {os.getpid()}), which takes it away when it ends. It holds no keys."]
        if not self.is_shared:
            newest = next(reversed(self._regions), None)
            lines += self._section(STANDING_PROFILE, NEWEST, self._regions.get(newest) if newest else None)
        for handle, region in self._regions.items():
            lines += self._section(self.name(handle), handle, region)
        check_folder(str(self.file.parent))
        new = self.file.with_name(f".{self.file.name}.{secrets.token_hex(4)}")
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:  # noqa: PTH123 - a mode belongs to it
            opened.write("\n".join(lines) + "\n")
        new.replace(self.file)

    def _section(self, name: str, handle: str, region: str | None) -> list[str]:
        command = [*remit_command(), "credential-process", "--socket", str(self.socket), "--handle", handle]
        told = [f"[profile {name}]", f"credential_process = {shlex.join(command)}"]
        return [*told, f"region = {region}", ""] if region else [*told, ""]


@dataclass(frozen=True, slots=True)
class NewestToo:
    """Answers at the socket as `Answers` does, and knows the task that was granted last by a name that stays."""

    answers: Answers
    profiles: Profiles

    def __call__(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns the answer; raises RemitError."""
        if request.get("handle") == NEWEST:
            request = {**request, "handle": self.profiles.newest() or "none"}
        return self.answers(request)


def remit_command() -> list[str]:
    """Returns how to run `remit` in this very environment.

    NOTE: without -P, Python would take modules from the folder that an AWS tool happens to be in, such as an agent's.
    """
    script = Path(sys.executable).with_name("remit")
    return [str(script)] if script.is_file() else [sys.executable, "-P", "-m", "remit.cli"]
