"""Two documents rewritten, without changing what they mean, so that conditions which imply others look equal.

Containment takes conditions as opaque. That is sound, but cannot see that `s3:prefix like [a/b/*]` lies inside
`s3:prefix like [a/*]`, that two values are two alternatives, or that a Deny under the negated condition puts the
condition on an Allow. Here such facts are written out as statements; nothing is taken as proven by itself.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from remit_server.iam.containment.lifting import has_one_value, left_by, lifting
from remit_server.iam.containment.values import Taken, lies_in, takes_nothing_empty
from remit_server.iam.language.automaton import VARIABLE, BudgetError, Steps
from remit_server.iam.language.condition import Condition
from remit_server.iam.language.conjunction import by_value
from remit_server.iam.language.document import Document
from remit_server.iam.language.negation import negated
from remit_server.iam.language.statement import Effect, Statement

_MOST_STATEMENTS = 400
_MOST_COPIES = 20_000
_MOST_LIFTED = 50_000


@dataclass(frozen=True, slots=True)
class WrittenOut:
    """Both documents with their implied statements, and each statement's number in the original."""

    issued: Document
    issued_numbers: tuple[int, ...]
    ceiling: Document
    ceiling_numbers: tuple[int, ...]


def written_out(issued: Document, ceiling: Document) -> WrittenOut | None:
    """Writes out what conditions imply in both documents; None when there is nothing to write out, or too much.

    Each side allows exactly what it allowed before: an issued Allow is replaced by its alternatives, with the
    conditions that its own document's Denies put on it, on what they leave; a ceiling Allow gets copies under
    stronger conditions.
    """
    if sum(_alternatives_of(each) for each in issued.statements) > _MOST_STATEMENTS:
        return None
    pieces = _pieces(issued)
    if pieces is None:
        return None
    wanted = {piece.conditions for _, piece in pieces if piece.effect is Effect.ALLOW and piece.conditions}
    if len(wanted) * len(ceiling.statements) > _MOST_COPIES:
        return None
    allowed = [(number, piece) for number, each in enumerate(ceiling.statements) for piece in _copies(each, wanted)]
    same = len(pieces) == len(issued.statements) and len(allowed) == len(ceiling.statements)
    unchanged = same and all(piece == issued.statements[number] for number, piece in pieces)
    if unchanged or len(pieces) + len(allowed) > _MOST_STATEMENTS + len(ceiling.statements):
        return None
    return WrittenOut(
        Document(tuple(piece for _, piece in pieces)),
        tuple(number for number, _ in pieces),
        Document(tuple(piece for _, piece in allowed)),
        tuple(number for number, _ in allowed),
    )


def implied(conditions: Sequence[Condition], others: Iterable[Condition]) -> bool:
    """Says whether each of the others holds wherever all the conditions do; True only when proven."""
    return all(other in conditions or any(implies(one, other) for one in conditions) for other in others)


def excludes(conditions: Sequence[Condition], others: Iterable[Condition]) -> bool:
    """Says whether the others never all hold where all the conditions do; True only when proven."""
    return any(_opposes(conditions, other) for other in others)


def _opposes(conditions: Sequence[Condition], other: Condition) -> bool:
    # NOTE: of a key with several values AWS does not say what an operator without a qualifier leaves to its opposite.
    if ":" not in other.operator and not has_one_value(other.folded_key):
        return False
    opposite = negated(other)
    return opposite is not None and implied(conditions, opposite)


def implies(condition: Condition, other: Condition) -> bool:
    """Says whether the other condition holds wherever this one does; True only when proven, see docs/conditions.md."""
    if condition == other:
        return True
    if condition.folded_key != other.folded_key:
        return False
    if any(VARIABLE in value for value in (*condition.values, *other.values)):
        return False
    if other.operator == "Null":
        return _is_not_null(other) and _wants_the_key(condition)
    if condition.operator == "Null":
        return _folded(condition.values) == {"true"} and _Parts.of(other).holds_without_key
    return _follows(_Parts.of(condition), _Parts.of(other), condition.folded_key)


@dataclass(frozen=True, slots=True)
class _Parts:
    """A condition taken apart: how many of the key's values it asks about, which it takes, and a missing key."""

    qualifier: str
    taken: Taken
    optional: bool

    @classmethod
    def of(cls, condition: Condition) -> "_Parts":
        qualifier, _, name = condition.operator.rpartition(":")
        base = name.removesuffix("IfExists")
        return cls(qualifier, Taken(base, condition.values), base != name)

    @property
    def holds_without_key(self) -> bool:
        return self.optional or self.qualifier == "ForAllValues" or (self.taken.is_negative and not self.qualifier)


def _follows(one: _Parts, other: _Parts, key: str) -> bool:
    """Says whether the other follows from the one, for requests without the key and with any values of it."""
    if one.qualifier != other.qualifier or (one.holds_without_key and not other.holds_without_key):
        return False
    # NOTE: without a qualifier one value that fits does for a positive operator; for a negative one none may fit.
    alike = bool(one.qualifier) or one.taken.is_negative is other.taken.is_negative or has_one_value(key)
    return alike and lies_in(one.taken, other.taken)


def _is_not_null(condition: Condition) -> bool:
    return _folded(condition.values) == {"false"}


def _wants_the_key(condition: Condition) -> bool:
    """Says whether the condition holds only where its key is there and has a value."""
    if condition.operator == "Null":
        return _is_not_null(condition)
    parts = _Parts.of(condition)
    return not parts.holds_without_key and takes_nothing_empty(parts.taken)


def _folded(values: Iterable[str]) -> set[str]:
    return {value.lower() for value in values}


def _alternatives_of(statement: Statement) -> int:
    """Counts, without listing them, into how many alternatives a statement may be taken apart."""
    return math.prod(len(condition.values) for condition in statement.conditions)


def _pieces(issued: Document) -> list[tuple[int, Statement]] | None:
    """Lists the alternatives with the number of their statement; None where finding them takes too many steps."""
    denials, steps = lifting(issued.statements), Steps(_MOST_LIFTED)
    try:
        return [
            (number, piece)
            for number, each in enumerate(issued.statements)
            for piece in _alternatives(each, denials, steps)
        ]
    except BudgetError:
        return None


def _alternatives(statement: Statement, denials: Sequence[Statement], steps: Steps) -> list[Statement]:
    if statement.effect is Effect.DENY or statement.not_action or statement.not_resource:
        return [statement]
    return [
        Statement(Effect.ALLOW, left.actions, left.resources, conditions)
        for left in left_by(denials, statement, steps)
        for conditions in by_value(left.conditions)
    ]


def _copies(statement: Statement, wanted: Iterable[tuple[Condition, ...]]) -> list[Statement]:
    """Lists a ceiling statement, and an Allow also under each set of stronger conditions that is asked for."""
    if statement.effect is Effect.DENY or not statement.conditions:
        return [statement]
    found = {statement.conditions: None}
    for conditions in wanted:
        stronger = tuple(next((one for one in conditions if implies(one, each)), None) for each in statement.conditions)
        if None not in stronger:
            found[tuple(dict.fromkeys(one for one in stronger if one is not None))] = None
    return [
        Statement(
            Effect.ALLOW,
            statement.actions,
            statement.resources,
            conditions,
            not_action=statement.not_action,
            not_resource=statement.not_resource,
        )
        for conditions in found
    ]
