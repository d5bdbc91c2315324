"""The fast path of containment: one ceiling Allow holds the whole atom, and no ceiling Deny can touch it.

An atom is one action pattern and one resource pattern of an issued Allow. `None` stands for the complement of
a `NotAction` or `NotResource` list. Answers yes only when proven; everything else is left to the exact path.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from remit_server.iam.containment.verdict import Cover
from remit_server.iam.language.arn import ActionPattern, ResourcePattern
from remit_server.iam.language.condition import Condition
from remit_server.iam.language.document import Concerned, Document, Effect, Numbered, Statement


@dataclass(frozen=True, slots=True)
class Atom:
    """Names one part of an issued Allow: its statement and one pattern, or None, on each side."""

    number: int
    statement: Statement
    action: ActionPattern | None
    resource: ResourcePattern | None

    @property
    def action_text(self) -> str:
        """The action as a reader knows it."""
        if self.action is not None:
            return self.action.text
        return f"all but {', '.join(action.text for action in self.statement.actions)}"

    @property
    def resource_text(self) -> str:
        """The resource as a reader knows it."""
        if self.resource is not None:
            return self.resource.text
        return f"all but {', '.join(resource.text for resource in self.statement.resources)}"


def settle(issued: Document, ceiling: Document) -> tuple[list[Cover], list[Atom]]:
    """Returns the atoms of all issued Allows that are proven, with their proof, and those that are not."""
    covers: list[Cover] = []
    pending: list[Atom] = []
    repeated = [each for each in issued.statements if each.effect is Effect.DENY]
    for number, statement in enumerate(issued.statements):
        if statement.effect is Effect.DENY:
            continue
        conditions = frozenset(statement.conditions)
        for action in (None,) if statement.not_action else statement.actions:
            reach = ceiling.concerned(action) if action else _concerned_by_rest(statement, ceiling)
            # A Deny that the issued document repeats as it is takes nothing away from the proof.
            denies = [each for each in reach.denies if each.statement not in repeated]
            for resource in (None,) if statement.not_resource else statement.resources:
                atom = Atom(number, statement, action, resource)
                covered_by = _covering(atom, conditions, reach.allows, denies)
                if covered_by is None:
                    pending.append(atom)
                else:
                    covers.append(Cover(number, atom.action_text, atom.resource_text, (covered_by,)))
    return covers, pending


def _covering(
    atom: Atom, conditions: frozenset[Condition], allows: Sequence[Numbered], denies: Sequence[Numbered]
) -> int | None:
    """Returns the number of a ceiling Allow that holds the atom, None when there is none or a Deny may touch it.

    An Allow counts only with conditions that the issued statement carries too.
    """
    resource = atom.resource
    if resource is None:
        if not all(_spares_rest(atom.statement, each.statement) for each in denies):
            return None
        holding = (each for each in allows if _holds_rest(atom.statement, each.statement))
        return next((each.number for each in holding if conditions.issuperset(each.statement.conditions)), None)
    if any(each.statement.touches_resource(resource) for each in denies):
        return None
    text = resource.text
    for each in allows:
        if text.startswith(each.leads):
            statement = each.statement
            if conditions.issuperset(statement.conditions) and statement.holds_resource(resource):
                return each.number
    return None


def _concerned_by_rest(statement: Statement, ceiling: Document) -> Concerned:
    """Does for `NotAction` what `Document.concerned` does for one pattern."""
    every = ceiling.numbered
    return Concerned(
        allows=tuple(each for each in every.allows if _holds_other_actions(statement, each.statement)),
        denies=tuple(each for each in every.denies if not _spares_other_actions(statement, each.statement)),
    )


def _holds_other_actions(statement: Statement, ceiling: Statement) -> bool:
    """Tells whether the ceiling statement holds all actions but those the issued statement lists."""
    if ceiling.not_action:
        return all(any(mine.includes(theirs) for mine in statement.actions) for theirs in ceiling.actions)
    return any(action.service == "*" for action in ceiling.actions)


def _spares_other_actions(statement: Statement, deny: Statement) -> bool:
    if deny.not_action:
        return any(action.service == "*" for action in deny.actions)
    return all(any(mine.includes(theirs) for mine in statement.actions) for theirs in deny.actions)


def _holds_rest(statement: Statement, ceiling: Statement) -> bool:
    """Tells whether the ceiling statement holds all resources but those the issued statement lists."""
    if ceiling.not_resource:
        return all(any(mine.includes(theirs) for mine in statement.resources) for theirs in ceiling.resources)
    return any(resource.is_universal for resource in ceiling.resources)


def _spares_rest(statement: Statement, deny: Statement) -> bool:
    if deny.not_resource:
        return any(resource.is_universal for resource in deny.resources)
    return all(any(mine.includes(theirs) for mine in statement.resources) for theirs in deny.resources)
