"""The second opinion: what the gateway's own configuration lets each role be used for, whatever policy says."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from remit_server.domain.decision import KeptText, canonical_json
from remit_server.domain.entitlement import Role
from remit_server.iam import ActionPattern, Document, Floor, Statement, floor


@dataclass(frozen=True, slots=True)
class Ceilings:
    """The configured roles, each with its own policy and the forbidden floor; `digest` goes into every record."""

    roles: Mapping[str, Role]
    floors: Mapping[str, Floor]
    digest: str
    _documents: Mapping[str, tuple[Document, Document]] = field(repr=False)

    @classmethod
    def of(cls, roles: tuple[Role, ...], forbidden_extra: tuple[str, ...], digest: str) -> "Ceilings":
        """Builds the ceilings of a configuration."""
        floors = {role.arn: Floor.of(forbidden_extra, [str(item) for item in role.reopened]) for role in roles}
        documents = {role.arn: (role.ceiling, floors[role.arn].document) for role in roles}
        return cls({role.arn: role for role in roles}, floors, digest, documents)

    def knows(self, role_arn: str) -> bool:
        """Says whether the configuration has this role."""
        return role_arn in self.roles

    def role(self, role_arn: str) -> Role:
        """Returns a configured role."""
        return self.roles[role_arn]

    def forbidden(self, role_arn: str, statement: Statement) -> str | None:
        """Returns the floor's pattern that a statement touches, `Put*Policy` in every service included, or None."""
        return self.floors[role_arn].touched_by(statement)

    def documents(self, role_arn: str) -> tuple[Document, Document]:
        """Returns what a role's credentials must be contained in: the role's own policy, and the floor."""
        return self._documents[role_arn]


def kept_ceilings(roles: Sequence[Role], forbidden_extra: Sequence[str]) -> KeptText:
    """Returns the ceilings of a configuration as records name them: every role's ceiling and lifetime, and the floor.

    Its digest is the `ceiling_digest` of every record. It holds no secret.
    """
    extra = tuple(forbidden_extra)
    entries = [
        {
            "arn": role.arn,
            "ceiling": json.loads(role.ceiling.text),
            "floor": floor(extra, tuple(str(item) for item in role.reopened)).sha256,
            "max_session_seconds": int(role.max_session.total_seconds()),
            "region": role.region,
            "reopened": [str(item) for item in role.reopened],
        }
        for role in sorted(roles, key=lambda role: role.arn)
    ]
    return KeptText(canonical_json({"forbidden": list(extra), "roles": entries}))


def ceilings_of(kept: KeptText) -> Ceilings:
    """Returns the ceilings that were kept; raises ValueError for what is no such text, or had another floor.

    The floor belongs to a version of the gateway: what was decided under another one cannot be decided again.
    """
    raw = json.loads(kept.text)
    roles = tuple(
        Role(
            arn=entry["arn"],
            region=entry["region"],
            ceiling=Document.parse(json.dumps(entry["ceiling"]), authored=True),
            max_session=timedelta(seconds=entry["max_session_seconds"]),
            reopened=tuple(ActionPattern.parse(item) for item in entry["reopened"]),
        )
        for entry in raw["roles"]
    )
    ceilings = Ceilings.of(roles, tuple(raw["forbidden"]), kept.digest)
    for entry in raw["roles"]:
        _, forbidden = ceilings.documents(entry["arn"])
        if forbidden.sha256 != entry["floor"]:
            raise ValueError("the forbidden floor of this version of the gateway is another one than it was then")
    return ceilings
