"""The part of an intent that lies inside a ceiling."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product

from remit_server.iam.containment.proving import contains
from remit_server.iam.containment.verdict import Budget, Purse, Witness
from remit_server.iam.issuing.merging import Fact, distinct, facts_of, grouped
from remit_server.iam.language.arn import ActionPattern, ResourcePattern
from remit_server.iam.language.automaton import BudgetError, Steps
from remit_server.iam.language.conjunction import conjoined
from remit_server.iam.language.document import Document
from remit_server.iam.language.pattern import PatternTooComplex
from remit_server.iam.language.statement import Effect, Statement

_MOST_PARTS = 500
NARROWING_STEPS = 30_000
"""What looking for the part inside all ceilings may cost, in comparisons of patterns and steps of intersections."""
# What may be spent on proving that parts lie inside as a whole; when it is used up, they are intersected.
_PROOFS = Budget(comparisons=5_000, states=500, evaluations=5_000)


def narrowing_steps() -> Steps:
    """Returns what may be spent, for one narrowing or for several together."""
    return Steps(NARROWING_STEPS)


def narrow(intent: Document, ceiling: Document) -> Document:
    """Returns the largest part of the intent inside the ceiling that plain Allows can express; possibly empty.

    What is proven to lie inside is kept whole, also where several Allows hold it together. Of the rest, patterns are
    intersected pairwise, and the conditions of the ceiling's Allow are added; what a Deny may touch is left out,
    except where its NotAction or NotResource leaves a part untouched, and the conditions of a Deny are not looked at.
    The intent's own Denies count too; its NotAction and NotResource Allows are left out.
    Empty, too, where finding it would take more than NARROWING_STEPS, or it has more than 500 parts.
    """
    return narrow_all(intent, [ceiling])


def narrow_all(intent: Document, ceilings: Sequence[Document], *, steps: Steps | None = None) -> Document:
    """Narrows the intent to what lies inside every ceiling, as `narrow` does, with the steps where some are given."""
    steps, proofs = steps or narrowing_steps(), _PROOFS.opened()
    try:
        for ceiling in ceilings:
            intent = Document(grouped(_inside(intent, ceiling, steps, proofs)))
    except BudgetError:
        return Document(())
    return intent


def _inside(intent: Document, ceiling: Document, steps: Steps, proofs: Purse) -> list[Fact]:
    """Returns the parts of the intent inside the ceiling; raises BudgetError."""
    plain = [one for one in _having(intent, Effect.ALLOW) if not (one.not_action or one.not_resource)]
    inside = [part for fact in facts_of(plain) for part in _parts(fact, ceiling, steps, proofs)]
    inside = _spared(inside, _having(intent, Effect.DENY), steps)
    inside = distinct(inside)
    if len(inside) > _MOST_PARTS:
        raise BudgetError
    return inside


def _parts(fact: Fact, ceiling: Document, steps: Steps, proofs: Purse) -> list[Fact]:
    """Returns the fact itself where that lies inside the ceiling, and else what of it does."""
    about = ceiling.index.about(fact.action.service)
    common = [part for each in about.allows for part in _common(fact, each.statement, steps)]
    parts = _spared(common, (each.statement for each in about.denies), steps)
    if fact in parts:
        return [fact]
    together = len(about.allows) > 1 and proofs.evaluations.left > 0 and proofs.states.left > 0
    if together and isinstance(contains(Document((fact.statement,)), ceiling, budget=proofs), Witness):
        return [fact]
    return parts


def _spared(facts: list[Fact], denials: Iterable[Statement], steps: Steps) -> list[Fact]:
    for denial in denials:
        facts = [part for fact in facts for part in _outside(fact, denial, steps)]
    return facts


def _having(document: Document, effect: Effect) -> Iterator[Statement]:
    return (statement for statement in document.statements if statement.effect is effect)


def _common(fact: Fact, statement: Statement, steps: Steps) -> Iterator[Fact]:
    """Intersects a fact with one Allow; nothing where the conditions cannot be joined in one statement."""
    resources = _resources(fact, statement, steps)
    actions = _actions(fact, statement, steps) if resources else []
    conditions = conjoined(fact.conditions, statement.conditions, steps) if actions else None
    if conditions is None:
        return
    for action, resource in product(actions, resources):
        steps.take()
        yield Fact(action, resource, conditions)


def _actions(fact: Fact, statement: Statement, steps: Steps) -> list[ActionPattern]:
    steps.take(fact.action.name.cost * len(statement.actions))
    if statement.not_action:
        return [fact.action] if statement.holds_action(fact.action) else []
    try:
        return [part for action in statement.actions for part in fact.action.intersect(action, steps)]
    except PatternTooComplex:
        return []


def _resources(fact: Fact, statement: Statement, steps: Steps) -> list[ResourcePattern]:
    steps.take(fact.resource.cost * len(statement.resources))
    if statement.not_resource:
        return [fact.resource] if statement.holds_resource(fact.resource) else []
    try:
        return [part for resource in statement.resources for part in fact.resource.intersect(resource, steps)]
    except PatternTooComplex:
        return []


def _outside(fact: Fact, denial: Statement, steps: Steps) -> Iterator[Fact]:
    """Keeps of a fact what the Deny provably does not touch."""
    steps.take(fact.action.name.cost * len(denial.actions) + fact.resource.cost * len(denial.resources))
    if not (denial.touches_action(fact.action) and denial.touches_resource(fact.resource)):
        yield fact
        return
    exempt = Statement(Effect.ALLOW, denial.actions, denial.resources)
    if denial.not_action:
        for action in _actions(fact, exempt, steps):
            if not denial.touches_action(action):
                yield Fact(action, fact.resource, fact.conditions)
    if denial.not_resource:
        for resource in _resources(fact, exempt, steps):
            if not denial.touches_resource(resource):
                yield Fact(fact.action, resource, fact.conditions)
