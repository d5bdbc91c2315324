"""The survivors that are accounted for, each with its reason, and some mutants with the test that notices them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.mutation.operators import Mutant

SURVIVORS: Final = Path(__file__).parent / "survivors.md"
NOTICED: Final = Path(__file__).parent / "noticed.md"
PACKAGE: Final = "remit_server.iam."


@dataclass(frozen=True, slots=True)
class Entry:
    """Names a mutant as `name_of` does, under the heading that says why nothing notices it, or what does."""

    name: str
    heading: str


def name_of(mutant: Mutant) -> str:
    """Names a mutant by module, function and change: it holds while lines move, and goes stale with the statement."""
    again = f" ({mutant.number})" if mutant.number > 1 else ""
    return f"{mutant.module.removeprefix(PACKAGE)} {mutant.function or '(at import)'}: {mutant.change}{again}"


def entries(file: Path) -> list[Entry]:
    """Reads the entries of a page: lists below second-level headings."""
    return list(_entries(file.read_text(encoding="utf-8")))


def _entries(text: str) -> Iterator[Entry]:
    heading = ""
    for line in text.splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        elif line.startswith("- `") and line.endswith("`"):
            yield Entry(line[3:-1], heading)
