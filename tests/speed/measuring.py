"""Counts what the rows of the speed gate cost; `python -m tests.speed.measuring` writes it down (`make speed-budgets`).

Each group is counted in a process of its own, so that nothing is remembered from elsewhere, and with the hashes of
texts fixed: the counts are the same in every run.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import cast

from benchmarks.rig.bytecodes import Counts, counting
from tests.speed.rows import Group, Prepared

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
GROUPS = tuple(sorted(path.stem for path in (HERE / "groups").glob("*.py")))
WARM_UP = 4
_LEAST_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Measured:
    """What the rows of a group cost, by name, and how many times what the small work costs the large one does."""

    rows: dict[str, Counts]
    flat: dict[str, float]


def group_of(name: str) -> Group:
    """Returns the group of a name."""
    return cast("Group", import_module(f"tests.speed.groups.{name}").GROUP)


def measured(group: str) -> Measured:
    """Counts a group in a process of its own."""
    command = [sys.executable, "-m", "tests.speed.measuring", group]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    found = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE)  # noqa: S603 - our own program
    raw = json.loads(found.stdout)
    return Measured({name: Counts(**each) for name, each in raw["rows"].items()}, raw["flat"])


def budgets_of(group: str) -> dict[str, Counts]:
    """Returns the committed counts of a group, by row."""
    path = HERE / "budgets" / f"{group}.json"
    return {name: Counts(**each) for name, each in json.loads(path.read_text()).items()} if path.exists() else {}


def write_budgets(group: str) -> None:
    """Writes what the rows cost now as their budgets, and prints what has changed."""
    found, before = measured(group).rows, budgets_of(group)
    rows = {name: asdict(_without_small_parts(counts)) for name, counts in found.items()}
    (HERE / "budgets" / f"{group}.json").write_text(json.dumps(rows, indent=2) + "\n")
    for name, counts in found.items():
        old = f"{before[name].instructions:,}" if name in before else "none"
        print(f"{group}: {name}: {old} -> {counts.instructions:,} instructions")  # noqa: T201 - a program's output


def _without_small_parts(counts: Counts) -> Counts:
    """Leaves out the modules that hardly count, so that the budgets change where something did."""
    where = {name: count for name, count in counts.where.items() if count >= _LEAST_SHARE * counts.instructions}
    return Counts(counts.instructions, counts.calls, where)


def _counted(prepared: Prepared) -> Counts:
    with counting() as count, prepared() as work:
        for _ in range(WARM_UP):
            work()
        return count(work)


def _count_here(group: Group) -> Measured:
    flat = {one.name: _counted(one.large).instructions / _counted(one.small).instructions for one in group.flat}
    return Measured({row.name: _counted(row.prepared) for row in group.rows}, flat)


def main(arguments: list[str]) -> None:
    """Prints the counts of one group as JSON, or writes the budgets of all."""
    if not arguments:
        for group in GROUPS:
            write_budgets(group)
        return
    found = _count_here(group_of(arguments[0]))
    print(json.dumps(asdict(found)))  # noqa: T201 - a program's output


if __name__ == "__main__":
    main(sys.argv[1:])
