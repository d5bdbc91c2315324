"""The part of an intent that lies inside a ceiling."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product

from remit_server.iam.containment.proving import contains
from remit_server.iam.containment.verdict import Budget, Purse, Witness
from remit_server.iam.issuing.merging import Fact, distinct, facts_of, grouped
from remit_server.iam.language.arn import ActionPattern, ResourcePattern
from remit_server.iam.language.automaton import BudgetError, Steps
from remit_server.iam.language.conjunction import conjoined
from remit_server.iam.language.document import Document
from remit_server.iam.language.index import Numbered
from remit_server.iam.language.pattern import PatternTooComplex
from remit_server.iam.language.statement import Effect, Statement

_MOST_PARTS = 500
NARROWING_STEPS = 30_000
"""What looking for the part inside all ceilings may cost, in comparisons of patterns and steps of intersections."""
# How many steps it counts for to intersect a wildcard with another: both inclusions and the overlap are looked at.
_INTERSECTION = 3
# What may be spent on proving that parts lie inside as a whole; when it is used up, they are intersected.
_PROOFS = Budget(comparisons=5_000, states=500, evaluations=5_000)


def narrowing_steps() -> Steps:
    """Returns what may be spent, for one narrowing or for several together."""
    return Steps(NARROWING_STEPS)


def narrow(intent: Document, ceiling: Document) -> Document:
    """Returns the part of the intent inside the ceiling, the largest that two Allows, one of each, can say; or nothing.

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
            intent = Document(grouped(_Narrowing(ceiling, steps, proofs).of(intent)))
    except BudgetError:
        return Document(())
    return intent


@dataclass(frozen=True, slots=True)
class _Narrowing:
    """Finds what lies inside one ceiling; what patterns have in common with a statement's is looked for once."""

    ceiling: Document
    steps: Steps
    proofs: Purse
    _actions: dict[tuple[ActionPattern, int], list[ActionPattern]] = field(default_factory=dict)
    _on: dict[tuple[str, ResourcePattern], list[tuple[Numbered, list[ResourcePattern]]]] = field(default_factory=dict)

    def of(self, intent: Document) -> list[Fact]:
        """Returns the parts of the intent inside the ceiling; raises BudgetError."""
        plain = [one for one in _having(intent, Effect.ALLOW) if not (one.not_action or one.not_resource)]
        inside = [part for fact in facts_of(plain) for part in self._parts(fact)]
        inside = distinct(self._spared(inside, _having(intent, Effect.DENY)))
        if len(inside) > _MOST_PARTS:
            raise BudgetError(f"more than {_MOST_PARTS} parts")
        return inside

    def _parts(self, fact: Fact) -> list[Fact]:
        """Returns the fact itself where that lies inside the ceiling, and else what of it does."""
        about = self.ceiling.index.about(fact.action.service)
        common = [part for allow, resources in self._near(fact) for part in self._common(fact, allow, resources)]
        parts = self._spared(common, (each.statement for each in about.denies))
        if fact in parts:
            return [fact]
        # Several Allows may hold it together, and one Allow a fact under conditions that say more than its own.
        may_lie = len(about.allows) > 1 or (about.allows and fact.conditions)
        return [fact] if may_lie and self._lies_inside(fact) else parts

    def _lies_inside(self, fact: Fact) -> bool:
        """Says whether the fact as a whole is proven to lie inside the ceiling, as long as proofs may be made."""
        if not (self.proofs.evaluations.left > 0 and self.proofs.states.left > 0):
            return False
        return isinstance(contains(Document((fact.statement,)), self.ceiling, budget=self.proofs), Witness)

    def _near(self, fact: Fact) -> list[tuple[Numbered, list[ResourcePattern]]]:
        """Returns the Allows that share resources with a fact, each with what they share."""
        key = fact.action.service, fact.resource
        near = self._on.get(key)
        if near is None:
            allows = self.ceiling.index.about(fact.action.service).allows
            shared = ((each, _resources(fact.resource, each.statement, self.steps)) for each in allows)
            near = self._on[key] = [(each, resources) for each, resources in shared if resources]
        return near

    def _common(self, fact: Fact, allow: Numbered, resources: Sequence[ResourcePattern]) -> Iterator[Fact]:
        """Intersects a fact with one Allow; nothing where the conditions cannot be joined in one statement."""
        actions = self._actions.get((fact.action, allow.number))
        if actions is None:
            actions = _actions(fact.action, allow.statement, self.steps)
            self._actions[fact.action, allow.number] = actions
        conditions = conjoined(fact.conditions, allow.statement.conditions, self.steps) if actions else None
        if conditions is None:
            return
        for action, resource in product(actions, resources):
            self.steps.take()
            yield Fact(action, resource, conditions)

    def _spared(self, facts: list[Fact], denials: Iterable[Statement]) -> list[Fact]:
        """Keeps of the facts what no Deny touches."""
        for denial in denials:
            facts = [part for fact in facts for part in _outside(fact, denial, self.steps)]
        return facts


def _having(document: Document, effect: Effect) -> Iterator[Statement]:
    return (statement for statement in document.statements if statement.effect is effect)


def _actions(action: ActionPattern, statement: Statement, steps: Steps) -> list[ActionPattern]:
    steps.take(action.name.cost * len(statement.actions))
    if statement.not_action:
        return [action] if statement.holds_action(action) else []
    try:
        return [part for each in statement.actions for part in action.intersect(each, steps)]
    except PatternTooComplex:
        return []


def _resources(resource: ResourcePattern, statement: Statement, steps: Steps) -> list[ResourcePattern]:
    weight = 1 if resource.is_literal else _INTERSECTION
    steps.take(weight * resource.cost * len(statement.resources))
    if statement.not_resource:
        return [resource] if statement.holds_resource(resource) else []
    try:
        return [part for each in statement.resources for part in resource.intersect(each, steps)]
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
        for action in _actions(fact.action, exempt, steps):
            if not denial.touches_action(action):
                yield Fact(action, fact.resource, fact.conditions)
    if denial.not_resource:
        for resource in _resources(fact.resource, exempt, steps):
            if not denial.touches_resource(resource):
                yield Fact(fact.action, resource, fact.conditions)
