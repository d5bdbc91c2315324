"""Statements prepared for the exact path: policy variables resolved to the safe side, conditions as a set."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from remit_server.iam.language.arn import ActionPattern, ResourcePattern
from remit_server.iam.language.condition import Condition
from remit_server.iam.language.document import Document
from remit_server.iam.language.statement import Effect, Statement


@dataclass(frozen=True, slots=True)
class Rule:
    """Holds one statement whose patterns hold no policy variable; a negated list may be empty (all resources).

    `gives` tells which side errs safely: a rule that gives (a ceiling Allow, an issued Deny) may match less
    than its statement, one that takes (a ceiling Deny, an issued Allow) may match more.
    """

    number: int
    of_ceiling: bool
    effect: Effect
    actions: tuple[ActionPattern, ...]
    not_action: bool
    resources: tuple[ResourcePattern, ...]
    not_resource: bool
    conditions: frozenset[Condition]

    @property
    def gives(self) -> bool:
        """Whether matching less than the statement is the safe side."""
        return self.of_ceiling == (self.effect is Effect.ALLOW)


def rules_of(issued: Document, ceiling: Document) -> tuple[list[Rule], bool]:
    """Returns all statements of both as rules, and whether any had to be bent to the safe side."""
    rules: list[Rule] = []
    bent = False
    for document, of_ceiling in ((issued, False), (ceiling, True)):
        for number, statement in enumerate(document.statements):
            bent = bent or any(resource.has_variables for resource in statement.resources)
            rule = _rule(number, statement, of_ceiling=of_ceiling)
            if rule.resources or rule.not_resource:
                rules.append(rule)
    return rules, bent


def _rule(number: int, statement: Statement, *, of_ceiling: bool) -> Rule:
    gives = of_ceiling == (statement.effect is Effect.ALLOW)
    resources = statement.resources
    if any(resource.has_variables for resource in resources):
        # A variable may be anything or nothing: where listing it makes the rule match more than is safe, drop it.
        drop = gives != statement.not_resource
        resources = tuple(each.widened() for each in resources if not (drop and each.has_variables))
    return Rule(
        number=number,
        of_ceiling=of_ceiling,
        effect=statement.effect,
        actions=statement.actions,
        not_action=statement.not_action,
        resources=resources,
        not_resource=statement.not_resource,
        conditions=frozenset(statement.conditions),
    )


def depends_on_reading(resource: ResourcePattern, rules: Iterable[Rule]) -> bool:
    """Tells whether a `*` in a region or account that ran over colons could change what the rules decide.

    NOTE: the exact path decides by segment. A proof stands under both readings of AWS's wildcards when nothing
    that narrows meets the resource across colons and everything that gives holds its whole head.
    """
    return any(_may_differ(resource, rule) for rule in rules)


def _may_differ(resource: ResourcePattern, rule: Rule) -> bool:
    if rule.not_resource and any(each.includes(resource) for each in rule.resources):
        return False  # the rule is not about the resource under either reading
    if rule.gives != rule.not_resource:
        return resource.has_open_head and any(
            each.meets_by_segment(resource) and not each.holds_head_of(resource) for each in rule.resources
        )
    return any(each.meets_across_colons(resource) for each in rule.resources)


def atoms_of(rules: Sequence[Rule]) -> tuple[Condition, ...]:
    """Returns the conditions of the rules, each once, in a fixed order."""
    found = {condition for rule in rules for condition in rule.conditions}
    return tuple(sorted(found, key=lambda each: (each.operator, each.folded_key, each.values)))
