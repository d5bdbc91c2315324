"""Allows rewritten as fewer, shorter Allows that allow exactly the same."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TypeVar

from remit_server.iam.language.arn import ActionPattern, ResourcePattern
from remit_server.iam.language.automaton import BudgetError, Steps
from remit_server.iam.language.condition import Condition
from remit_server.iam.language.conjunction import by_value, canonical, united, widest
from remit_server.iam.language.statement import Effect, Statement

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
# What looking for covered facts may cost, and into how many pieces facts are taken apart.
_MOST_STEPS = 8_000
_MOST_PIECES = 1_000


@dataclass(frozen=True, slots=True)
class Fact:
    """One action pattern allowed on one resource pattern under conditions (in canonical order)."""

    action: ActionPattern
    resource: ResourcePattern
    conditions: tuple[Condition, ...]
    _statement: Statement | None = field(default=None, compare=False, repr=False)

    def covers(self, other: "Fact") -> bool:
        """Says whether everything the other allows, this allows too."""
        return (
            (self.conditions == other.conditions or set(self.conditions) <= set(other.conditions))
            and self.action.includes(other.action)
            and self.resource.includes(other.resource)
        )

    @property
    def statement(self) -> Statement:
        """The fact as an Allow: the one that it was taken from, where that says nothing else."""
        return self._statement or Statement(Effect.ALLOW, (self.action,), (self.resource,), self.conditions)


def facts_of(allows: Iterable[Statement]) -> list[Fact]:
    """Takes Allows (Action and Resource only) apart into facts, in order."""
    facts: list[Fact] = []
    for statement in allows:
        actions, resources, conditions = statement.actions, statement.resources, canonical(statement.conditions)
        if len(actions) == len(resources) == 1:
            is_said = conditions == statement.conditions and statement.effect is Effect.ALLOW
            is_said = is_said and not (statement.not_action or statement.not_resource)
            facts.append(Fact(actions[0], resources[0], conditions, statement if is_said else None))
        else:
            facts += [Fact(action, resource, conditions) for action, resource in product(actions, resources)]
    return facts


def taken_apart(facts: Iterable[Fact]) -> list[Fact]:
    """Takes facts apart into one value per condition: there, two ways to say the same look the same.

    Returns the facts as they are where there would be very many pieces.
    """
    facts = list(facts)
    if not any(fact.conditions for fact in facts):
        return facts
    if sum(math.prod(len(one.values) for one in fact.conditions) for fact in facts) > _MOST_PIECES:
        return facts
    return [
        fact if conditions is fact.conditions else Fact(fact.action, fact.resource, conditions)
        for fact in facts
        for conditions in by_value(fact.conditions)
    ]


def in_order(facts: Iterable[Fact]) -> list[Fact]:
    """Puts facts in one order, whatever order they came in."""
    facts = list(facts)
    return sorted(facts, key=_order) if len(facts) > 1 else facts


def fewest(ordered: Sequence[Fact]) -> list[Fact]:
    """Writes the same in fewer facts, in their order: values united, what another fact covers dropped."""
    return distinct(_united(ordered))


def distinct(facts: Sequence[Fact]) -> list[Fact]:
    """Drops facts that another one covers; only equal ones where comparing all would take too many steps."""
    if len(facts) == 1:
        return list(facts)
    if len({fact.action.folded for fact in facts}) == len(facts) and all(fact.action.is_literal for fact in facts):
        return list(facts)  # none is about an action of another
    facts = list(dict.fromkeys(facts))
    try:
        kept = _widest(facts, Steps(_MOST_STEPS))
    except BudgetError:
        return facts
    return [fact for fact in facts if fact in kept]


def _widest(facts: Sequence[Fact], steps: Steps) -> set[Fact]:
    """Returns the facts that no other one covers; raises BudgetError.

    What covers a resource begins with a lead no longer than its own, so shorter leads come first.
    """
    by_lead: dict[int, dict[str, list[Fact]]] = {}
    for fact in sorted(facts, key=lambda fact: len(fact.resource.lead)):
        text, lead = fact.resource.text, fact.resource.lead
        near = [other for length, leads in by_lead.items() for other in leads.get(text[:length], ())]
        steps.take((fact.resource.cost + fact.action.name.cost) * len(near))
        if not any(other.covers(fact) for other in near):
            alike = by_lead.setdefault(len(lead), {}).setdefault(lead, [])
            alike[:] = [*(other for other in alike if not fact.covers(other)), fact]
    return {fact for leads in by_lead.values() for alike in leads.values() for fact in alike}


def groupings(facts: Sequence[Fact]) -> list[tuple[Statement, ...]]:
    """Lists the ways to write facts as Allows: grouped by action, and by resource where that is another way."""
    count = len(facts)
    actions, resources = {fact.action.folded for fact in facts}, {fact.resource.text for fact in facts}
    if count == len(actions) == len(resources):
        return [tuple([fact.statement for fact in facts])]  # nothing is in common to group by
    by_action, by_resource = grouped(facts), grouped_by_resource(facts)
    return [by_action] if by_action == by_resource else [by_action, by_resource]


def grouped(facts: Iterable[Fact]) -> tuple[Statement, ...]:
    """Writes facts as Allows: the resources of each action, then the actions with equal resources."""
    resources = _gathered((fact.resource, (fact.action, fact.conditions)) for fact in facts)
    rows = _gathered((action, (_in_order(found), also)) for (action, also), found in resources.items())
    return tuple(
        Statement(Effect.ALLOW, tuple(actions), found, conditions) for (found, conditions), actions in rows.items()
    )


def grouped_by_resource(facts: Iterable[Fact]) -> tuple[Statement, ...]:
    """Writes facts as Allows: the actions of each resource, then the resources with equal actions."""
    actions = _gathered((fact.action, (fact.resource, fact.conditions)) for fact in facts)
    columns = _gathered((resource, (_in_order(found), also)) for (resource, also), found in actions.items())
    return tuple(
        Statement(Effect.ALLOW, found, tuple(resources), conditions)
        for (found, conditions), resources in columns.items()
    )


def _order(fact: Fact) -> tuple[str, str, list[tuple[str, str, tuple[str, ...]]]]:
    conditions = [(one.operator, one.folded_key, one.values) for one in fact.conditions]
    return fact.action.text.lower(), fact.resource.text, conditions


def _united(facts: Sequence[Fact]) -> list[Fact]:
    """Unites the condition values of facts that differ in nothing else."""
    if len(facts) == 1 or len({(fact.action.folded, fact.resource.text) for fact in facts}) == len(facts):
        return [_widened(fact) for fact in facts]
    alternatives = _gathered((fact.conditions, (fact.action, fact.resource)) for fact in facts)
    return [
        Fact(action, resource, conditions)
        for (action, resource), found in alternatives.items()
        for conditions in _united_conditions(found)
    ]


def _widened(fact: Fact) -> Fact:
    """Drops values of conditions that others include."""
    if not fact.conditions:
        return fact
    conditions = widest(fact.conditions)
    return fact if conditions == fact.conditions else Fact(fact.action, fact.resource, conditions)


def _united_conditions(alternatives: Iterable[tuple[Condition, ...]]) -> list[tuple[Condition, ...]]:
    kept: list[tuple[Condition, ...]] = []
    for conditions in alternatives:
        for index, present in enumerate(kept):
            both = present if present == conditions else united(present, conditions)
            if both is not None:
                kept[index] = both
                break
        else:
            kept.append(conditions)
    return [widest(conditions) for conditions in kept]


def _in_order(patterns: Iterable[_Value]) -> tuple[_Value, ...]:
    return tuple(sorted(patterns, key=str))


def _gathered(pairs: Iterable[tuple[_Value, _Key]]) -> dict[_Key, list[_Value]]:
    gathered: dict[_Key, list[_Value]] = {}
    for value, key in pairs:
        gathered.setdefault(key, []).append(value)
    return gathered
