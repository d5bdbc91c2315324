"""A session policy within another one: what of the outer one it takes over, and the proof that it lies within.

What a gateway writes for STS is plain Allows, their guards, and bounds. Guards never deny what their Allows allow, but
containment takes conditions as opaque and cannot know that; and it cannot know that what ends earlier ends first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from remit_server.iam.containment.proving import DEFAULT_BUDGET, contains
from remit_server.iam.containment.verdict import Budget, Counterexample, Purse, Undecided, Witness
from remit_server.iam.issuing.cells import DIRECT_CALL
from remit_server.iam.issuing.dense.reading import listed
from remit_server.iam.issuing.guards import is_bound, is_end, without_end
from remit_server.iam.language.document import Document
from remit_server.iam.language.statement import Effect, Statement

_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Bounds:
    """Holds from which networks and VPCs alone a session works; empty where that is not bound."""

    source_cidrs: tuple[str, ...] = ()
    vpc_ids: tuple[str, ...] = ()


def allows_of(session: Document) -> Document:
    """Returns the permissions that a session policy is made of, also where it is written densely."""
    return Document(listed(session.statements))


def bounds_of(session: Document) -> Bounds:
    """Returns where a session works, as its bounds say; a bound of another form is left to the proof."""
    found = {
        condition.operator: condition.values
        for each in session.statements
        if is_bound(each)
        for condition in each.conditions
    }
    return Bounds(found.get("NotIpAddressIfExists", ()), found.get("StringNotEqualsIfExists", ()))


def condition_guards_on(session: Document, allows: Document) -> tuple[Statement, ...]:
    """Returns the Denies of a session policy that guard conditions on anything that these Allows are about."""
    return tuple(
        each
        for each in session.statements
        if each.effect is Effect.DENY
        and not is_bound(each)
        and each.conditions not in {(), (DIRECT_CALL,)}
        and any(_meet(each, allow) for allow in allows.statements)
    )


def end_of(session: Document) -> datetime | None:
    """Returns when a session policy begins to deny everything, None where it does not.

    Raises ValueError for an end that cannot be read.
    """
    ends = [
        datetime.strptime(value, _TIME).replace(tzinfo=UTC)
        for each in session.statements
        if is_end(each)
        for value in each.conditions[0].values
    ]
    return min(ends, default=None)


def lies_within(
    inner: Document, outer: Sequence[Document], *, budget: Budget | Purse = DEFAULT_BUDGET
) -> tuple[Witness, ...] | Counterexample | Undecided:
    """Decides whether every request that a session allows is allowed by each of the outer documents, whenever it is.

    An end of an outer document is met by an end that is no later: from then on the inner one allows nothing, and
    before it the outer one allows what it allows without its end. Everything else is for `contains` to prove. The
    first no is the answer and names its document by number; without an outer document nothing lies within.
    """
    if not outer:
        return Undecided("there is nothing to lie within")
    witnesses: list[Witness] = []
    for number, each in enumerate(outer):
        if not _ends_first(inner, each):
            return Undecided("it ends later than what it is to lie within", ceiling=number)
        match contains(inner, without_end(each), budget=budget):
            case Witness() as witness:
                witnesses.append(witness)
            case Counterexample(action, resource, context, statement, stopped_by):
                return Counterexample(action, resource, context, statement, stopped_by, ceiling=number)
            case Undecided(reason):
                return Undecided(reason, ceiling=number)
    return tuple(witnesses)


def _ends_first(inner: Document, outer: Document) -> bool:
    """Says whether the inner document ends no later than the outer one; one that cannot be read does not."""
    try:
        outer_end, inner_end = end_of(outer), end_of(inner)
    except ValueError:
        return False
    return outer_end is None or (inner_end is not None and inner_end <= outer_end)


def _meet(denial: Statement, allow: Statement) -> bool:
    """Says whether a Deny may be about something that an Allow is about; doubt is a yes."""
    return any(denial.touches_action(action) for action in allow.actions) and any(
        denial.touches_resource(resource) for resource in allow.resources
    )
