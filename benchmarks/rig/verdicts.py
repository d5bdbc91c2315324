"""What a run is held to: each ratio or figure beside its aim, and whether it was reached."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.rig.accounting import Run, percentile


@dataclass(frozen=True, slots=True)
class Aim:
    """A bound on a figure; `at_least` turns it round. The median decides, and the worst is told beside it."""

    name: str
    bound: float
    unit: str = ""
    at_least: bool = False

    def reached(self, value: float) -> bool:
        """Says whether a value is within the bound; what is not a number is not."""
        return value >= self.bound if self.at_least else value <= self.bound


@dataclass(frozen=True, slots=True)
class Verdict:
    """The values that were seen of a figure, one for each window or pair of runs."""

    aim: Aim
    values: tuple[float, ...]

    @property
    def best(self) -> float:
        """The best of the values."""
        return (max if self.aim.at_least else min)(self.values, default=math.nan)

    @property
    def median(self) -> float:
        """The value in the middle."""
        return statistics.median(self.values) if self.values else math.nan

    @property
    def worst(self) -> float:
        """The worst of the values."""
        return (min if self.aim.at_least else max)(self.values, default=math.nan)

    def row(self) -> str:
        """Returns the line of the table."""
        aim = f"at {'least' if self.aim.at_least else 'most'} {self.aim.bound:g}{self.aim.unit}"
        told = "reached" if self.aim.reached(self.median) else "**not reached**"
        if not self.aim.reached(self.median) and self.aim.reached(self.best):
            told += " (but at best)"
        return f"| {self.aim.name} | {aim} | {self.best:.2f} | {self.median:.2f} | {self.worst:.2f} | {told} |"


def of_cpu(run: Run) -> tuple[float, ...]:
    """Returns the milliseconds of CPU of an answer, one for each window."""
    return tuple(run.cpu_per_answer)


def over(values: Sequence[float], *floors: Sequence[float]) -> tuple[float, ...]:
    """Returns least over least, median over median and most over most: of runs that were not measured side by side."""
    if not values or not all(floors):
        return ()
    return tuple(which(values) / sum(which(floor) for floor in floors) for which in (min, statistics.median, max))


def side_by_side(small: Sequence[Run], large: Sequence[Run]) -> tuple[float, ...]:
    """Returns how many times the CPU of its small neighbour each large run took, median by median."""
    pairs = zip(map(of_cpu, small), map(of_cpu, large), strict=True)
    return tuple(statistics.median(those) / statistics.median(these) for these, those in pairs if these and those)


def late(run: Run, percent: float, delay: float) -> tuple[float, ...]:
    """Returns that percentile of the time less the delay of STS, in milliseconds: of each eighth of a run."""
    count = len(run.windows)
    size = max(1, len(run.latencies) // count)
    parts = [run.latencies[first : first + size] for first in range(0, size * count, size)]
    return tuple((percentile(part, percent) - delay) * 1000 for part in parts if part)
