"""Gateways that break I4 on purpose: a sweep that does not catch them proves nothing."""

from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from typing import Any, Final

from tests.crash.gateway import Gateway

from remit_server.application.issuing.flights import Flights
from remit_server.application.issuing.handing_out import Issued
from remit_server.application.issuing.issue_credentials import IssueCredentials
from remit_server.domain.credentials import StsSession
from remit_server.domain.grant import Grant

_never_given_back: Final[list[Any]] = []


class RepliesInFinally(IssueCredentials):
    """Hands the credentials out whatever became of their record."""

    async def _issued(self, grant: Grant, case: Any, key: Any, *, repeated: bool = False) -> Issued:
        made: list[StsSession] = []

        async def keeping(order: Any, /, *, deadline: float) -> StsSession:
            made.append(await self.assume_role(order, deadline=deadline))
            return made[-1]

        plain = IssueCredentials(
            **{one.name: getattr(self, one.name) for one in fields(self)} | {"assume_role": keeping}
        )
        try:
            return await plain._issued(grant, case, key, repeated=repeated)
        finally:
            if made:
                return Issued(grant, made[-1].credentials)  # noqa: B012 - the mistake that is to be caught


class KeepsFlights(Flights):
    """Gives a request back only when all went well."""

    @asynccontextmanager
    async def __call__(self, actor_id: str, request_id: str) -> Any:
        flights: Any = super().__call__(actor_id, request_id)
        _never_given_back.append(flights)
        await flights.__aenter__()
        yield
        await flights.__aexit__(None, None, None)


class CallsItFailed:
    """Says of every issuance that did not come about that there are no credentials (a ledger)."""

    def __init__(self, ledger: Any) -> None:
        self._ledger = ledger

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._ledger, verb)

    async def fail(self, grant_id: Any, record: Any, /, *, credentials_may_exist: bool, refusal: Any) -> None:
        """Does not say that there may be some."""
        del credentials_may_exist
        record = replace(record, state="FAILED")
        await self._ledger.fail(grant_id, record, credentials_may_exist=False, refusal=refusal)


def _replies_in_finally(gateway: Gateway) -> Gateway:
    parts = {one.name: getattr(gateway.issue, one.name) for one in fields(gateway.issue)}
    gateway.issue = RepliesInFinally(**parts)
    return gateway


def _keeps_flights(gateway: Gateway) -> Gateway:
    gateway.issue = replace(gateway.issue, flights=KeepsFlights())
    return gateway


def _calls_it_failed(gateway: Gateway) -> Gateway:
    ledger: Any = CallsItFailed(gateway.issue.ledger)
    gateway.issue = replace(gateway.issue, ledger=ledger)
    return gateway


# Each with the points at which it shows, and what is then told.
MUTANTS: Final[Mapping[str, tuple[Callable[[Gateway], Gateway], str, str]]] = {
    "replies in finally": (_replies_in_finally, "before ledger.issue", "credentials left without a record"),
    "keeps its flights": (_keeps_flights, "before ledger.authorize", "a flight of issue is still held"),
    "calls it failed": (_calls_it_failed, "before ledger.issue", "STS made credentials for"),
}
