"""What a figure is: its name, its labels and every value that they may have, and where its numbers stand.

Every combination of label values is known before the first call: nothing that anybody sends can add one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import product
from typing import Final, Self

from remit_server.adapters.metrics.cells import NUMBERS

Row = tuple[str, ...]


class Kind(Enum):
    """How a figure runs."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Across(Enum):
    """How the figures of several workers make one."""

    SUM = "sum"
    MOST = "the largest"
    EACH = "each, by the label worker"


@dataclass(frozen=True, slots=True)
class Family:
    """Figures of one name. `bounds` are the upper ends of a histogram's buckets; a `rare` row is not shown at 0."""

    name: str
    kind: Kind
    told: str
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    rows: tuple[Row, ...] = ()
    bounds: tuple[float, ...] = ()
    across: Across = Across.SUM
    rare: bool = False

    @property
    def all_rows(self) -> tuple[Row, ...]:
        """Every combination of label values there can be: those that are named, or all."""
        return self.rows or tuple(product(*self.labels.values()))

    @property
    def width(self) -> int:
        """How many numbers a row has: a histogram's buckets, the last without end, and its sum."""
        return len(self.bounds) + 2 if self.kind is Kind.HISTOGRAM else 1


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the numbers of each family's rows stand in a worker's part; the same in every worker."""

    families: tuple[Family, ...]
    _places: Mapping[str, Mapping[Row, int]]

    @classmethod
    def of(cls, families: Sequence[Family]) -> Self:
        """Returns the layout; raises ValueError for more figures than there is room for."""
        places: dict[str, dict[Row, int]] = {}
        end = 0
        for family in families:
            rows = family.all_rows
            places[family.name] = {row: end + number * family.width for number, row in enumerate(rows)}
            end += len(rows) * family.width
        if end > NUMBERS:
            raise ValueError(f"{end} figures, and there is room for {NUMBERS}")
        return cls(tuple(families), places)

    def place(self, family: Family, *row: str) -> int:
        """Returns where a row begins; raises KeyError for one that there is not."""
        return self._places[family.name][row]

    def rows(self, family: Family) -> Iterator[tuple[Row, int]]:
        """Yields the rows of a family and where they begin."""
        yield from self._places[family.name].items()

    def own(self) -> Iterator[int]:
        """Yields where the numbers stand that are one process's own, and gone with it."""
        for family in self.families:
            if family.kind is Kind.GAUGE or family.across is Across.EACH:
                yield from self._places[family.name].values()


SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
