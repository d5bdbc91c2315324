"""Containment of one part in a ceiling, asked once for each pair of texts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from remit_server.domain.entitlement import Entitlement
from remit_server.iam import (
    Allowed,
    Budget,
    Counterexample,
    Document,
    Effect,
    ImplicitDeny,
    Policies,
    Request,
    Statement,
    Undecided,
    Witness,
    contains,
    evaluate,
)
from remit_server.iam.evaluation.operators import Context
from remit_server.iam.language.condition import Condition

Answer = Witness | Counterexample | Undecided
_BUDGET = Budget(comparisons=100_000, states=10_000, evaluations=100_000)
HOLDS = "holds"


@dataclass(slots=True)
class Proofs:
    """Proves what one side reaches against what the other does; the same question is answered once."""

    _known: dict[tuple[str, str], Answer] = field(default_factory=dict)

    def held(self, part: Document, ceiling: Document) -> Answer:
        """Decides whether all that the part allows is allowed by the ceiling."""
        key = (part.text, ceiling.text)
        if key not in self._known:
            self._known[key] = contains(part, ceiling, budget=_BUDGET)
        return self._known[key]


def union(entitlements: Sequence[Entitlement]) -> Document:
    """Returns the permissions of all the entitlements as one document, the same whatever their order."""
    statements = {one.text: one for item in entitlements for one in item.document().statements}
    return Document(tuple(one for _, one in sorted(statements.items())))


def atoms(statement: Statement) -> Iterator[Document]:
    """Yields each action with each resource of a statement as a document of its own."""
    for action in statement.actions:
        for resource in statement.resources:
            yield Document((Statement(Effect.ALLOW, (action,), (resource,), statement.conditions),))


def shows(found: Counterexample, wider: Document, narrower: Document) -> bool:
    """Says whether AWS's own evaluation, asked apart from the proof, allows the example by one and not by the other.

    Where conditions are in play, a request context is made for them; what cannot be made is not shown.
    """
    context = _context(found, (wider, narrower))
    request = Request(found.action, found.resource, context)
    allowed = evaluate(Policies(identity=(wider,)), request)
    refused = evaluate(Policies(identity=(narrower,)), request)
    return isinstance(allowed, Allowed) and isinstance(refused, ImplicitDeny)


def permits(ceiling: Document, action: str, resource: str) -> bool:
    """Says whether AWS's own evaluation lets a ceiling allow a call without any context."""
    return isinstance(evaluate(Policies(identity=(ceiling,)), Request(action, resource)), Allowed)


def met(found: Counterexample) -> tuple[tuple[str, bool], ...]:
    """Returns each condition that an example says something of, and whether it holds there."""
    return tuple((text, word == HOLDS) for text, word in found.context)


def _context(found: Counterexample, documents: Sequence[Document]) -> Context:
    """Returns condition keys under which the conditions hold, or not, as the example has it."""
    known = {str(one): one for document in documents for part in document.statements for one in part.conditions}
    made: dict[str, str | tuple[str, ...]] = {}
    for text, is_met in met(found):
        condition = known.get(text)
        if condition is not None and is_met:
            made[condition.folded_key] = _value(condition)
    return made


def _value(condition: Condition) -> str:
    """Returns a value under which a positive condition holds; a negative one holds where the key is missing."""
    value = condition.values[0]
    if "Like" in condition.operator:
        return value.replace("*", "any").replace("?", "x")
    return value.partition("/")[0] if "IpAddress" in condition.operator else value
