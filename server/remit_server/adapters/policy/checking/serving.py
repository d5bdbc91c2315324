"""What a bundle is held against: as much of a gateway's configuration as says whom it serves, and within what."""

from dataclasses import dataclass, replace
from typing import Protocol

from remit_server.config.identity_settings import AgentSettings, IssuerSettings
from remit_server.domain.entitlement import Role
from remit_server.iam import ActionPattern


class Serving(Protocol):
    """The gateway that is to serve a bundle; a whole configuration is one."""

    @property
    def roles(self) -> tuple[Role, ...]:
        """Its roles with their ceilings."""
        ...

    @property
    def forbidden_extra(self) -> tuple[ActionPattern, ...]:
        """What it adds to the forbidden floor."""
        ...

    @property
    def ceilings_digest(self) -> str:
        """The digest of both."""
        ...

    @property
    def issuers(self) -> tuple[IssuerSettings, ...]:
        """Whose users and agents it knows."""
        ...

    @property
    def agents(self) -> tuple[AgentSettings, ...]:
        """Its agents."""
        ...


@dataclass(frozen=True, slots=True)
class Served:
    """Nothing but that, without a secret: it may leave the process."""

    roles: tuple[Role, ...]
    forbidden_extra: tuple[ActionPattern, ...]
    ceilings_digest: str
    issuers: tuple[IssuerSettings, ...]
    agents: tuple[AgentSettings, ...]

    @classmethod
    def of(cls, serving: Serving) -> "Served":
        """Returns this much of a configuration; a role's external id, which is secret, stays."""
        roles = tuple(replace(role, external_id=None) for role in serving.roles)
        return cls(roles, serving.forbidden_extra, serving.ceilings_digest, serving.issuers, serving.agents)
