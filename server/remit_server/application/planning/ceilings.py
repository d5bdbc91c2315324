"""The second opinion: what the gateway's own configuration lets each role be used for, whatever policy says."""

from collections.abc import Mapping
from dataclasses import dataclass

from remit_server.domain.entitlement import Role
from remit_server.iam import Document, Statement, floor, forbidden_action


@dataclass(frozen=True, slots=True)
class Ceilings:
    """The configured roles, each with its own policy and the forbidden floor; `digest` goes into every record."""

    roles: Mapping[str, Role]
    floors: Mapping[str, Document]
    forbidden_extra: tuple[str, ...]
    digest: str

    @classmethod
    def of(cls, roles: tuple[Role, ...], forbidden_extra: tuple[str, ...], digest: str) -> "Ceilings":
        """Builds the ceilings of a configuration."""
        floors = {role.arn: floor(forbidden_extra, tuple(str(item) for item in role.reopened)) for role in roles}
        return cls({role.arn: role for role in roles}, floors, forbidden_extra, digest)

    def knows(self, role_arn: str) -> bool:
        """Says whether the configuration has this role."""
        return role_arn in self.roles

    def role(self, role_arn: str) -> Role:
        """Returns a configured role."""
        return self.roles[role_arn]

    def forbidden(self, role_arn: str, statement: Statement) -> str | None:
        """Returns the floor's pattern that a statement touches, `Put*Policy` in every service included, or None."""
        reopened = tuple(str(item) for item in self.roles[role_arn].reopened)
        return forbidden_action(statement, self.forbidden_extra, reopened)

    def documents(self, role_arn: str) -> tuple[Document, Document]:
        """Returns what a role's credentials must be contained in: the role's own policy, and the floor."""
        return self.roles[role_arn].ceiling, self.floors[role_arn]
