"""What the security team's Rego says of the security side: who may call what there, and which grants they see."""

from dataclasses import dataclass
from datetime import datetime

from remit_server.domain.decision import DecisionInput, PolicyReason, canonical_json
from remit_server.domain.grant import Grant
from remit_server.domain.operator import Operator
from remit_server.domain.revocation import Target


@dataclass(frozen=True, slots=True)
class Scope:
    """Grants that have one of the values of every list that is not empty; each value is compared whole."""

    accounts: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    actors: frozenset[str] = frozenset()
    subject_issuers: frozenset[str] = frozenset()

    def covers(self, grant: Grant) -> bool:
        """Says whether the grant lies in it."""
        return (
            (not self.accounts or grant.account in self.accounts)
            and (not self.roles or grant.role_arn in self.roles)
            and (not self.actors or grant.actor_id in self.actors)
            and (not self.subject_issuers or grant.subject_issuer in self.subject_issuers)
        )


@dataclass(frozen=True, slots=True)
class Visible:
    """Which grants a policy lets its caller see: all of them, or its own and those of any of the scopes."""

    everything: bool = False
    own: bool = False
    scopes: tuple[Scope, ...] = ()


@dataclass(frozen=True, slots=True)
class AdminAllow:
    """Policy lets the caller do this, with the grants that are visible to it."""

    visible: Visible


@dataclass(frozen=True, slots=True)
class AdminDeny:
    """Policy says no, for at least one reason."""

    reasons: tuple[PolicyReason, ...]


AdminDecision = AdminAllow | AdminDeny


@dataclass(frozen=True, slots=True)
class Visibility:
    """Which grants one caller sees: all, or those of one subject (its own) and those of any of the scopes."""

    everything: bool = False
    own: tuple[str, str] | None = None
    scopes: tuple[Scope, ...] = ()

    @classmethod
    def of(cls, visible: Visible, operator: Operator) -> "Visibility":
        """Returns what a policy's word means for this caller: its own grants are those of the same issuer and `sub`."""
        own = (operator.issuer, operator.subject) if visible.own else None
        return cls(visible.everything, own, visible.scopes)

    def covers(self, grant: Grant) -> bool:
        """Says whether the caller sees this grant."""
        if self.everything or (grant.subject_issuer, grant.subject_id) == self.own:
            return True
        return any(scope.covers(grant) for scope in self.scopes)


EVERYTHING = Visibility(everything=True)


def admin_input(operator: Operator, rpc: str, *, target: Target | None, block: bool, now: datetime) -> DecisionInput:
    """Builds the policy's input: the verified caller, what is called, and for a revoke what it is aimed at."""
    aimed = None
    if target is not None:
        aimed = {"kind": target.kind.value.lower(), "id": target.key, "issuer": target.issuer, "block": block}
    return DecisionInput(
        canonical_json(
            {
                "caller": {
                    "issuer": operator.issuer,
                    "id": operator.subject,
                    "kind": operator.kind.value,
                    "email": operator.email or "",
                    "groups": list(operator.groups),
                    "claims": dict(operator.claims),
                    "auth_time": operator.auth_time or 0,
                    "acr": operator.acr or "",
                    "amr": list(operator.amr),
                },
                "rpc": rpc,
                "target": aimed,
                "context": {"time": now.strftime("%Y-%m-%dT%H:%M:%SZ"), "source_ip": operator.peer},
            }
        )
    )
