"""Containment of policies: what is issued never exceeds its ceilings, proven on the documents themselves."""

from collections.abc import Sequence
from dataclasses import replace

from remit_server.iam.containment.exact import decide
from remit_server.iam.containment.fast import Settled, settle
from remit_server.iam.containment.implication import WrittenOut, written_out
from remit_server.iam.containment.verdict import Budget, Counterexample, Cover, Purse, Undecided, Witness
from remit_server.iam.language.automaton import BudgetError
from remit_server.iam.language.document import Document

DEFAULT_BUDGET = Budget()


def contains(
    issued: Document, ceiling: Document, *, budget: Budget | Purse = DEFAULT_BUDGET
) -> Witness | Counterexample | Undecided:
    """Decides whether every request that the document allows is allowed by the ceiling as well.

    Returns a Witness only when proven. The document's own Denies count for it. Conditions are opaque but for what
    `implication.py` knows: a ceiling Allow with a condition covers only what carries the same one, or one that
    implies it. An empty document is contained in all. The cheap proofs come first, on both ways to write the
    documents; then the exact ones. Several proofs may share one budget: they take a Purse.
    Source: 8-threats "Containment: a method that held up".
    """
    try:
        return _decided(issued, ceiling, budget)
    except BudgetError as overrun:
        return Undecided(f"the proof takes {overrun}")


def _decided(issued: Document, ceiling: Document, budget: Budget | Purse) -> Witness | Counterexample | Undecided:
    """Decides as `contains` says; raises BudgetError."""
    parts = budget.parts if isinstance(budget, Budget) else budget.budget.parts
    if issued.pairs > parts:
        return Undecided(f"the permissions have more than {parts:,} pairs of an action and a resource")
    settled = settle(issued, ceiling, budget.counted() if isinstance(budget, Budget) else budget.comparisons)
    if not settled.pending:
        return Witness(tuple(settled.covers), ceiling, issued)
    written = written_out(issued, ceiling)
    if written is None or written.issued.pairs > parts:
        return _exactly(settled, issued, ceiling, _opened(budget))
    again = settle(written.issued, written.ceiling, _opened(budget).comparisons)
    found = _exactly(settled, issued, ceiling, _opened(budget)) if again.pending else None
    if not isinstance(found, Witness):
        exact = _exactly(again, written.issued, written.ceiling, _opened(budget))
        found = _renumbered(exact, written, issued, ceiling)
    return found


def _opened(budget: Budget | Purse) -> Purse:
    """Returns the shared purse, or a new one for each of the steps of a single proof."""
    return budget.opened() if isinstance(budget, Budget) else budget


def _exactly(
    settled: Settled, issued: Document, ceiling: Document, purse: Purse
) -> Witness | Counterexample | Undecided:
    """Decides what the fast path left open."""
    rest = decide(settled.pending, issued, ceiling, purse) if settled.pending else []
    if not isinstance(rest, list):
        return rest
    covers = sorted((*settled.covers, *rest), key=lambda cover: cover.statement)
    return Witness(tuple(covers), ceiling, issued)


def _renumbered(
    found: Witness | Counterexample | Undecided, written: WrittenOut, issued: Document, ceiling: Document
) -> Witness | Counterexample | Undecided:
    """Says the same about the documents as they were before they were written out."""
    match found:
        case Witness(covers=covers):
            return Witness(tuple(_original(cover, written) for cover in covers), ceiling, issued)
        case Counterexample(statement=number):
            return replace(found, statement=written.issued_numbers[number])
        case Undecided():
            return found


def _original(cover: Cover, written: WrittenOut) -> Cover:
    numbers = sorted({written.ceiling_numbers[number] for number in cover.covered_by})
    return cover._replace(statement=written.issued_numbers[cover.statement], covered_by=tuple(numbers))


def contains_all(
    issued: Document, ceilings: Sequence[Document], *, budget: Budget | Purse = DEFAULT_BUDGET
) -> tuple[Witness, ...] | Counterexample | Undecided:
    """Decides containment in every ceiling; the first no is the answer and names its ceiling by number.

    Without any ceiling nothing is contained.
    """
    if not ceilings:
        return Undecided("there is no ceiling")
    witnesses: list[Witness] = []
    for number, ceiling in enumerate(ceilings):
        match contains(issued, ceiling, budget=budget):
            case Witness() as witness:
                witnesses.append(witness)
            case Counterexample() as found:
                return replace(found, ceiling=number)
            case Undecided() as undecided:
                return replace(undecided, ceiling=number)
    return tuple(witnesses)
