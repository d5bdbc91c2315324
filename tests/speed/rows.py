"""The rows of the speed gate: what is counted, by groups, and what each may cost.

A group is a module of `tests/speed/groups` with a GROUP; its budgets are `tests/speed/budgets/GROUP.json`, which
`make speed-budgets` writes. A new row or a new group needs nothing else.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

Prepared = Callable[[], AbstractContextManager[Callable[[], object]]]
"""Makes a piece of work ready, yields it, and cleans up. The work is done several times before it is counted."""


@dataclass(frozen=True, slots=True)
class Row:
    """One piece of work whose instructions have a budget."""

    name: str
    prepared: Prepared


@dataclass(frozen=True, slots=True)
class Flat:
    """Two pieces of work of which the large one may cost so many times what the small one costs, and no more."""

    name: str
    small: Prepared
    large: Prepared
    most: float = 1.05


@dataclass(frozen=True, slots=True)
class Group:
    """What is counted in one process, which starts with nothing remembered."""

    rows: Sequence[Row]
    flat: Sequence[Flat] = ()
