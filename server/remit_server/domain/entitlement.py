"""What policy says a subject may delegate to an actor, and the roles the gateway may use for it."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from remit_server.domain.permission import Permission, as_document
from remit_server.domain.secret import Secret
from remit_server.iam import ActionPattern, Document

# What STS itself does below 900 seconds, the policy's time guard does.
DEFAULT_CREDENTIAL_LIFETIME = timedelta(seconds=900)
MIN_CREDENTIAL_LIFETIME = timedelta(seconds=15)
MIN_STS_SECONDS = 900


class EntitlementKind(StrEnum):
    """A break-glass entitlement may skip waiting, never ceilings or the record."""

    STANDARD = "standard"
    BREAK_GLASS = "break_glass"


class ApprovedBy(StrEnum):
    """Who has to say yes."""

    OTHERS = "others"
    SUBJECT = "subject"


@dataclass(frozen=True, slots=True)
class ApprovalRule:
    """A human has to say yes first: so many of these groups, valid for so long."""

    groups: tuple[str, ...]
    by: ApprovedBy = ApprovedBy.OTHERS
    min_approvers: int = 1
    valid: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Bind:
    """Where the credentials may be used from; never taken from what the gateway sees."""

    source_cidrs: tuple[str, ...] = ()
    vpc_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entitlement:
    """What policy lets this subject delegate to this actor: a role, permissions, lifetimes, maybe an approval."""

    entitlement_id: str
    role_arn: str
    permissions: tuple[Permission, ...]
    max_credential: timedelta
    max_task: timedelta
    kind: EntitlementKind = EntitlementKind.STANDARD
    approval: ApprovalRule | None = None
    bind: Bind | None = None
    offline_renewal: bool = False
    _document: Document | None = field(default=None, init=False, compare=False, repr=False)

    @property
    def is_break_glass(self) -> bool:
        """Says whether it is issued at once and reviewed afterwards."""
        return self.kind is EntitlementKind.BREAK_GLASS

    def document(self) -> Document:
        """Returns its permissions as one document: the same one each time, with what it has been asked."""
        document = self._document
        if document is None:
            document = as_document(self.permissions)
            object.__setattr__(self, "_document", document)
        return document


class AssumedBy(StrEnum):
    """As whom the gateway opens a role's sessions: as a role of its own, as an IAM user, or as an OIDC issuer."""

    ROLE_CHAINING = "role_chaining"
    USER = "user"
    WEB_IDENTITY = "web_identity"


@dataclass(frozen=True, slots=True)
class Role:
    """An AWS role the gateway may assume, as its own configuration (never the bundle) describes it.

    `ceiling` is the role's own policy; `reopened` names the actions of the re-openable part of the forbidden floor
    that this role may issue; `max_session` is the role's MaxSessionDuration, at most one hour when the gateway
    chains.
    """

    arn: str
    region: str
    ceiling: Document
    max_session: timedelta
    external_id: Secret | None = field(default=None, repr=False)
    reopened: tuple[ActionPattern, ...] = ()
    assumed_by: AssumedBy = AssumedBy.ROLE_CHAINING

    @property
    def web_identity_subject(self) -> str:
        """The `sub` of every token for this role, and of no other role's: its trust policy pins it."""
        return f"remit:role/{self.account}/{self.name}"

    @property
    def name(self) -> str:
        """Its name, without the path."""
        return self.arn.rpartition("/")[2]

    @property
    def account(self) -> str:
        """The twelve digits of its account."""
        return self.arn.split(":")[4]
