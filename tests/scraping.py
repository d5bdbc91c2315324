"""A scraper of ours: asks a gateway for its figures and reads them with Prometheus' own library."""

import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True, slots=True)
class Scrape:
    """One page of figures: `values` by name and labels, `kinds` by the name of the family."""

    text: str
    values: Mapping[tuple[str, frozenset[tuple[str, str]]], float]
    kinds: Mapping[str, str]

    @classmethod
    def of(cls, text: str) -> Self:
        """Reads a page."""
        families = list(text_string_to_metric_families(text))
        samples = [sample for family in families for sample in family.samples]
        values = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
        assert len(values) == len(samples), "a figure twice"
        return cls(text, values, {family.name: family.type for family in families})

    @property
    def series(self) -> frozenset[tuple[str, frozenset[tuple[str, str]]]]:
        """Every figure with its labels, without its value."""
        return frozenset(self.values)

    def __call__(self, name: str, **labels: str) -> float:
        """Returns the sum of a figure over all that have these labels."""
        wanted = set(labels.items())
        return sum(value for (found, having), value in self.values.items() if found == name and wanted <= having)


def scraped(address: str, *, headers: Mapping[str, str] | None = None) -> Scrape:
    """Asks for the figures at an address of this machine; raises OSError."""
    request = urllib.request.Request(f"http://{address}/metrics", headers=dict(headers or {}))
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own
        return Scrape.of(answer.read().decode())
