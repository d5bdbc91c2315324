"""Whether the session policy of a grant still lies within the ceilings of today."""

from remit_server.application.planning.ceilings import Ceilings
from remit_server.application.planning.choosing import EXACT, FAST
from remit_server.application.planning.plan_session import Undetermined
from remit_server.domain.errors import Denied, Reason
from remit_server.domain.grant import Grant
from remit_server.iam import Budget, Counterexample, Document, Undecided, contains_all


def recorded_policy(grant: Grant) -> Document:
    """Reads back the very text that the grant's record holds and STS gets again."""
    return Document.parse(grant.session_policy, authored=True)


def still_within(document: Document, role_arn: str, ceilings: Ceilings, budget: Budget = EXACT) -> None:
    """Proves a recorded session policy on today's ceilings of its role.

    Raises Denied(GRANT_NOT_LIVE) when they have become narrower. With the fast budget it raises Undetermined instead
    where it has no proof: only the exact path says no.
    """
    changed = Denied(Reason.GRANT_NOT_LIVE, "the role's ceiling has changed since: ask with a new request_id")
    if not ceilings.knows(role_arn) or any(ceilings.forbidden(role_arn, each) for each in document.statements):
        raise changed
    proof = contains_all(document, ceilings.documents(role_arn), budget=budget)
    if isinstance(proof, Counterexample | Undecided):
        raise Undetermined if budget is FAST else changed
