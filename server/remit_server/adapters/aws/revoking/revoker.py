"""The keys with which revocation policies are written: sessions of each account's role `remit-revoker`."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from remit_server.adapters.aws.sigv4 import AwsKeys
from remit_server.application.ports import AssumeRole, Clock
from remit_server.application.revocation.ports import NotWritten
from remit_server.domain.aws_names import role_arn_of
from remit_server.domain.credentials import Credentials, SessionOrder
from remit_server.domain.entitlement import Role
from remit_server.domain.errors import RemitError
from remit_server.iam import Document

POLICIES: Final = 4
SESSION_SECONDS: Final = 900
SESSION_NAME: Final = "remit-revoker"
SOURCE_IDENTITY: Final = "REMIT.revoker"  # no issuer's alias has capitals
REFRESH_EARLY: Final = timedelta(seconds=120)
POLICY_ACTIONS: Final = (
    "iam:CreatePolicyVersion",
    "iam:DeletePolicyVersion",
    "iam:GetPolicy",
    "iam:GetPolicyVersion",
    "iam:ListPolicyVersions",
)


@dataclass(frozen=True, slots=True)
class RevocationNames:
    """What the pieces of revocation are called, in every account alike."""

    role_name: str = "remit-revoker"
    policy_prefix: str = "remit-revocations"

    def policy_arns(self, partition: str, account: str) -> tuple[str, ...]:
        """Returns the ARNs of the account's revocation policies, in their order."""
        stem = f"arn:{partition}:iam::{account}:policy/{self.policy_prefix}"
        return tuple(f"{stem}-{number}" for number in range(1, POLICIES + 1))

    def role_arn(self, partition: str, account: str) -> str:
        """Returns the ARN of the account's role for writing them."""
        return f"arn:{partition}:iam::{account}:role/{self.role_name}"


@dataclass(frozen=True, slots=True)
class AccountPlace:
    """An account that Remit issues credentials of: its partition, the region whose STS is asked, its policies."""

    partition: str
    account: str
    region: str
    policy_arns: tuple[str, ...]
    revoker: Role


def account_places(roles: Iterable[Role], names: RevocationNames) -> dict[str, AccountPlace]:
    """Returns the account of each role; its first role says in which region and how remit-revoker is assumed."""
    places: dict[str, AccountPlace] = {}
    for role in roles:
        partition, account = role_arn_of(role.arn).partition, role.account
        if account not in places:
            arns = names.policy_arns(partition, account)
            revoker = Role(
                arn=names.role_arn(partition, account),
                region=role.region,
                ceiling=Document.parse(revoker_policy(arns)),
                max_session=timedelta(hours=1),
                assumed_by=role.assumed_by,
            )
            places[account] = AccountPlace(partition, account, role.region, arns, revoker)
    return places


def revoker_policy(policy_arns: Iterable[str]) -> str:
    """Returns the policy of `remit-revoker`: these actions on exactly these policies."""
    statement = {"Effect": "Allow", "Action": list(POLICY_ACTIONS), "Resource": list(policy_arns)}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, separators=(",", ":"))


@dataclass(slots=True)
class RevokerKeys:
    """Opens sessions of `remit-revoker` and keeps each until shortly before its end.

    The session policy says once more what the role may, so that a role that someone widened is no wider here.
    """

    places: Mapping[str, AccountPlace]
    assume: AssumeRole
    clock: Clock
    _kept: dict[str, Credentials] = field(default_factory=dict)
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)

    async def __call__(self, account: str, *, deadline: float) -> AwsKeys:
        """Returns keys that are good for another two minutes; raises NotWritten."""
        async with self._locks.setdefault(account, asyncio.Lock()):
            kept = self._kept.get(account)
            if kept is None or kept.expire_time - self.clock.now() <= REFRESH_EARLY:
                kept = self._kept[account] = await self._opened(account, deadline)
        return AwsKeys(kept.access_key_id, kept.secret_access_key, kept.session_token)

    def distrust(self, account: str) -> None:
        """Forgets the account's keys: AWS called them expired or unknown."""
        self._kept.pop(account, None)

    async def _opened(self, account: str, deadline: float) -> Credentials:
        place = self.places[account]
        order = SessionOrder(
            role=place.revoker,
            session_name=SESSION_NAME,
            session_policy=place.revoker.ceiling.text,
            duration_seconds=SESSION_SECONDS,
            source_identity=SOURCE_IDENTITY,
            tags=(),
        )
        try:
            session = await self.assume(order, deadline=deadline)
        except RemitError as failed:
            raise NotWritten(
                f"no session of {place.revoker.arn} could be opened: {failed}. "
                "remit-server aws plan writes that role, remit-server aws doctor checks it"
            ) from failed
        return session.credentials
