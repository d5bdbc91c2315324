"""The policies of Remit's set-up at AWS, as JSON values: who may open sessions, and what the gateway itself may do."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from remit_server.adapters.aws.revoking.canary import PROBE_ACTION
from remit_server.adapters.aws.revoking.canary import SOURCE_IDENTITY as CANARY_SOURCE
from remit_server.adapters.aws.revoking.revoker import POLICY_ACTIONS
from remit_server.adapters.aws.revoking.revoker import SOURCE_IDENTITY as REVOKER_SOURCE
from remit_server.adapters.aws.web_identity_token import AUDIENCE
from remit_server.domain.revocation import DenyTag

Json = dict[str, Any]
SESSION_ACTIONS: Final = ("sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity")
TOKEN_ACTIONS: Final = ("sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity")
REVOKER_ACTIONS: Final = ("sts:AssumeRole", "sts:SetSourceIdentity")
GRANT_SHAPE: Final = "?*.?*.?*"
BY_SHAPE: Final = "?*.?*"
SOURCE_SHAPE: Final = "?*.?*"
GRANT_KEY: Final = f"aws:RequestTag/{DenyTag.GRANT}"
BY_KEY: Final = f"aws:RequestTag/{DenyTag.BY}"
SOURCE_KEY: Final = "sts:SourceIdentity"
EXTERNAL_KEY: Final = "sts:ExternalId"
__all__ = ["CANARY_SOURCE", "REVOKER_SOURCE"]


def document(*statements: Json) -> Json:
    """Returns a policy of these statements."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


@dataclass(frozen=True, slots=True)
class ByToken:
    """A role that trusts the gateway as an OIDC issuer: the provider's ARN, the issuer without https://, and `sub`."""

    provider: object
    issuer: str
    subject: str

    @property
    def pinned(self) -> Json:
        """The condition by which a token opens this role and no other."""
        return {f"{self.issuer}:aud": AUDIENCE, f"{self.issuer}:sub": self.subject}


def role_trust(gateway: object, external_id: object = None) -> Json:
    """Returns who may open sessions of a Remit role: the gateway, never without both tags and a source identity.

    By the tags its sessions can be denied, by the source identity CloudTrail says whose they were; other tags could say
    more about a session than Remit does.
    """
    condition: Json = {
        "StringLike": {GRANT_KEY: GRANT_SHAPE, BY_KEY: BY_SHAPE, SOURCE_KEY: SOURCE_SHAPE},
        "ForAllValues:StringEquals": {"aws:TagKeys": [str(DenyTag.BY), str(DenyTag.GRANT)]},
    }
    if isinstance(gateway, ByToken):
        return document(_trust_by_token(gateway, {"StringEquals": gateway.pinned, **condition}))
    if external_id is not None:
        condition["StringEquals"] = {EXTERNAL_KEY: external_id}
    return document(_trust(gateway, SESSION_ACTIONS, condition))


def revoker_trust(gateway: object) -> Json:
    """Returns who may open sessions of `remit-revoker`: the gateway, as such."""
    if isinstance(gateway, ByToken):
        return document(_trust_by_token(gateway, {"StringEquals": {**gateway.pinned, SOURCE_KEY: REVOKER_SOURCE}}))
    return document(_trust(gateway, REVOKER_ACTIONS, {"StringEquals": {SOURCE_KEY: REVOKER_SOURCE}}))


def revoker_rights(policy_arns: Iterable[str]) -> Json:
    """Returns what `remit-revoker` may: change the text of exactly these policies."""
    return document({"Effect": "Allow", "Action": list(POLICY_ACTIONS), "Resource": list(policy_arns)})


def canary_rights() -> Json:
    """Returns what a canary may: one call that reads nothing of the account."""
    return document({"Effect": "Allow", "Action": PROBE_ACTION, "Resource": "*"})


def gateway_rights(role_arns: Sequence[str], revoker_arns: Sequence[str]) -> Json:
    """Returns all that the gateway's own AWS identity needs: to open sessions of these roles."""
    sessions: Json = {"Effect": "Allow", "Action": list(SESSION_ACTIONS), "Resource": sorted(role_arns)}
    revokers: Json = {"Effect": "Allow", "Action": list(REVOKER_ACTIONS), "Resource": sorted(revoker_arns)}
    return document(*([sessions] if role_arns else []), *([revokers] if revoker_arns else []))


def _trust_by_token(by: ByToken, condition: Json) -> Json:
    return {
        "Effect": "Allow",
        "Principal": {"Federated": by.provider},
        "Action": list(TOKEN_ACTIONS),
        "Condition": condition,
    }


def _trust(gateway: object, actions: Sequence[str], condition: Json) -> Json:
    return {"Effect": "Allow", "Principal": {"AWS": gateway}, "Action": list(actions), "Condition": condition}
