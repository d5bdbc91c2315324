"""libfaketime, where it is installed: the wall clock of one process, which a test steps while it runs."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import pytest

_DEBIAN = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib")


def find_libfaketime() -> Path:
    """Returns the library; without it the test is skipped, or fails where it must be there."""
    for place in _places():
        if place.is_file():
            return place
    why = "no libfaketime: `apt-get install faketime`, or set REMIT_LIBFAKETIME to its libfaketime.so.1"
    if os.environ.get("REMIT_REQUIRE_REAL") == "1":
        pytest.fail(why)
    pytest.skip(why)


def _places() -> Iterator[Path]:
    if named := os.environ.get("REMIT_LIBFAKETIME"):
        yield Path(named)
    yield from (Path(folder) / "faketime/libfaketime.so.1" for folder in _DEBIAN)
    package = find_spec("libfaketime")
    if package is not None and package.submodule_search_locations:
        yield Path(package.submodule_search_locations[0]) / "vendor/libfaketime/src/libfaketime.so.1"


@dataclass(frozen=True, slots=True)
class SteppedClock:
    """The wall clock of a process that is started with this `environment`."""

    library: Path
    file: Path

    @property
    def environment(self) -> dict[str, str]:
        """What such a process is started with: it looks at the file each time it asks for the time."""
        return {
            "LD_PRELOAD": str(self.library),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def step(self, by: timedelta) -> None:
        """Sets it so far from the machine's own time."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{by.total_seconds():+.0f}")
        new.replace(self.file)  # at once: nobody reads half of it


def stepped_clock(folder: Path) -> SteppedClock:
    """Returns a clock that shows the machine's own time so far."""
    clock = SteppedClock(find_libfaketime(), folder / "wall-clock")
    clock.step(timedelta())
    return clock
