"""Which permissions one document has beyond another, as the algebra proves it and as people read it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from remit_server.iam import (
    Budget,
    Document,
    Effect,
    Statement,
    Undecided,
    Witness,
    allows_of,
    contains,
    narrow_all,
    narrowing_steps,
)

MOST_ATOMS: Final = 2_000
MOST_LINES: Final = 60
_BUDGET: Final = Budget()
_NOTHING: Final = Document(())


@dataclass(frozen=True, slots=True)
class Surplus:
    """The parts of a document, one action on one resource each, that are not proven to lie within another.

    `undecided` says why some of them may lie within it all the same; it is empty where each is proven not to.
    """

    parts: tuple[Statement, ...] = ()
    undecided: str = ""

    def __bool__(self) -> bool:
        return bool(self.parts or self.undecided)

    @property
    def document(self) -> Document:
        """The parts as one document."""
        return Document(self.parts)

    @property
    def lines(self) -> tuple[str, ...]:
        """The parts as people read them."""
        return lines_of(self.parts)

    @property
    def actions(self) -> tuple[str, ...]:
        """The actions of the parts, each once, sorted."""
        return bounded(sorted({action.text for part in self.parts for action in part.actions}))


def allowed_by(text: str) -> Document:
    """Returns what a session policy allows, without its Denies; raises MalformedPolicy for what is none."""
    return allows_of(Document.parse(text, authored=True))


def surplus(document: Document, other: Document) -> Surplus:
    """Returns what the document allows beyond the other."""
    if document.is_empty:
        return Surplus()
    if other.is_empty:
        return Surplus(tuple(parts_of(document)))
    whole = contains(document, other, budget=_BUDGET)
    if isinstance(whole, Witness):
        return Surplus()
    atoms = list(parts_of(document))
    if len(atoms) > MOST_ATOMS:
        return Surplus((), f"it has more than {MOST_ATOMS:,} pairs of an action and a resource")
    found = [(atom, contains(Document((atom,)), other, budget=_BUDGET)) for atom in atoms]
    parts = tuple(atom for atom, proof in found if not isinstance(proof, Witness))
    doubts = (proof.reason for _, proof in found if isinstance(proof, Undecided))
    return Surplus(parts, next(doubts, ""))  # where each part is proven to lie within it, all of them do


def within(found: Surplus, ceilings: Sequence[Document]) -> Surplus:
    """Returns what of a surplus lies within every ceiling; as it is where that is not found out within the budget."""
    if not found.parts:
        return found
    steps = narrowing_steps()
    part = narrow_all(found.document, ceilings, steps=steps)
    if part.is_empty and steps.left <= 0:
        return found
    return Surplus(tuple(parts_of(part)), found.undecided if not part.is_empty else "")


def lines_of(statements: Iterable[Statement]) -> tuple[str, ...]:
    """Returns permissions as people read them, sorted, each once; past MOST_LINES only how many more there are."""
    return bounded(sorted({line for statement in statements for line in _lines(statement)}))


def bounded(lines: Sequence[str]) -> tuple[str, ...]:
    """Returns lines, and past MOST_LINES only how many more there are."""
    if len(lines) <= MOST_LINES:
        return tuple(lines)
    return (*lines[:MOST_LINES], f"and {len(lines) - MOST_LINES} more")


def parts_of(document: Document) -> Iterable[Statement]:
    """Yields every pair of an action and a resource that is allowed, each with its conditions."""
    for statement in document.statements:
        if statement.effect is Effect.ALLOW and not statement.not_action and not statement.not_resource:
            for action in statement.actions:
                for resource in statement.resources:
                    yield Statement(Effect.ALLOW, (action,), (resource,), statement.conditions)


def _lines(statement: Statement) -> Iterable[str]:
    conditions = " and ".join(f"{one.operator} {one.key} {' or '.join(one.values)}" for one in statement.conditions)
    only = f" if {conditions}" if conditions else ""
    for action in statement.actions:
        for resource in statement.resources:
            yield f"{action.text} on {resource.text}{only}"
