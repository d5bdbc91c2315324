"""The fast path of containment: one ceiling Allow holds the whole atom, and no ceiling Deny can touch it.

An atom is one action pattern and one resource pattern of an issued Allow. `None` stands for the complement of
a `NotAction` or `NotResource` list. Answers yes only when proven; everything else is left to the exact path.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from remit_server.iam.containment.implication import implied
from remit_server.iam.containment.verdict import Cover
from remit_server.iam.language.arn import ActionPattern, ResourcePattern
from remit_server.iam.language.automaton import Steps
from remit_server.iam.language.document import Document
from remit_server.iam.language.index import Concerned, Numbered
from remit_server.iam.language.statement import Effect, Statement


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


class Settled(NamedTuple):
    """Holds the proofs of the atoms that are proven, and the atoms that are not."""

    covers: list[Cover]
    pending: list[Atom]


def settle(issued: Document, ceiling: Document, comparisons: Steps) -> Settled:
    """Looks at all atoms of the issued Allows; raises BudgetError when that takes too many comparisons."""
    covers: list[Cover] = []
    pending: list[Atom] = []
    index, size = ceiling.index, len(ceiling.statements)
    for number, statement in issued.allows:
        for action in (None,) if statement.not_action else statement.actions:
            comparisons.take(size if action is None else action.cost * size // 8)
            reach = _concerned_by_rest(statement, ceiling) if action is None else index.concerned(action)
            denies = _counting(reach.denies, issued) if reach.denies else ()
            for resource in (None,) if statement.not_resource else statement.resources:
                covered_by = _covering(statement, resource, reach, denies, comparisons)
                if covered_by is None:
                    pending.append(Atom(number, statement, action, resource))
                elif action is not None and resource is not None:
                    covers.append(Cover(number, action.text, resource.text, (covered_by,)))
                else:
                    atom = Atom(number, statement, action, resource)
                    covers.append(Cover(number, atom.action_text, atom.resource_text, (covered_by,)))
    return Settled(covers, pending)


def _counting(denies: Sequence[Numbered], issued: Document) -> Sequence[Statement]:
    """Leaves out a Deny that the issued document repeats as it is: it takes nothing away from the proof."""
    repeated = [each for each in issued.statements if each.effect is Effect.DENY]
    return [each.statement for each in denies if each.statement not in repeated]


def _covering(
    statement: Statement,
    resource: ResourcePattern | None,
    reach: Concerned,
    denies: Sequence[Statement],
    comparisons: Steps,
) -> int | None:
    """Returns the number of a ceiling Allow that holds the part, None when there is none or a Deny may touch it.

    An Allow counts only when each of its conditions is one of the issued statement's, or implied by one.
    """
    if resource is None:
        if not all(_spares_rest(statement, each) for each in denies):
            return None
        near: Sequence[Numbered] = [each for each in reach.allows if _holds_rest(statement, each.statement)]
    else:
        near = reach.allows_on(resource)
        comparisons.take(resource.cost * _patterns(near, denies))
        if denies and any(each.touches_resource(resource) for each in denies):
            return None
    for each in near:
        held = each.statement
        if (resource is None or held.holds_resource(resource)) and (
            not held.conditions or implied(statement.conditions, held.conditions)
        ):
            return each.number
    return None


def _patterns(allows: Sequence[Numbered], denies: Sequence[Statement]) -> int:
    """Counts the resources that one is held against."""
    count = sum([len(deny.resources) for deny in denies]) if denies else 0
    for allow in allows:
        count += allow.width
    return count


def _concerned_by_rest(statement: Statement, ceiling: Document) -> Concerned:
    """Does for `NotAction` what `Document.concerned` does for one pattern."""
    every = ceiling.index.every
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
