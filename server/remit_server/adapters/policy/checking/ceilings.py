"""Entitlements held against the ceilings of the gateway that is to serve them, by the algebra that will judge them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from remit_server.adapters.policy.checking.places import Catalogue, Told
from remit_server.adapters.policy.checking.proofs import Proofs, permissions_key
from remit_server.adapters.strict_fields import Where
from remit_server.application.planning.ceilings import Ceilings
from remit_server.iam import (
    Budget,
    Counterexample,
    Document,
    Effect,
    ResourcePattern,
    Statement,
    Undecided,
    Witness,
    contains_all,
)

_BUDGET: Final = Budget()
_WHOLE: Final = "As far as it is outside it is never issued: write what the role may do, or widen the role"


def ceiling_findings(catalogue: Catalogue, ceilings: Ceilings, proofs: Proofs) -> Iterator[Told]:
    """Yields roles that are not configured, and what of an entitlement its role's credentials can never hold."""
    for number, arn in enumerate(catalogue.roles):
        if not ceilings.knows(arn):
            problem = f"names {arn}, which this gateway's configuration does not have"
            yield ("roles", number), problem, "Add it under [[roles]] with a copy of its own policy", "unknown-role"
    judge = _Judge(ceilings, proofs)
    for name, entry in catalogue.entitlements.items():
        if ceilings.knows(entry["role_arn"]):
            yield from judge.entitlement(entry, ("entitlements", name))


class _Judge:
    """Judges permissions under the ceilings, equal ones of one role only once."""

    def __init__(self, ceilings: Ceilings, proofs: Proofs) -> None:
        self._ceilings = ceilings
        self._proofs = proofs
        self._known: dict[tuple[str, str], tuple[str, bool, bool] | None] = {}

    def entitlement(self, entry: Mapping[str, Any], where: Where) -> Iterator[Told]:
        """Yields what one entitlement gives and its role cannot."""
        arn = entry["role_arn"]
        stopped = [self._stopped(arn, permission) for permission in entry["permissions"]]
        if all(one is not None and one[1] for one in stopped):
            why = next(one[0] for one in stopped if one is not None)
            problem = f"nothing of it lies inside what {_role(arn)} may be used for: {why}"
            yield (*where, "permissions"), problem, "Correct the permissions or the role_arn", "outside-ceiling"
        else:
            for number, one in enumerate(stopped):
                if one is not None:
                    rule = "ceiling-unproven" if one[2] else "partly-outside-ceiling"
                    part = "nothing of it" if one[1] else "not all of it"
                    mend = "Write it more simply" if one[2] else _WHOLE
                    problem = f"{part} is proven to lie" if one[2] else f"{part} lies"
                    problem = f"{problem} inside what {_role(arn)} may be used for: {one[0]}"
                    yield (*where, "permissions", number), problem, mend, rule
        longest = int(self._ceilings.role(arn).max_session.total_seconds())
        if entry["max_credential_seconds"] > longest:
            problem = f"is {entry['max_credential_seconds']}, and sessions of {_role(arn)} last {longest} at most"
            yield (*where, "max_credential_seconds"), problem, f"Write at most {longest}", "role-lifetime"

    def _stopped(self, arn: str, permission: Mapping[str, Any]) -> tuple[str, bool, bool] | None:
        """Returns what stops a permission, whether that is all of it, and whether it only lacks a proof; or None."""
        key = arn, permissions_key([permission])
        if key not in self._known:
            self._known[key] = self._judged(arn, self._proofs.document([permission]))
        return self._known[key]

    def _judged(self, arn: str, document: Document) -> tuple[str, bool, bool] | None:
        """Judges one permission."""
        (statement,) = document.statements
        documents = self._ceilings.documents(arn)
        forbidden = self._ceilings.forbidden(arn, statement)
        proof = _proof(document, documents)
        nothing = not _may_be_issued(statement, documents)
        match proof:
            case Counterexample():
                return _spelled(proof, arn, statement), nothing, False
            case Undecided(reason=reason):
                return reason, nothing, not nothing
            case _:
                return (f"{forbidden} is on the forbidden floor", False, False) if forbidden else None


def _proof(document: Document, ceilings: Sequence[Document]) -> tuple[Witness, ...] | Counterexample | Undecided:
    """Decides containment of one permission.

    Statements that cannot be about any of it are left out, for a policy variable in one leaves every answer open. What
    is still open is asked once more of ceilings whose variables are read as `*`: what those do not hold, none does.
    """
    (statement,) = document.statements
    near = [Document(tuple(_near(ceiling, statement))) for ceiling in ceilings]
    proof = contains_all(document, near, budget=_BUDGET)
    if isinstance(proof, Undecided):
        widest = [Document(tuple(_widened(ceiling))) for ceiling in near]
        again = contains_all(document, widest, budget=_BUDGET)
        return again if isinstance(again, Counterexample) else proof
    return proof


def _near(ceiling: Document, permission: Statement) -> Iterator[Statement]:
    """Yields the statements that may be about some of a permission."""
    for one in ceiling.statements:
        if any(map(one.touches_action, permission.actions)) and any(map(one.touches_resource, permission.resources)):
            yield one


def _widened(ceiling: Document) -> Iterator[Statement]:
    """Yields the most that a ceiling can mean, whatever its policy variables stand for."""
    for one in ceiling.statements:
        if not any(resource.has_variables for resource in one.resources):
            yield one
        elif one.effect is Effect.ALLOW:
            resources = (_ANYTHING,) if one.not_resource else tuple(each.widened() for each in one.resources)
            yield replace(one, resources=resources, not_resource=False)


_ANYTHING: Final = ResourcePattern.parse("*")


def _may_be_issued(statement: Statement, documents: Sequence[Document]) -> bool:
    """Says whether something of a permission may lie inside every document; doubt is a yes."""
    return any(
        all(_may_hold(document, Statement(Effect.ALLOW, (action,), (resource,))) for document in documents)
        for action in statement.actions
        for resource in statement.resources
    )


def _may_hold(document: Document, cell: Statement) -> bool:
    """Says whether an Allow may be about some of a cell that no unconditional Deny takes away as a whole."""
    (action,), (resource,) = cell.actions, cell.resources
    allowed = any(
        one.effect is Effect.ALLOW and one.touches_action(action) and one.touches_resource(resource)
        for one in document.statements
    )
    denied = any(
        one.effect is Effect.DENY and not one.conditions and one.holds_action(action) and one.holds_resource(resource)
        for one in document.statements
    )
    return allowed and not denied


def _spelled(found: Counterexample, arn: str, statement: Statement) -> str:
    """Returns a counterexample as a sentence: this action on this resource, and what stopped it."""
    ceiling = f"the ceiling of {_role(arn)}" if found.ceiling == 0 else "the forbidden floor"
    context = ", ".join(f"{condition} {holds}" for condition, holds in found.context)
    where = f" where {context}" if context else ""
    # The proof compares actions in lower case; their author reads them as they were written.
    written = {str(action).lower(): str(action) for action in statement.actions if action.is_literal}
    action = written.get(found.action, found.action)
    return f"{action} on {found.resource}{where} is stopped by {ceiling} ({found.stopped_by})"


def _role(arn: str) -> str:
    """Returns a role's name."""
    return arn.rpartition("/")[2]
