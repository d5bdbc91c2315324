"""The speed gate: what planning and whole requests cost is counted in instructions, and may not grow unseen."""

import sys

import pytest
from benchmarks.rig.bytecodes import Counts, counting
from tests.speed.measuring import GROUPS, Measured, budgets_of, group_of, measured
from tests.speed.steps import steps_of

TOLERANCE = 0.05
ON_311 = sys.implementation.name == "cpython" and sys.version_info[:2] == (3, 11)
NOT_311 = "the budgets are instructions of CPython 3.11; another Python compiles to others"
_FOUND: dict[str, Measured] = {}


def found(group: str) -> Measured:
    """Counts each group once."""
    if group not in _FOUND:
        _FOUND[group] = measured(group)
    return _FOUND[group]


@pytest.mark.skipif(not ON_311, reason=NOT_311)
@pytest.mark.parametrize("group", GROUPS)
def test_nothing_takes_more_instructions_than_its_budget(group: str) -> None:
    rows = found(group).rows

    grown = "\n".join(growth(name, counts, budgets_of(group).get(name)) for name, counts in rows.items())

    advice = "Make it cheaper; or, where it is worth that, run `make speed-budgets`, commit the budgets and say why."
    assert not grown.strip(), f"{grown}\n{advice}"


@pytest.mark.parametrize("group", GROUPS)
def test_every_budget_is_of_a_row(group: str) -> None:
    rows = {row.name for row in group_of(group).rows}

    assert budgets_of(group).keys() == rows, "run `make speed-budgets` and commit the budgets"


@pytest.mark.parametrize("group", GROUPS)
def test_cost_does_not_grow_with_what_it_must_not_grow_with(group: str) -> None:
    ratios = found(group).flat

    grown = {one.name: ratios[one.name] for one in group_of(group).flat if ratios[one.name] > one.most}

    assert not grown, "the second costs so many times what the first costs"


def test_counting_the_same_work_again_gives_the_same_count() -> None:
    with counting() as count:
        first, second = (count(lambda: sorted(range(50), key=lambda number: -number)) for _ in range(2))

    assert first == second
    assert first.calls == 51


def test_the_steps_of_a_work_take_together_what_it_takes() -> None:
    def work() -> None:
        for number in range(5):
            pow_of(number)

    def pow_of(number: int) -> int:
        return number**2

    steps = steps_of(work)

    with counting() as count:
        counted = count(work)
    ((whole, inner),) = [(step, *step.calls.values()) for step in steps.calls.values()]
    assert steps.instructions == counted.instructions == whole.own + inner.instructions
    assert (whole.entered, inner.entered) == (1, 5)


def test_a_budget_is_missed_by_what_costs_a_tenth_more() -> None:
    budget = Counts(1_000, 10, {"json.decoder": 600, "json.scanner": 400})

    grown = growth("reading", Counts(1_100, 11, {"json.decoder": 710, "json.scanner": 390}), budget)

    assert "10.0 %" in grown
    assert "json.decoder +110" in grown
    assert "json.scanner" not in grown


def growth(name: str, counts: Counts, budget: Counts | None) -> str:
    """Says how much more than its budget a row costs, and in which modules; nothing where it does not."""
    if budget is None:
        return f"{name}: takes {counts.instructions:,} instructions and has no budget"
    more = counts.instructions / budget.instructions - 1
    if more <= TOLERANCE:
        return ""
    parts = {module: count - budget.where.get(module, 0) for module, count in counts.where.items()}
    least = TOLERANCE * (counts.instructions - budget.instructions)
    worst = [f"{module} +{part:,}" for module, part in sorted(parts.items(), key=lambda item: -item[1]) if part > least]
    now = f"{counts.instructions:,} instructions in {counts.calls:,} calls"
    return (
        f"{name}: {now}, {100 * more:.1f} % more than its budget of {budget.instructions:,} in {budget.calls:,}; "
        f"more in: {', '.join(worst[:8])}"
    )
