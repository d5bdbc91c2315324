"""From an intent and what covers it to the exact text that STS receives."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256

from remit_server.iam.containment.implication import implies
from remit_server.iam.containment.proving import contains
from remit_server.iam.containment.verdict import Budget, Purse, Witness
from remit_server.iam.issuing.compaction import LIMIT, is_same, least_size_over, parted, ranked_forms
from remit_server.iam.issuing.dense import dense
from remit_server.iam.issuing.guards import bound_to, is_bound, time_bound
from remit_server.iam.issuing.merging import Fact, facts_of, taken_apart
from remit_server.iam.language.automaton import VARIABLE, BudgetError, Steps
from remit_server.iam.language.condition import Condition
from remit_server.iam.language.conjunction import conjoined
from remit_server.iam.language.document import Document
from remit_server.iam.language.index import Numbered
from remit_server.iam.language.statement import Effect, Statement

_MOST_PARTS = 500
_SOME_END = time_bound(datetime(2000, 1, 1, tzinfo=UTC))
COVERING_STEPS = 20_000
"""What looking for covering statements may cost, in comparisons of patterns and steps of intersections."""


class UnderivableIntent(ValueError):  # noqa: N818 - it names what was found
    """Says why no session policy can be derived: the intent is empty, very long, or more than plain Allows."""


@dataclass(frozen=True, slots=True)
class Covering:
    """Says which statement of which entitlement (both by number) covers an action on a resource of the intent.

    Without numbers no single statement does; containment then decides.
    """

    action: str
    resource: str
    entitlement: int | None
    statement: int | None


@dataclass(frozen=True, slots=True)
class Derived:
    """A session policy ready for STS: the text, and the document read back from exactly that text.

    `unguarded` are conditions that hold back the Allows, but not what a resource policy might add.
    """

    document: Document
    text: str
    sha256: str
    size: int
    unguarded: tuple[Condition, ...]
    covers: tuple[Covering, ...]


@dataclass(frozen=True, slots=True)
class Outline:
    """A session policy but for its end: what derives the same one again, for a later end, without looking again.

    `document` holds `_SOME_END` where the time bound of the end belongs; all ends are of one length. `is_authored` says
    that a policy variable in it came from an entitlement.
    """

    document: Document
    unguarded: tuple[Condition, ...]
    covers: tuple[Covering, ...]
    is_authored: bool

    @property
    def without_end(self) -> str:
        """The text of the policy but for its end: the same whenever it ends."""
        return Document(tuple(each for each in self.document.statements if each is not _SOME_END)).text

    def until(self, end: datetime) -> Derived:
        """Writes the policy that ends then, and reads it back from its text."""
        bound = time_bound(end)
        text = Document(tuple(bound if each is _SOME_END else each for each in self.document.statements)).text
        document = Document.parse(text, authored=self.is_authored)
        if bound not in document.statements:
            raise AssertionError("a session policy has an end")
        digest = sha256(text.encode()).hexdigest()
        return Derived(document, text, digest, len(text), self.unguarded, self.covers)


@dataclass(frozen=True, slots=True)
class TooLarge:
    """No text within the limit was found: the shortest has at least `size` characters, as far as was looked.

    The proposal's intents fit one by one, and together are the intent. There is none where `too_long`, one permission
    of the intent, does not fit alone, nor where there would be very many.
    """

    size: int
    proposal: tuple[Document, ...]
    too_long: Document | None = None


def derive(
    intent: Document,
    entitlements: Sequence[Document],
    *,
    end: datetime,
    source_cidrs: Sequence[str] = (),
    vpc_ids: Sequence[str] = (),
    limit: int = LIMIT,
) -> Derived | TooLarge:
    """Writes the session policy of an intent: its Allows under their entitlements' conditions, guards, bounds.

    Nothing is added to what the intent allows, and nothing is dropped from it; containment in the ceilings is
    proven afterwards, on the returned document. Given both, source networks and VPCs must both be met.
    Raises UnderivableIntent, TooManyOverlapsError (guards), and ValueError for unreadable bounds.
    """
    found = outline(intent, entitlements, source_cidrs=source_cidrs, vpc_ids=vpc_ids, limit=limit)
    return found if isinstance(found, TooLarge) else found.until(end)


def outline(
    intent: Document,
    entitlements: Sequence[Document],
    *,
    source_cidrs: Sequence[str] = (),
    vpc_ids: Sequence[str] = (),
    also: Sequence[Statement] = (),
    limit: int = LIMIT,
) -> Outline | TooLarge:
    """Does everything of `derive` that does not depend on the end; raises the same.

    `also` are Denies that the policy takes over as they are. They are no bounds and no ends.
    """
    _check(intent)
    if any(one.effect is Effect.ALLOW or is_bound(one) for one in also):
        raise UnderivableIntent("Only Denies that are no bounds are taken over.")
    bounds = [*also, *_bounds(source_cidrs, vpc_ids)]
    coverage = _Coverage(entitlements, Steps(COVERING_STEPS))
    covered = coverage.of(intent)
    purse = Budget().opened()
    written = _written([fact.statement for fact, _ in covered], bounds, limit, purse)
    if isinstance(written, int):
        found = parted(intent, limit, partial(_size, coverage, bounds, limit, purse))
        return TooLarge(written, found.parts, found.too_long)
    document, unguarded = written
    covers = tuple(dict.fromkeys(covering for _, covering in covered))
    is_authored = VARIABLE in document.text and any(map(_has_variable, entitlements))
    return Outline(document, unguarded, covers, is_authored)


def conditioned(intent: Document, entitlements: Sequence[Document], *, steps: Steps | None = None) -> Document:
    """Returns the intent's Allows, each under the conditions of the entitlement statement that covers it.

    What no single statement covers stays as it is, and so does what is left when the steps are used up
    (COVERING_STEPS, unless some are given). This is what has to be contained in the ceilings.
    """
    coverage = _Coverage(entitlements, steps or Steps(COVERING_STEPS))
    return Document(tuple(fact.statement for fact, _ in coverage.of(intent)))


def _check(intent: Document) -> None:
    if intent.is_empty:
        raise UnderivableIntent("The intent asks for nothing.")
    if any(one.effect is Effect.DENY or one.not_action or one.not_resource for one in intent.statements):
        raise UnderivableIntent("An intent holds Allows with Action and Resource only.")
    if sum(len(one.actions) * len(one.resources) for one in intent.statements) > _MOST_PARTS:
        raise UnderivableIntent(f"The intent has more than {_MOST_PARTS} pairs of an action and a resource.")


def _bounds(source_cidrs: Sequence[str], vpc_ids: Sequence[str]) -> list[Statement]:
    bounds = [_SOME_END]
    if source_cidrs:
        bounds.append(bound_to(source_cidrs=source_cidrs))
    if vpc_ids:
        bounds.append(bound_to(vpc_ids=vpc_ids))
    return bounds


def _written(
    allows: Sequence[Statement], bounds: Sequence[Statement], limit: int, purse: Purse
) -> tuple[Document, tuple[Condition, ...]] | int:
    """Returns the best plain form within the limit, else a dense one, each proven; and what it leaves unguarded.

    Where none is found, or proving it takes too much, returns a size over the limit. A form that leaves more
    conditions unguarded than another is never taken for its size.
    """
    over = least_size_over(limit, allows)
    if over is not None:
        return over
    forms = ranked_forms(allows, bounds)
    forms = [form for form in forms if len(form.unguarded) == len(forms[0].unguarded)]
    for form in forms:
        if len(form.document.text) <= limit and is_same(form, allows, purse):
            return form.document, form.unguarded
    for form in forms:
        statements = dense(form.allows)
        document = Document((*(statements or ()), *bounds))
        if statements is not None and len(document.text) <= limit and _is_within(statements, allows, purse):
            return document, form.unguarded
    return max(len(forms[0].document.text), limit + 1)


def _is_within(statements: Sequence[Statement], allows: Sequence[Statement], purse: Purse) -> bool:
    return isinstance(contains(Document(tuple(statements)), Document(tuple(allows)), budget=purse), Witness)


def _size(coverage: "_Coverage", bounds: Sequence[Statement], limit: int, purse: Purse, part: Document) -> int:
    written = _written([fact.statement for fact, _ in coverage.of(part)], bounds, limit, purse)
    return written if isinstance(written, int) else len(written[0].text)


@dataclass(frozen=True, slots=True)
class _Coverage:
    """Finds the entitlements' statement that covers a fact, once for each fact, while there are steps left."""

    entitlements: Sequence[Document]
    steps: Steps
    known: dict[Fact, tuple[Fact, Covering]] = field(default_factory=dict)

    def of(self, intent: Document) -> list[tuple[Fact, Covering]]:
        """Goes value by value: the values of a condition may be covered by several statements."""
        return [self._of(fact) for fact in taken_apart(facts_of(intent.statements))]

    def _of(self, fact: Fact) -> tuple[Fact, Covering]:
        known = self.known.get(fact)
        if known is None:
            try:
                known = self._conditioned(fact)
            except BudgetError:
                known = fact, Covering(fact.action.text, fact.resource.text, None, None)
            self.known[fact] = known
        return known

    def _conditioned(self, fact: Fact) -> tuple[Fact, Covering]:
        """Adds the conditions of the covering statement that adds least; none where no single statement covers."""
        best: tuple[int, tuple[Condition, ...], Covering] | None = None
        for number, each in self._holding(fact):
            missing = _missing(fact, each.statement)
            conditions = conjoined(fact.conditions, missing, self.steps) if missing else fact.conditions
            if conditions is None or (best and best[0] <= len(missing)):
                continue
            best = (len(missing), conditions, Covering(fact.action.text, fact.resource.text, number, each.number))
            if not missing:
                return fact, best[2]
        if best is None:
            return fact, Covering(fact.action.text, fact.resource.text, None, None)
        return Fact(fact.action, fact.resource, best[1]), best[2]

    def _holding(self, fact: Fact) -> Iterator[tuple[int, Numbered]]:
        """Yields the statements, with the number of their entitlement, that hold the action and the resource."""
        for number, entitlement in enumerate(self.entitlements):
            self.steps.take(fact.action.cost * len(entitlement.statements) // 8)
            for each in entitlement.concerned(fact.action).allows_on(fact.resource):
                self.steps.take(fact.resource.cost * len(each.statement.resources))
                if each.statement.holds_resource(fact.resource):
                    yield number, each


def _missing(fact: Fact, statement: Statement) -> list[Condition]:
    return [one for one in statement.conditions if not any(implies(mine, one) for mine in fact.conditions)]


def _has_variable(document: Document) -> bool:
    return any(
        VARIABLE in value
        for statement in document.statements
        for condition in statement.conditions
        for value in condition.values
    )
