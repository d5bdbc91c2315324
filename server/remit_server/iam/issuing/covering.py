"""Which statements cover an intent, and what the intent is under their conditions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from remit_server.iam.containment.implication import implies
from remit_server.iam.issuing.merging import Fact, facts_of, taken_apart
from remit_server.iam.language.automaton import BudgetError, Steps
from remit_server.iam.language.condition import Condition
from remit_server.iam.language.conjunction import conjoined
from remit_server.iam.language.document import Document
from remit_server.iam.language.index import Numbered
from remit_server.iam.language.statement import Statement


class Covering(NamedTuple):
    """Says which statement of which entitlement (both by number) covers an action on a resource of the intent.

    Without numbers no single statement does; containment then decides.
    """

    action: str
    resource: str
    entitlement: int | None
    statement: int | None


@dataclass(frozen=True, slots=True)
class Covered:
    """Holds an intent value by value, and each fact again under the conditions of the statement that covers it.

    The values of a condition may be covered by several statements.
    """

    asked: tuple[Fact, ...]
    facts: tuple[Fact, ...]
    coverings: tuple[Covering, ...]

    @property
    def is_whole(self) -> bool:
        """Says whether a single statement covers each fact."""
        return all(each.statement is not None for each in self.coverings)

    @property
    def is_unchanged(self) -> bool:
        """Says whether no covering statement adds a condition."""
        return all(one is other for one, other in zip(self.asked, self.facts, strict=True))

    @property
    def document(self) -> Document:
        """The intent's Allows, each under the conditions of the statement that covers it."""
        return Document(tuple([fact.statement for fact in self.facts]))


def asked_facts(intent: Document) -> list[Fact]:
    """Returns what an intent asks for, value by value."""
    return taken_apart(facts_of(intent.statements))


def covered(asked: Sequence[Fact], entitlements: Sequence[Document], steps: Steps) -> Covered:
    """Finds, for each fact, the entitlements' statement that covers it; what is left without steps is not covered."""
    coverage = _Coverage(entitlements, steps)
    if len({(fact.action.folded, fact.resource.text) for fact in asked}) == len(asked):
        found = [coverage.of(fact) for fact in asked]
    else:  # what is asked twice is looked for once
        known: dict[Fact, tuple[Fact, Covering]] = {}
        found = [known[fact] if fact in known else known.setdefault(fact, coverage.of(fact)) for fact in asked]
    return Covered(tuple(asked), tuple([fact for fact, _ in found]), tuple([covering for _, covering in found]))


@dataclass(frozen=True, slots=True)
class _Coverage:
    """Finds the entitlements' statement that covers a fact, while there are steps left."""

    entitlements: Sequence[Document]
    steps: Steps

    def of(self, fact: Fact) -> tuple[Fact, Covering]:
        """Returns the fact under the conditions of what covers it; as it is where no single statement does."""
        try:
            return self._conditioned(fact)
        except BudgetError:
            return fact, Covering(fact.action.text, fact.resource.text, None, None)

    def _conditioned(self, fact: Fact) -> tuple[Fact, Covering]:
        """Adds the conditions of the covering statement that adds least; none where no single statement covers."""
        best: tuple[int, tuple[Condition, ...], int, int] | None = None
        for number, each in self._holding(fact):
            missing = _missing(fact, each.statement)
            if not missing:
                return fact, Covering(fact.action.text, fact.resource.text, number, each.number)
            conditions = conjoined(fact.conditions, missing, self.steps)
            if conditions is not None and (best is None or len(missing) < best[0]):
                best = len(missing), conditions, number, each.number
        if best is None:
            return fact, Covering(fact.action.text, fact.resource.text, None, None)
        _, conditions, *place = best
        return Fact(fact.action, fact.resource, conditions), Covering(fact.action.text, fact.resource.text, *place)

    def _holding(self, fact: Fact) -> Iterator[tuple[int, Numbered]]:
        """Yields the statements, with the number of their entitlement, that hold the action and the resource."""
        for number, entitlement in enumerate(self.entitlements):
            self.steps.take(fact.action.cost * len(entitlement.statements) // 8)
            for each in entitlement.concerned(fact.action).allows_on(fact.resource):
                self.steps.take(fact.resource.cost * each.width)
                if each.statement.holds_resource(fact.resource):
                    yield number, each


def _missing(fact: Fact, statement: Statement) -> list[Condition]:
    return [one for one in statement.conditions if not any(implies(mine, one) for mine in fact.conditions)]
