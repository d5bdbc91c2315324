"""The shortest equal form of a policy that is found, and proposals to split one that stays too long."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from remit_server.iam.containment.proving import DEFAULT_BUDGET, contains
from remit_server.iam.containment.verdict import Budget, Purse, Witness
from remit_server.iam.issuing.guards import guarded, is_bound
from remit_server.iam.issuing.merging import Fact, facts_of, fewest, groupings, in_order, taken_apart
from remit_server.iam.language.condition import Condition
from remit_server.iam.language.conjunction import by_value
from remit_server.iam.language.document import Document
from remit_server.iam.language.statement import Effect, Statement

# No more statements than these have room in a session policy: the shortest takes 48 characters.
_MOST_GIVEN = 64
MOST_PARTS = 24
"""Into how many requests a split is proposed, at the most; finding that out measures fewer than twice as many."""
LIMIT = 2048
"""Characters that STS takes as session policies. Source: STS API reference, AssumeRole, `Policy`."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """A document of the same access, its canonical text, the text's length, and whether that is in the limit."""

    document: Document
    text: str
    size: int
    fits: bool


def compact(document: Document, limit: int = LIMIT) -> Compacted:
    """Returns the shortest form found that allows and denies the same: never wider, never narrower.

    Allows are merged; a merged form is used only when it and the original are proven to contain each other.
    Where the other Denies are the guards of the Allows, they are built again for the merged Allows; else they
    stay, each once. Bounds stay.
    """
    allows = [each for each in document.statements if each.effect is Effect.ALLOW]
    denies = list(dict.fromkeys(each for each in document.statements if each.effect is Effect.DENY))
    if not allows or any(each.not_action or each.not_resource for each in allows):
        return _measured(Document((*allows, *denies)), limit)
    bounds = [each for each in denies if is_bound(each)]
    others = [each for each in denies if not is_bound(each)]
    guard = bool(others) and set(others) == set(guarded(allows)[0])
    facts = facts_of(allows)
    for form in ranked_forms(allows, [*others, *bounds] if not guard else bounds, guard=guard):
        if is_same(form, facts):
            return _measured(form.document, limit)
    return _measured(document, limit)


@dataclass(frozen=True, slots=True)
class Form:
    """One way to write Allows, in the document it makes with its Denies.

    `by_construction` says that the Allows hold just the facts of the given ones; else they are not yet proven equal.
    """

    allows: tuple[Statement, ...]
    document: Document
    unguarded: tuple[Condition, ...]
    by_construction: bool


def ranked_forms(allows: Sequence[Statement], also: Sequence[Statement], *, guard: bool = True) -> list[Form]:
    """Lists ways to write the Allows, best first: most guarded, then shortest. `also` ends each document.

    Unguarded conditions count first, because a form with fewer guards is shorter. The Allows as they are given are
    among them where they could be better than merged ones: in larger pieces, guarded more fully, or surely equal.
    """
    return ranked_forms_of(facts_of(allows), also, guard=guard, given=allows)


def ranked_forms_of(
    facts: Sequence[Fact],
    also: Sequence[Statement],
    *,
    guard: bool = True,
    given: Sequence[Statement] | None = None,
) -> list[Form]:
    """Does as `ranked_forms` for the facts of Allows; where none are given, each fact is one."""
    ordered = in_order(facts)
    fewer = fewest(ordered)
    unchanged = fewer == ordered or set(taken_apart(fewer)) == set(taken_apart(facts))
    written = groupings(fewer)
    forms = [_form(statements, also, guard=guard, by_construction=unchanged) for statements in written]
    pieces = len(facts) if given is None else len(given)
    if pieces <= _MOST_GIVEN and (len(facts) > pieces or not unchanged or any(form.unguarded for form in forms)):
        as_given = tuple([fact.statement for fact in facts] if given is None else given)
        if as_given not in written:
            forms.append(_form(as_given, also, guard=guard, by_construction=True))
    return sorted(forms, key=lambda form: (len(form.unguarded), len(form.document.text))) if len(forms) > 1 else forms


def _form(allows: tuple[Statement, ...], also: Sequence[Statement], *, guard: bool, by_construction: bool) -> Form:
    guards, unguarded = guarded(allows) if guard else ((), ())
    return Form(allows, Document((*allows, *guards, *also)), unguarded, by_construction)


def least_size_over(limit: int, facts: Sequence[Fact]) -> int | None:
    """Counts the characters that no way to write the facts can do without, each name once, if over the limit."""
    if _size_of_names(facts) <= limit:
        return None
    least = _size_of_names(fewest(in_order(facts)))
    return least if least > limit else None


def _size_of_names(facts: Sequence[Fact]) -> int:
    names = {fact.action.text for fact in facts} | {fact.resource.text for fact in facts}
    values = {value for fact in facts for condition in fact.conditions for value in condition.values}
    return len("".join((*names, *values))) + 2 * (len(names) + len(values))


def is_same(form: Form, facts: Sequence[Fact], budget: Budget | Purse = DEFAULT_BUDGET) -> bool:
    """Says whether the form is known to allow the same as the facts it was made of: each contains the other."""
    if form.by_construction:
        return True
    one, other = (
        Document(tuple(fact.statement for fact in taken_apart(each))) for each in (facts_of(form.allows), facts)
    )
    narrower = isinstance(contains(one, other, budget=budget), Witness)
    return narrower and isinstance(contains(other, one, budget=budget), Witness)


def split(
    document: Document, limit: int = LIMIT, *, size: Callable[[Document], int] | None = None
) -> tuple[Document, ...]:
    """Proposes smaller intents that together allow what the document does, each fitting in the limit.

    The parts keep the order of the statements, so that what was asked for together stays together. `size`
    measures what a part becomes (by default, its own compact text). Proposes nothing where `parted` finds nothing.
    """
    measure = size or (lambda part: compact(part).size)
    return (document,) if measure(document) <= limit else parted(document, limit, measure).parts


@dataclass(frozen=True, slots=True)
class Parted:
    """Holds the parts that fit, or none; and then the one permission that does not fit alone, if that is why."""

    parts: tuple[Document, ...]
    too_long: Document | None = None


def parted(too_large: Document, limit: int, measure: Callable[[Document], int]) -> Parted:
    """Takes apart what does not fit into parts that do, at most MOST_PARTS of them."""
    fitting: list[Document] = []
    pending = [too_large]
    while pending:
        part = pending.pop()
        if part is not too_large and measure(part) <= limit:
            fitting.append(part)
            continue
        halves = _halves(part)
        if not halves:
            return Parted((), part)
        pending += reversed(halves)
        if len(fitting) + len(pending) > MOST_PARTS:
            return Parted(())
    return Parted(tuple(fitting))


def _halves(document: Document) -> tuple[Document, ...]:
    pieces = list(document.statements)
    if len(pieces) == 1:
        pieces = _pieces(pieces[0])
    middle = len(pieces) // 2
    return (Document(tuple(pieces[:middle])), Document(tuple(pieces[middle:]))) if middle else ()


def _pieces(statement: Statement) -> list[Statement]:
    """Takes one statement apart by resource, or by condition value, or by action."""
    by_resource = [replace(statement, resources=(resource,)) for resource in statement.resources]
    values = [replace(statement, conditions=conditions) for conditions in by_value(statement.conditions)]
    by_action = [replace(statement, actions=(action,)) for action in statement.actions]
    return next((pieces for pieces in (by_resource, values, by_action) if len(pieces) > 1), [statement])


def _measured(document: Document, limit: int) -> Compacted:
    size = len(document.text)
    return Compacted(document, document.text, size, fits=size <= limit)
