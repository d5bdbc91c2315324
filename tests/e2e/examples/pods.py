"""A pod of a manifest as processes on this machine: each container its own, with no more than the manifest gives it."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE = 90


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod; `folders` are the volumes by their names, `environ` what the machine's own programs need to be found."""

    template: Mapping[str, Any]
    folders: Mapping[str, Path]
    environ: Mapping[str, str]

    def container(self, name: str) -> dict[str, Any]:
        """Returns what the manifest says of a container."""
        found = [*self.template["initContainers"], *self.template["containers"]]
        (one,) = (container for container in found if container["name"] == name)
        return dict(one)

    def told(self, name: str, text: str) -> str:
        """Returns a text of the manifest with the container's mounts at the folders that stand for them."""
        places = {one["mountPath"]: str(self.folders[one["name"]]) for one in self.container(name)["volumeMounts"]}
        mounts = re.compile("|".join(rf"(?<![^ :\"]){re.escape(path)}(?=[/\"]|$)" for path in places))
        return mounts.sub(lambda found: places[found[0]], text)

    def variables(self, name: str) -> dict[str, str]:
        """Returns the container's variables."""
        own = {one["name"]: self.told(name, one["value"]) for one in self.container(name).get("env", [])}
        return {**self.environ, **own}

    def runs(self, name: str, command: list[str], **more: str) -> "subprocess.CompletedProcess[str]":
        """Runs a command in the container, to its end."""
        return subprocess.run(  # noqa: S603 - the example's own command
            [self.told(name, word) for word in command],
            env={**self.variables(name), **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    @contextmanager
    def running(self, name: str, entrypoint: str, **more: str) -> "Iterator[subprocess.Popen[str]]":
        """Runs the container until the end of the block; its image's entry point is given."""
        with subprocess.Popen(  # noqa: S603 - the example's own command
            [entrypoint, *(self.told(name, word) for word in self.container(name)["args"])],
            env={**self.variables(name), **more},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()
