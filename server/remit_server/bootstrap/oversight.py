"""Wires the security side: who its operators are, what they may, and the services that they call."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from remit_server.adapters.database.ledger import DatabaseLedger
from remit_server.adapters.database.reading.grant_shelf import DatabaseGrants
from remit_server.adapters.database.reading.own_reader import own_reader
from remit_server.adapters.database.revoking.revocations import DatabaseRevocations
from remit_server.adapters.database.revoking.revoked_operators import RevokedOperators
from remit_server.adapters.database.trail import audit_log
from remit_server.adapters.database.trail.trail import DatabaseTrail
from remit_server.adapters.identity.oidc import TrustedIssuer
from remit_server.adapters.identity.operators import OperatorAuthentication, operators_verifier
from remit_server.adapters.identity.spiffe import SpiffeVerifier
from remit_server.adapters.system_clock import SystemClock, system_entropy
from remit_server.application.admission import Budget, Places, Rejections
from remit_server.application.oversight.admitting import OperatorAdmission
from remit_server.application.oversight.authorizing import Authorize
from remit_server.application.oversight.known_names import KnownNames
from remit_server.application.oversight.ports import AdminPolicy
from remit_server.application.oversight.revoke import OperatorRevokes
from remit_server.application.oversight.see_audit import SeeAudit
from remit_server.application.oversight.see_grants import SeeGrants
from remit_server.application.revocation.revoke_grants import RevokeGrants
from remit_server.config.settings import Settings
from remit_server.transport.grpc.audit_service import AuditService
from remit_server.transport.grpc.grant_service import GrantService
from remit_server.transport.grpc.server import Offered

STREAMS_OF_AN_OPERATOR = 8


@dataclass(frozen=True, slots=True)
class Oversight:
    """The door of the security side and its decisions, for every service that operators call."""

    settings: Settings
    clock: SystemClock
    ledger: DatabaseLedger
    rejections: Rejections
    issuers: Sequence[TrustedIssuer]
    policy: AdminPolicy

    @property
    def authorize(self) -> Authorize:
        """Decides on calls and records them."""
        return Authorize(self.policy, self.settings.administrators, self.ledger, self.clock)

    def doors(self) -> Callable[[str, frozenset[str]], OperatorAdmission]:
        """Returns what makes the door of a service out of its name and its streams; all share budgets and places."""
        limits = self.settings.limits
        verifier = operators_verifier(self.issuers, self.clock)
        spiffe = SpiffeVerifier(self.settings.spiffe_trust_domains, self.clock)
        authenticate = OperatorAuthentication(self.settings.agents, spiffe, verifier)
        budget = Budget(self.clock, limits.operator_requests_per_minute, "operator")
        places = Places(limits.concurrent_calls_per_actor, who="operator")
        stream_places = Places(STREAMS_OF_AN_OPERATOR, "streams", "operator")
        revoked = RevokedOperators(self.ledger.store)

        def door(service: str, streams: frozenset[str]) -> OperatorAdmission:
            return OperatorAdmission(
                service=service,
                authenticate=authenticate,
                revoke_of=revoked,
                rejections=self.rejections,
                records=self.ledger,
                budget=budget,
                places=places,
                stream_places=stream_places,
                streams=streams,
            )

        return door


def known_names(settings: Settings) -> KnownNames:
    """Returns whom tokens and certificates can name that this configuration takes."""
    aliases = {item.issuer: item.alias for item in settings.issuers}
    naming = (one for one in settings.issuers if one.actors or one.carries_actor or one.operator_audience)
    return KnownNames(
        issuers=frozenset(aliases),
        actor_aliases=frozenset(one.alias for one in naming),
        trust_domains=settings.spiffe_trust_domains,
        agents={
            one.agent: one.spiffe_id or f"{aliases.get(one.issuer or '')}:{one.subject}" for one in settings.agents
        },
    )


def operator_revokes(
    authorize: Authorize, ledger: DatabaseLedger, wake: Callable[[], None], known: KnownNames
) -> OperatorRevokes:
    """Returns what operators revoke by.

    NOTE: it reads on the ledger's own connections: no list that somebody asks for, however slow, keeps a revoke
    waiting.
    """
    revocations = DatabaseRevocations(ledger.store)
    revoke = RevokeGrants(revocations, system_entropy, wake)
    return OperatorRevokes(authorize, DatabaseGrants(ledger.store), revoke, revocations, known)


async def oversee(
    stack: AsyncExitStack,
    oversight: Oversight,
    door: Callable[[str, frozenset[str]], OperatorAdmission],
    *,
    wake: Callable[[], None] = lambda: None,
) -> Sequence[Offered]:
    """Returns GrantService and AuditService; they read on connections of their own until the stack is left.

    `wake` tells whoever writes to AWS that there is something to be told.
    """
    url, password_file = oversight.settings.database_url, oversight.settings.database_password_file
    reads = await stack.enter_async_context(own_reader(url, password_file=password_file))
    trail = DatabaseTrail(reads, partial(audit_log.verify, url, password_file=password_file))
    shelf = DatabaseGrants(reads)
    authorize = oversight.authorize
    grants = GrantService(
        admit=door("GrantService", frozenset({"WatchGrants"})),
        see=SeeGrants(authorize, shelf, trail),
        revokes=operator_revokes(authorize, oversight.ledger, wake, known_names(oversight.settings)),
    )
    audit = AuditService(admit=door("AuditService", frozenset({"WatchEvents"})), see=SeeAudit(authorize, trail))
    return (grants.offered, audit.offered)
