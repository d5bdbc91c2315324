"""What is measured: the CPU time of whole process trees, the machine's own pace, and what one durable write costs."""

import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Window:
    """What happened in about one second: answers, failures, CPU seconds of the measured processes, wall seconds."""

    answers: int
    failures: int
    cpu: float
    wall: float


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement: its windows, and how long each call took in seconds from when it was due."""

    windows: tuple[Window, ...]
    latencies: tuple[float, ...]
    failures: tuple[str, ...]
    answer_bytes: int = 0

    def to_json(self) -> str:
        """Returns the run as a line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Run":
        """Returns the run that `to_json` wrote."""
        kept = json.loads(text)
        windows = tuple(Window(**window) for window in kept["windows"])
        return cls(windows, tuple(kept["latencies"]), tuple(kept["failures"]), kept["answer_bytes"])

    @property
    def rates(self) -> list[float]:
        """Answers a second, per window."""
        return [window.answers / window.wall for window in self.windows]

    @property
    def cpu_per_answer(self) -> list[float]:
        """Milliseconds of CPU for each answer, per window that had any."""
        return [window.cpu * 1000 / window.answers for window in self.windows if window.answers]


def percentile(values: tuple[float, ...], percent: float) -> float:
    """Returns the value below which so many percent lie; not a number when there is none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def cpu_seconds(root: int) -> float:
    """Returns the CPU time, user and system, of a process and all its living descendants.

    Source: the kernel's scheduler accounts each thread in nanoseconds, the first field of `schedstat`.
    """
    total = 0
    for pid in _tree(root):
        for task in _entries(Path(f"/proc/{pid}/task")):
            text = _text(task / "schedstat")
            total += int(text.split()[0]) if text else 0
    return total / NANOSECONDS


def resident_bytes(root: int) -> list[int]:
    """Returns the resident memory of a process and each of its living descendants."""
    page = os.sysconf("SC_PAGE_SIZE")
    texts = [_text(Path(f"/proc/{pid}/statm")) for pid in _tree(root)]
    return [int(text.split()[1]) * page for text in texts if text]


def _tree(root: int) -> Iterator[int]:
    """Yields a process id and those of its descendants."""
    yield root
    for task in _entries(Path(f"/proc/{root}/task")):
        for child in _text(task / "children").split():
            yield from _tree(int(child))


def _entries(folder: Path) -> list[Path]:
    """Returns what is in a folder of /proc, nothing when its process is gone."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _text(file: Path) -> str:
    """Returns a file of /proc, empty when its process is gone."""
    try:
        return file.read_text(encoding="ascii")
    except OSError:
        return ""


def calibration() -> float:
    """Returns the milliseconds of CPU that a fixed piece of Python takes, the least of five: the machine's pace."""

    def work() -> None:
        sum(number * number % 7 for number in range(100_000))

    return min(_cpu_of(work) for _ in range(5)) * 1000


def _cpu_of(work: Callable[[], None]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def durable_write(folder: Path, rounds: int = 50) -> tuple[float, float]:
    """Returns the least and the median milliseconds that 4 KiB take to be on disk (write and fdatasync)."""
    times = []
    path = folder / "durable-write"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        for _ in range(rounds):
            start = time.perf_counter()
            os.write(descriptor, b"\0" * 4096)
            os.fdatasync(descriptor)
            times.append((time.perf_counter() - start) * 1000)
    finally:
        os.close(descriptor)
        path.unlink()
    return min(times), statistics.median(times)
