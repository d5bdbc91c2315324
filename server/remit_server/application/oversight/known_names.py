"""Who a revoke can be aimed at: a name that no token can ever carry ends nothing, and its block would guard nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from remit_server.domain.errors import FieldViolation
from remit_server.domain.revocation import Target, TargetKind
from remit_server.domain.spiffe_id import spiffe_id_of

_SPIFFE = "spiffe://"


@dataclass(frozen=True, slots=True)
class KnownNames:
    """Whom the configuration takes: issuers, aliases of those whose tokens name actors, trust domains, and agents.

    `agents` has each agent's name in grants by its `id` in the configuration.
    """

    issuers: frozenset[str]
    actor_aliases: frozenset[str]
    trust_domains: frozenset[str]
    agents: Mapping[str, str] = field(default_factory=dict)

    def mistake(self, target: Target) -> FieldViolation | None:
        """Returns why nobody can ever have the name that is aimed at, None for a name that somebody may have."""
        match target.kind:
            case TargetKind.SUBJECT if not self._has_issuer(target.issuer):
                known = ", ".join(sorted(self.issuers))
                return FieldViolation("target.subject.issuer", f"no [[issuers]] entry has it; there are {known}")
            case TargetKind.ACTOR if not self._has_actor(target.key):
                return FieldViolation("target.actor", self._advice(target.key))
            case _:
                return None

    def _has_issuer(self, issuer: str) -> bool:
        """Says whether tokens of it are taken, or certificates of the trust domain that it is."""
        domain = issuer.removeprefix(_SPIFFE)
        return issuer in self.issuers or (domain != issuer and domain in self.trust_domains)

    def _has_actor(self, name: str) -> bool:
        """Says whether an agent, or a workload that operates, can have the name."""
        if name in self.agents.values():
            return True
        if name.startswith(_SPIFFE):
            return _trust_domain(name) in self.trust_domains
        alias, _, subject = name.partition(":")
        return alias in self.actor_aliases and bool(subject)

    def _advice(self, name: str) -> str:
        """Returns what the name should have been."""
        if name in self.agents:
            return f"is what the configuration calls an agent, and grants do not: did you mean {self.agents[name]}?"
        domains = ", ".join(f"{_SPIFFE}{one}/..." for one in sorted(self.trust_domains))
        aliases = ", ".join(f"{one}:..." for one in sorted(self.actor_aliases))
        return f"no agent can have this name: it is one of {', '.join(filter(None, (domains, aliases)))}"


def _trust_domain(name: str) -> str:
    """Returns the trust domain of a SPIFFE ID, nothing for what is none."""
    try:
        return spiffe_id_of(name).trust_domain
    except ValueError:
        return ""
