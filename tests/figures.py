"""Counts that tests report, added up over all tests and workers of a run for its summary."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

Counted = Callable[[str, Mapping[str, int]], None]
"""Reports counts, by name, under a title; those of one title are added up."""
_MARK = "counted: "


@pytest.fixture
def counted(record_property: Callable[[str, object], None]) -> Counted:
    """Takes counts for the summary of the run."""
    return lambda title, counts: record_property(_MARK + title, dict(counts))


def lines(stats: Mapping[str, list[Any]]) -> Iterator[str]:
    """Writes a line for each title, the largest counts first."""
    sums: dict[str, Counter[str]] = {}
    for report in (each for outcome in ("passed", "failed") for each in stats.get(outcome, ())):
        for name, counts in getattr(report, "user_properties", ()):
            if name.startswith(_MARK) and report.when == "call":
                sums.setdefault(name.removeprefix(_MARK), Counter()).update(counts)
    for title, found in sorted(sums.items()):
        yield f"{title}: " + ", ".join(f"{count:,} {name}" for name, count in found.most_common())
