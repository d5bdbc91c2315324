"""Which role, and which of its entitlements, an intent rests on (4-policy.md, Choosing)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, islice

from remit_server.application.planning.above import GrantAbove
from remit_server.application.planning.ceilings import Ceilings
from remit_server.domain.decision import Allow
from remit_server.domain.entitlement import Entitlement, Role
from remit_server.domain.errors import Outage, Reason
from remit_server.iam import (
    COVERING_STEPS,
    Budget,
    Counterexample,
    Covered,
    Document,
    Purse,
    Steps,
    Undecided,
    asked_facts,
    conditioned,
    contains,
    contains_all,
    covered,
    narrow_all,
    narrowing_steps,
)

FAST = Budget(permissions=0)
EXACT = Budget()
MOST_COMBINATIONS = 64

ENTITLEMENTS, ROLE_CEILING, FORBIDDEN_FLOOR = "entitlements", "role_ceiling", "forbidden_floor"
PARENT_TASK = "parent_task"
RULES = (ENTITLEMENTS, ROLE_CEILING, FORBIDDEN_FLOOR, PARENT_TASK)


@dataclass(frozen=True, slots=True)
class Choice:
    """The role and the fewest entitlements that cover the intent, and the grant above within which it lies, if any."""

    role: Role
    entitlements: tuple[Entitlement, ...]
    above: GrantAbove | None = None
    covered: Covered | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class NoChoice:
    """No single role covers the intent.

    The first thing that stopped each, and the most that the best of them allows.
    """

    stopped: tuple[Counterexample | Undecided, ...]
    offer: Document
    spans_roles: bool


@dataclass(frozen=True, slots=True)
class Candidate:
    """A role with all entitlements that policy allowed on it, and the ceilings they amount to.

    With `above` it is for an agent further down, within that grant.
    """

    role: Role
    entitlements: tuple[Entitlement, ...]
    ceilings: tuple[Document, ...]
    above: GrantAbove | None = None

    def within(self, intent: Document, purse: Purse) -> Document:
        """Returns the intent under the conditions of the grant above; as it is where there is none."""
        return intent if self.above is None else conditioned(intent, [self.above.allows], steps=purse.comparisons)

    @property
    def narrowing(self) -> tuple[Document, ...]:
        """The ceilings in the order in which an intent is narrowed to them: the grant above, which is plain, first."""
        return self.ceilings if self.above is None else (self.above.allows, *self.ceilings[:-1])

    def verdict(self, intent: Document, purse: Purse) -> Counterexample | Undecided | None:
        """Returns what keeps the intent out of this role, or None."""
        within = self.within(intent, purse)
        asked = conditioned(within, [item.document() for item in self.entitlements], steps=purse.comparisons)
        proof = contains_all(asked, self.ceilings, budget=purse)
        return proof if isinstance(proof, Counterexample | Undecided) else None


def candidates(allow: Allow, ceilings: Ceilings) -> tuple[Candidate, ...]:
    """Groups the allowed entitlements by role, in the catalogue's order.

    Raises Outage(POLICY_UNAVAILABLE) for a role that the configuration does not have: such an answer is not to be
    trusted.
    """
    roles = list(dict.fromkeys(item.role_arn for item in allow.entitlements))
    unknown = [arn for arn in roles if not ceilings.knows(arn)]
    if unknown:
        message = "policy names a role that this gateway's configuration does not have: its operator has to mend that"
        raise Outage(Reason.POLICY_UNAVAILABLE, message) from LookupError(", ".join(unknown))
    found = []
    for arn in roles:
        entitlements = tuple(item for item in allow.entitlements if item.role_arn == arn)
        found.append(Candidate(ceilings.role(arn), entitlements, (union(entitlements), *ceilings.documents(arn))))
    return tuple(found)


def candidates_within(found: Sequence[Candidate], above: Sequence[GrantAbove]) -> tuple[Candidate, ...]:
    """Returns each role with each grant above on the same role, in their orders."""
    return tuple(
        replace(one, ceilings=(*one.ceilings, grant.allows), above=grant)
        for one in found
        for grant in above
        if grant.role_arn == one.role.arn
    )


def choose(intent: Document, offered: Sequence[Candidate], budget: Budget) -> Choice | NoChoice:
    """Returns the first role that contains the whole intent, with the fewest entitlements that do.

    All its proofs share the budget: what is not proven when that is used up counts as a no.
    """
    purse = budget.opened()
    stopped: list[Counterexample | Undecided] = []
    for candidate in offered:
        verdict = candidate.verdict(intent, purse)
        if verdict is None:
            few = _fewest(candidate.within(intent, purse), candidate, purse)
            return Choice(candidate.role, few, candidate.above)
        stopped.append(verdict)
        if budget is FAST:
            break  # the exact path will look at all roles again
    offer = Document(()) if budget is FAST else largest_part(intent, offered)
    spans = budget is not FAST and _spans(intent, offered, purse)
    return NoChoice(tuple(stopped), offer, spans)


def evident(intent: Document, offered: Sequence[Candidate]) -> Choice | None:
    """Returns the choice that `choose` makes on the fast path if it makes one, where no proof is needed to tell it.

    That is the only entitlement of the first role, or the first that nobody is asked about of which single statements
    cover all of the intent and add no condition to it. Whether it covers the intent the proof of the session policy
    says; None where it would take more to know which one that is.
    """
    first = offered[0] if offered else None
    if first is None or first.above is not None:
        return None
    asked, steps = asked_facts(intent), Steps(COVERING_STEPS)
    if len(first.entitlements) == 1:
        found = covered(asked, [first.entitlements[0].document()], steps)
        return Choice(first.role, first.entitlements, covered=found)
    free = (item for item in first.entitlements if item.approval is None)
    for item in islice(free, MOST_COMBINATIONS):
        found = covered(asked, [item.document()], steps)
        if found.is_whole:
            return Choice(first.role, (item,), covered=found) if found.is_unchanged else None
    return None


def largest_part(intent: Document, offered: Sequence[Candidate]) -> Document:
    """Returns the most of the intent that one role allows; the first of equals; possibly empty."""
    steps = narrowing_steps()
    parts = [narrow_all(intent, candidate.narrowing, steps=steps) for candidate in offered]
    return max(parts, key=_breadth, default=Document(()))


def union(entitlements: Sequence[Entitlement]) -> Document:
    """Returns the permissions of all the entitlements as one document."""
    if len(entitlements) == 1:
        return entitlements[0].document()
    return Document(tuple(statement for item in entitlements for statement in item.document().statements))


def _fewest(intent: Document, candidate: Candidate, purse: Purse) -> tuple[Entitlement, ...]:
    """Returns the fewest entitlements that cover the intent, out of the first pool that does."""
    if len(candidate.entitlements) == 1:
        return candidate.entitlements  # the verdict was about this one
    for pool in _pools(candidate.entitlements):
        if pool == candidate.entitlements or _covers(intent, pool, purse):
            few = islice(_ever_more(pool), MOST_COMBINATIONS)
            return next((chosen for chosen in few if _covers(intent, chosen, purse)), pool)
    return candidate.entitlements


def _pools(entitlements: tuple[Entitlement, ...]) -> Iterator[tuple[Entitlement, ...]]:
    """Yields what is tried one after the other: what nobody is asked about, then with break-glass, then everything.

    Policy allows break-glass where it is meant; then it must not wait for the approval that it is there to skip.
    """
    free = tuple(item for item in entitlements if item.approval is None)
    at_once = tuple(item for item in entitlements if item.approval is None or item.is_break_glass)
    yield from dict.fromkeys(pool for pool in (free, at_once, entitlements) if pool)


def _covers(intent: Document, chosen: tuple[Entitlement, ...], purse: Purse) -> bool:
    """Says whether these entitlements together are proven to cover the intent."""
    asked = conditioned(intent, [item.document() for item in chosen], steps=purse.comparisons)
    return not isinstance(contains(asked, union(chosen), budget=purse), Counterexample | Undecided)


def _ever_more(pool: tuple[Entitlement, ...]) -> Iterator[tuple[Entitlement, ...]]:
    """Yields single entitlements, pairs, triples, and so on."""
    for size in range(1, len(pool) + 1):
        yield from combinations(pool, size)


def _spans(intent: Document, offered: Sequence[Candidate], purse: Purse) -> bool:
    """Says whether each part of the intent is covered by some role, though no role covers all of it."""
    if len(offered) < 2:  # noqa: PLR2004 - spanning takes two
        return False
    return all(
        any(candidate.verdict(Document((statement,)), purse) is None for candidate in offered)
        for statement in intent.statements
    )


def _breadth(document: Document) -> int:
    """Counts the action and resource pairs of a document."""
    return sum(len(statement.actions) * len(statement.resources) for statement in document.statements)
