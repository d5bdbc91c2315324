"""Explains what an earlier request of the same caller came to, out of what the ledger remembers of it."""

from dataclasses import dataclass

from remit_server.application.ports import Ledger
from remit_server.domain.errors import Denied, Reason
from remit_server.domain.grant import Grant
from remit_server.domain.identity import Admitted

METHOD = "GetDecision"


@dataclass(frozen=True, slots=True)
class RecallDecision:
    """Looks a request up by actor and request_id: nobody hears of another agent's."""

    ledger: Ledger

    async def __call__(self, by: Admitted, request_id: str) -> Grant | Denied:
        """Returns the grant as it stands now, or the refusal; raises Denied(NOT_FOUND) for what is not remembered."""
        found = await self.ledger.remembered(by.actor.actor_id, request_id)
        outcome = None if found is None else found.refusal or found.grant
        if outcome is None:
            message = "nothing is remembered of this request of this agent: outages and malformed requests are not kept"
            raise Denied(Reason.NOT_FOUND, message)
        return outcome
