"""Programs as a person starts them, watched to their very last process."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e import leftovers

BIN = Path(sys.executable).parent
PATIENCE = 90  # seconds, for what should take a few


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended, and the command lines of the processes that it left behind."""

    code: int
    output: str
    left: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Watched:
    """A program that is running; `output` is what it prints, standard error too."""

    process: subprocess.Popen[str]
    report: Path

    def lines_until(self, last: str) -> list[str]:
        """Returns what it prints up to and with this line, or up to its end."""
        lines: list[str] = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            lines.append(line.rstrip("\n"))
            if lines[-1] == last:
                break
        return lines

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> None:
        """Sends the program a signal."""
        self.process.send_signal(number)

    def ended(self, patience: float = PATIENCE) -> Ended:
        """Returns how it ended, once it has; `patience` in seconds."""
        output, _ = self.process.communicate(timeout=patience)
        found = json.loads(self.report.read_text())
        return Ended(found["code"], output, tuple(found["left"]))


@contextmanager
def watched(
    *command: str, folder: Path, environment: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[Watched]:
    """Starts a program under watch, its output no terminal; the report goes into the folder."""
    report = folder / "report.json"
    with subprocess.Popen(  # noqa: S603 - the test's own command
        [sys.executable, leftovers.__file__, str(report), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=plain_environment(environment),
        cwd=cwd,
    ) as process:
        try:
            yield Watched(process, report)
        finally:
            if process.poll() is None:
                process.terminate()


def plain_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns this process's environment without what would make a program's output or its AWS calls special."""
    special = {"FORCE_COLOR", "NO_COLOR", "COLUMNS", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "REMIT_DATABASE"}
    usual = {name: value for name, value in os.environ.items() if name not in special and not name.startswith("AWS_")}
    return {**usual, **(more or {})}
