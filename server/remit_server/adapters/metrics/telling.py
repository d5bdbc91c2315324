"""Tells the figures of all workers as one, in the formats that Prometheus reads."""

import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from remit_server.adapters.metrics import catalogue
from remit_server.adapters.metrics.catalogue import Catalogue
from remit_server.adapters.metrics.cells import Cells
from remit_server.adapters.metrics.families import Across, Family, Kind, Row

_WORKER: Final = "worker"


@dataclass(frozen=True, slots=True)
class Telling:
    """Tells a gateway's figures, whichever of its workers is asked."""

    cells: Cells
    figures: Catalogue

    def __call__(self, accept: str) -> tuple[bytes, str]:
        """Returns the page in the format that is asked for, and its content type. Takes some milliseconds."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Collected(self))
        encode, content_type = _encoder(accept)
        return encode(registry), content_type

    def metrics(self) -> Iterator[Metric]:
        """Yields every figure as it is now."""
        parts = self.cells.parts
        columns = [part.numbers.tolist() for part in parts]
        serving = [number for number, column in enumerate(columns, 1) if self._is_taken(column)]
        for family in self.figures.layout.families:
            yield self._told(family, columns, serving)
        yield self._outages(columns)
        yield _gauge(catalogue.BUILD, [((version("remit"), platform.python_version()), 1)])
        yield _gauge(catalogue.WORKERS, [((), len(serving))])
        texts = [parts[number - 1].text for number in serving]
        yield _gauge(catalogue.REVISION, [((text,), texts.count(text)) for text in dict.fromkeys(texts) if text])

    def _is_taken(self, column: Sequence[float]) -> bool:
        """Says whether a worker has begun to serve in this part."""
        return column[self.figures.layout.place(catalogue.STARTED)] > 0

    def _told(self, family: Family, columns: Sequence[Sequence[float]], serving: Sequence[int]) -> Metric:
        """Returns one figure."""
        rows = self.figures.layout.rows(family)
        if family.across is Across.EACH:
            told = [((*row, str(number)), columns[number - 1][place]) for row, place in rows for number in serving]
            return _plain(family, told, (*family.labels, _WORKER))
        together = sum if family.across is Across.SUM else max
        if family.kind is Kind.HISTOGRAM:
            found = [(row, _sums(columns, place, family.width)) for row, place in rows]
            return _histogram(family, [(row, sums) for row, sums in found if any(sums) or not family.rare])
        told = [(row, together(column[place] for column in columns)) for row, place in rows]
        return _plain(family, [(row, value) for row, value in told if value or not family.rare], tuple(family.labels))

    def _outages(self, columns: Sequence[Sequence[float]]) -> Metric:
        """Returns the calls that met an outage, out of what is counted of calls."""
        met = dict.fromkeys(catalogue.OUTAGES.values(), 0.0)
        for row, place in self.figures.layout.rows(self.figures.calls):
            if (what := _OUT.get(row[-1])) is not None:
                met[what] += sum(column[place] for column in columns)
        return _plain(catalogue.OUTAGES_MET, [((what,), count) for what, count in met.items()], ("what",))


_OUT: Final = {reason.value: what for reason, what in catalogue.OUTAGES.items()}


@dataclass(frozen=True, slots=True, eq=False)
class _Collected(Collector):
    """What the library asks for the figures."""

    telling: Telling

    def collect(self) -> Iterator[Metric]:
        """Yields every figure as it is now."""
        return self.telling.metrics()


def _encoder(accept: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    """Returns what writes the format that is asked for; the plain one where what is asked cannot be read."""
    try:
        return choose_encoder(accept)
    except Exception:  # noqa: BLE001 - the library compares versions of whatever kind they are
        return choose_encoder("")


def _sums(columns: Sequence[Sequence[float]], place: int, width: int) -> list[float]:
    """Returns the numbers of a row, each summed over the workers."""
    return [sum(column[place + offset] for column in columns) for offset in range(width)]


def _plain(family: Family, told: Iterable[tuple[Row, float]], labels: Sequence[str]) -> Metric:
    """Returns a counter or a gauge."""
    kind = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
    metric = kind(family.name.removesuffix("_total"), family.told, labels=labels)
    for row, value in told:
        metric.add_metric(row, value)
    return metric


def _gauge(family: Family, told: Iterable[tuple[Row, float]]) -> Metric:
    """Returns a figure that is made, with its labels."""
    return _plain(family, told, tuple(family.labels))


def _histogram(family: Family, told: Iterable[tuple[Row, list[float]]]) -> Metric:
    """Returns a histogram: each bucket counts what is in those below it, too."""
    metric = HistogramMetricFamily(family.name, family.told, labels=tuple(family.labels))
    ends = [*map(str, family.bounds), "+Inf"]
    for row, (*buckets, total) in told:
        metric.add_metric(row, buckets=list(zip(ends, accumulate(buckets), strict=True)), sum_value=total)
    return metric
