"""From an intent and what covers it to the exact text that STS receives."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from remit_server.iam.containment.proving import DEFAULT_BUDGET, contains
from remit_server.iam.containment.verdict import Purse, Witness
from remit_server.iam.issuing.compaction import LIMIT, is_same, least_size_over, parted, ranked_forms_of
from remit_server.iam.issuing.covering import Covered, Covering, asked_facts, covered
from remit_server.iam.issuing.dense.equality import is_proven_equal
from remit_server.iam.issuing.dense.sealed import SEALING_STEPS, sealed
from remit_server.iam.issuing.dense.widened import widened
from remit_server.iam.issuing.guards import bound_to, is_bound, time_bound
from remit_server.iam.issuing.merging import Fact, fewest, in_order
from remit_server.iam.language.automaton import VARIABLE, Steps
from remit_server.iam.language.condition import Condition
from remit_server.iam.language.document import Document
from remit_server.iam.language.statement import Effect, Statement

_MOST_PARTS = 500
COVERING_STEPS = 20_000
"""What looking for covering statements may cost, in comparisons of patterns and steps of intersections."""
_SOME_END = time_bound(datetime(2000, 1, 1, tzinfo=UTC))


class UnderivableIntent(ValueError):  # noqa: N818 - it names what was found
    """Says why no session policy can be derived: the intent is empty, very long, or more than plain Allows."""


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
        if bound not in reversed(document.statements):  # where it stands last
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
    written = outline(intent, entitlements, source_cidrs=source_cidrs, vpc_ids=vpc_ids, limit=limit)
    return written if isinstance(written, TooLarge) else written.until(end)


def outline(
    intent: Document,
    entitlements: Sequence[Document],
    *,
    source_cidrs: Sequence[str] = (),
    vpc_ids: Sequence[str] = (),
    also: Sequence[Statement] = (),
    limit: int = LIMIT,
    found: Covered | None = None,
    splits: bool = True,
) -> Outline | TooLarge:
    """Does everything of `derive` that does not depend on the end; raises the same.

    `also` are Denies that the policy takes over as they are. They are no bounds and no ends. `found` is what covers
    the intent, where that is known. Without `splits` nothing is proposed of what does not fit, which takes long.
    """
    _check(intent)
    if any(one.effect is Effect.ALLOW or is_bound(one) for one in also):
        raise UnderivableIntent("Only Denies that are no bounds are taken over.")
    bounds = [*also, *_bounds(source_cidrs, vpc_ids)]
    steps, spent = Steps(COVERING_STEPS), _Spent(DEFAULT_BUDGET.opened(), Steps(SEALING_STEPS))
    found = found or covered(asked_facts(intent), entitlements, steps)
    written = _written(found.facts, bounds, limit, spent)
    if isinstance(written, int) and not splits:
        return TooLarge(written, ())
    if isinstance(written, int):
        known = dict(zip(found.asked, found.facts, strict=True))
        split = parted(intent, limit, _Measure(known, entitlements, steps, bounds, limit, spent))
        return TooLarge(written, split.parts, split.too_long)
    document, unguarded = written
    covers = tuple(dict.fromkeys(found.coverings))
    is_authored = VARIABLE in document.text and any(map(_has_variable, entitlements))
    return Outline(document, unguarded, covers, is_authored)


def conditioned(intent: Document, entitlements: Sequence[Document], *, steps: Steps | None = None) -> Document:
    """Returns the intent's Allows, each under the conditions of the entitlement statement that covers it.

    What no single statement covers stays as it is, and so does what is left when the steps are used up
    (COVERING_STEPS, unless some are given). This is what has to be contained in the ceilings.
    """
    return covered(asked_facts(intent), entitlements, steps or Steps(COVERING_STEPS)).document


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


@dataclass(frozen=True, slots=True)
class _Spent:
    """Holds what is left for one deriving, its split included: for proofs, and for writing sealed forms."""

    purse: Purse
    sealing: Steps


def _written(
    facts: Sequence[Fact], bounds: Sequence[Statement], limit: int, spent: _Spent
) -> tuple[Document, tuple[Condition, ...]] | int:
    """Returns the best plain form within the limit, else a dense one, each proven; and what it leaves unguarded.

    Where none is found, or proving it takes too much, returns a size over the limit. A form that leaves more
    conditions unguarded than another is never taken for its size.
    """
    over = least_size_over(limit, facts)
    if over is not None:
        return over
    forms = ranked_forms_of(facts, bounds)
    forms = [form for form in forms if len(form.unguarded) == len(forms[0].unguarded)]
    for form in forms:
        if len(form.document.text) <= limit and is_same(form, facts, spent.purse):
            return form.document, form.unguarded
    for form in forms:
        statements = widened(form.allows)
        document = Document((*(statements or ()), *bounds))
        if statements is not None and len(document.text) <= limit and _is_within(statements, facts, spent.purse):
            return document, form.unguarded
    least = len(forms[0].document.text)
    densest = sealed(fewest(in_order(facts)), spent.sealing)
    if densest is not None and set(densest.unguarded) <= set(forms[0].unguarded):
        document = Document((*densest.statements, *bounds))
        if len(document.text) <= limit and is_proven_equal(densest, facts, spent.purse):
            return document, densest.unguarded
        least = min(least, len(document.text))
    return max(least, limit + 1)


def _is_within(statements: Sequence[Statement], facts: Sequence[Fact], purse: Purse) -> bool:
    allows = Document(tuple([fact.statement for fact in facts]))
    return isinstance(contains(Document(tuple(statements)), allows, budget=purse), Witness)


@dataclass(frozen=True, slots=True)
class _Measure:
    """Measures the session policies of parts of an intent, by what is known to cover its facts."""

    known: dict[Fact, Fact]
    entitlements: Sequence[Document]
    steps: Steps
    bounds: Sequence[Statement]
    limit: int
    spent: _Spent

    def __call__(self, part: Document) -> int:
        """Returns how many characters the session policy of a part has, or one size over the limit."""
        written = _written([self._conditioned(fact) for fact in asked_facts(part)], self.bounds, self.limit, self.spent)
        return written if isinstance(written, int) else len(written[0].text)

    def _conditioned(self, fact: Fact) -> Fact:
        if fact not in self.known:
            (self.known[fact],) = covered([fact], self.entitlements, self.steps).facts
        return self.known[fact]


def _has_variable(document: Document) -> bool:
    return any(
        VARIABLE in value
        for statement in document.statements
        for condition in statement.conditions
        for value in condition.values
    )
