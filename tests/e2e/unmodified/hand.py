"""A shell under `remit run`, and the hand that types into it: one task, and command after command in it."""

import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import mkdtemp

from tests.e2e.machines import BIN, PATIENCE, Machine

REPORTS = ("--profile", "reports")
MOST = 50
_GOT = re.compile(r"remit: task (?P<task_id>\S+) for ")


@dataclass(frozen=True, slots=True)
class Shown:
    """What a command showed, and how it ended."""

    code: int
    stdout: str
    stderr: str

    @classmethod
    def of(cls, done: "subprocess.CompletedProcess[str]") -> "Shown":
        """Returns what a process that has ended showed."""
        return cls(done.returncode, done.stdout, done.stderr)

    @property
    def text(self) -> str:
        """Everything that somebody in front of it sees."""
        return self.stdout + self.stderr

    @property
    def words(self) -> str:
        """What it says on standard error, wherever its lines are broken."""
        return " ".join(self.stderr.split())


@dataclass(frozen=True, slots=True)
class Hand:
    """Types into the shell; `task_id` is the task that its commands run on."""

    process: "subprocess.Popen[str]"
    folder: Path
    task_id: str
    _number: Iterator[int] = field(default_factory=count)

    def runs(self, command: Sequence[str]) -> Shown:
        """Has a command run to its end."""
        return self.waits(self.starts(command))

    def runs_until_it_fails(self, command: Sequence[str]) -> Shown:
        """Has a command run again and again, and returns how it failed."""
        for _ in range(MOST):
            if (shown := self.runs(command)).code:
                return shown
        raise AssertionError("it never failed")

    def starts(self, command: Sequence[str]) -> int:
        """Starts a command beside the shell, and returns a number for `waits`."""
        number = next(self._number)
        out, err = self._files(number)
        self._type(f"{shlex.join(command)} </dev/null >>{out} 2>>{err} & p{number}=$!")
        return number

    def waits(self, number: int) -> Shown:
        """Waits for the end of what was started."""
        self._type(f"wait $p{number}; echo $?")
        assert self.process.stdout is not None
        code = int(self.process.stdout.readline())
        out, err = self._files(number)
        return Shown(code, out.read_text(), err.read_text())

    def shown_by(self, number: int) -> str:
        """Returns what a command that goes on has shown so far."""
        return "".join(file.read_text() for file in self._files(number) if file.exists())

    def leaves(self, command: Sequence[str] = ("true",)) -> int:
        """Puts a last command in the shell's place, and returns the exit code of `remit run`."""
        out, err = self._files(next(self._number))
        self._type(f"exec {shlex.join(command)} >>{out} 2>>{err}")
        return self.process.wait(PATIENCE)

    def _files(self, number: int) -> tuple[Path, Path]:
        return self.folder / f"{number}.out", self.folder / f"{number}.err"

    def _type(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()


@contextmanager
def hand(mine: Machine, *options: str, environ: dict[str, str] | None = None) -> Iterator[Hand]:
    """Starts a shell under `remit run`, and leaves it at the end of the block."""
    folder = Path(mkdtemp(dir=mine.folder))
    with subprocess.Popen(  # noqa: S603 - the test's own command
        [str(BIN / "remit"), "run", *(options or REPORTS), "--", "sh"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**mine.environ, **(environ or {})},
        cwd=mine.folder,
        start_new_session=True,
    ) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            got = _GOT.match(line)
            assert got is not None, line + process.stderr.read()
            shell = Hand(process, folder, got["task_id"])
            yield shell
            if process.poll() is None:
                shell.leaves()
        finally:
            process.kill()
