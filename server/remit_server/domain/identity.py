"""Who asks, and for whom: values that exist only after an adapter verified them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from remit_server.domain.secret import Secret


@dataclass(frozen=True, slots=True)
class Caller:
    """What the transport knows of a connection, nothing of it checked beyond the TLS handshake.

    `certificate_der` is the client certificate that the handshake verified (`listen.mtls`), `unverified_bearer` the
    single `authorization: Bearer` value (`listen.bearer`); exactly one of the two listeners fills its field. `peer`
    is the remote address without its port.
    """

    peer: str
    certificate_der: bytes | None = field(default=None, repr=False)
    unverified_bearer: Secret | None = None


class ActorKind(StrEnum):
    """How an actor proved who it is."""

    SPIFFE = "spiffe"
    OIDC = "oidc"
    WORKLOAD = "workload"


@dataclass(frozen=True, slots=True)
class Actor:
    """The agent: the authenticated caller (RFC 8693 `act`).

    `actor_id` is its SPIFFE ID, `<alias>:<subject>` for an OIDC agent, or `<alias>:<claim value>` where the issuer's
    one token carries both. `agent` is its id under `[[agents]]` (None for a carried actor without one), `client_ids`
    the OIDC clients, `<issuer alias>:<client id>` each, whose user tokens it may present. `certificate_thumbprint` is
    the `x5t#S256` of its certificate, `token_fingerprint` that of its own token: whichever it came with, issued (or,
    of a certificate, valid) from `token_issue_time` on.
    """

    actor_id: str
    kind: ActorKind
    issuer: str
    agent: str | None = None
    client_ids: frozenset[str] = frozenset()
    claims: Mapping[str, Any] = field(default_factory=dict)
    certificate_thumbprint: str | None = None
    token_fingerprint: str | None = None
    token_issue_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Admitted:
    """A caller that was let in: the actor it proved to be, and the remote address it calls from."""

    actor: Actor
    peer: str

    @property
    def caller_id(self) -> str:
        """What its calls are counted under."""
        return self.actor.actor_id


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified (issuer, subject) pair with its groups and claims.

    `alias` is the issuer's short name in the configuration, `source_id` the configured claim that names the person in
    SourceIdentity (empty where the issuer's people are named by a hash only). `claims` holds only what the issuer's
    profile allows to be kept.
    """

    issuer: str
    alias: str
    subject: str
    source_id: str
    groups: tuple[str, ...] = ()
    email: str | None = None
    auth_time: int | None = None
    acr: str | None = None
    amr: tuple[str, ...] = ()
    claims: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delegation:
    """The actor acts for the subject, and both stay visible (RFC 8693 1.1).

    `history` is the chain of nested `act` claims, outermost first: for information, never for a decision (RFC 8693
    4.1). `single_use` ties (issuer, `token_id`) to the first task; `bind_expiry` bounds the credentials by
    `token_expire_time`.
    """

    subject: Principal
    actor: Actor
    token_fingerprint: str
    token_issue_time: datetime
    token_expire_time: datetime
    token_id: str | None = None
    single_use: bool = False
    bind_expiry: bool = False
    history: tuple[str, ...] = ()
