"""Whether the session policy of a grant still lies within the ceilings of today."""

from remit_server.application.planning.above import GrantAbove
from remit_server.application.planning.ceilings import Ceilings
from remit_server.application.planning.choosing import EXACT, FAST
from remit_server.application.planning.drafting import Undetermined
from remit_server.domain.errors import Denied, Reason
from remit_server.domain.grant import Grant
from remit_server.iam import Budget, Counterexample, Document, Undecided, contains_all, lies_within


def recorded_policy(grant: Grant) -> Document:
    """Reads back the very text that the grant's record holds and STS gets again."""
    return Document.parse(grant.session_policy, authored=True)


def still_within(
    document: Document, role_arn: str, ceilings: Ceilings, budget: Budget = EXACT, above: GrantAbove | None = None
) -> None:
    """Proves a recorded session policy on today's ceilings of its role, and within the grant above as it is today.

    Raises Denied(GRANT_NOT_LIVE) when they have become narrower. With the fast budget it raises Undetermined instead
    where it has no proof: only the exact path says no.
    """
    changed = Denied(Reason.GRANT_NOT_LIVE, "the role's ceiling has changed since: ask with a new request_id")
    if not ceilings.knows(role_arn) or any(ceilings.forbidden(role_arn, each) for each in document.statements):
        raise changed
    proof = contains_all(document, ceilings.documents(role_arn), budget=budget)
    if isinstance(proof, Counterexample | Undecided):
        raise Undetermined if budget is FAST else changed
    if above is None or not isinstance(
        lies_within(document, [above.document], budget=budget), Counterexample | Undecided
    ):
        return
    less = "the agent above holds less now than this grant gives: ask with a new request_id"
    raise Undetermined if budget is FAST else Denied(Reason.GRANT_NOT_LIVE, less)
