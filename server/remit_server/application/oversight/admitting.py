"""The door of the security side: only operators come in, each for its own calls, and what they send is on record."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass

from remit_server.application.admission import Budget, Places, Rejections
from remit_server.application.oversight.ports import AuthenticateOperator, Records, RevokeOf
from remit_server.domain.errors import Denied, InvalidRequest, Reason, Refusal, told_of
from remit_server.domain.identity import Caller
from remit_server.domain.lifecycle_records import OperatorCalled
from remit_server.domain.operator import Operator


@dataclass(frozen=True, slots=True)
class AdmittedOperator:
    """An operator that was let in."""

    operator: Operator

    @property
    def caller_id(self) -> str:
        """Who it is, by the one name that its calls are counted under; no agent has the name of an operator."""
        return self.operator.name


@dataclass(frozen=True, slots=True)
class OperatorAdmission:
    """Lets operators in before anything they send is looked at, to the methods of one service.

    Methods in `streams` last, so they have places of their own.
    """

    service: str
    authenticate: AuthenticateOperator
    revoke_of: RevokeOf
    rejections: Rejections
    records: Records
    budget: Budget
    places: Places
    stream_places: Places
    streams: frozenset[str] = frozenset()

    @asynccontextmanager
    async def __call__(self, caller: Caller, method: str, /) -> AsyncIterator[AdmittedOperator]:
        """Admits the operator for the time of the block, for one call of its budget and one of its places.

        Raises Denied(ACTOR_REJECTED), Denied(NOT_AUTHORIZED) for an agent, Outage(ISSUER_UNAVAILABLE),
        Outage(LEDGER_UNAVAILABLE), Outage(RATE_LIMITED) or Outage(OVERLOADED), each counted.
        """
        with ExitStack() as held:
            try:
                operator = await self.authenticate(caller)
                self.budget.spend(operator.name)
                await self._check_not_revoked(operator)
                places = self.stream_places if method in self.streams else self.places
                held.enter_context(places(operator.name))
            except Exception as error:
                self.rejections.count(caller.peer, told_of(error).reason)
                raise
            yield AdmittedOperator(operator)

    async def _check_not_revoked(self, operator: Operator) -> None:
        """Raises Denied(ACTOR_REJECTED) for whoever is blocked or was revoked since."""
        if refused := await self.revoke_of(operator):
            message = "this operator is blocked, or was revoked after this token was issued: sign in again"
            raise Denied(Reason.ACTOR_REJECTED, message, Refusal(refused.remedy)) from refused

    @asynccontextmanager
    async def reading(self, admitted: AdmittedOperator, method: str, /) -> AsyncIterator[None]:
        """Puts on record that an operator sent what the block cannot read: it raises InvalidRequest."""
        try:
            yield
        except InvalidRequest as invalid:
            rpc = f"{self.service}.{method}"
            await self.records.record(
                called(admitted.operator, rpc, reason=invalid.reason.value, about=invalid.message)
            )
            raise


def called(
    operator: Operator, rpc: str, *, allowed: bool = False, reason: str = "", revision: str = "", about: str = ""
) -> OperatorCalled:
    """Returns the record of an operator's call."""
    return OperatorCalled(
        method=rpc,
        caller_issuer=operator.issuer,
        caller_id=operator.subject,
        peer=operator.peer,
        allowed=allowed,
        reason=reason,
        policy_revision=revision,
        about=about,
    )
