"""Canaries on AWS (the port `Canary`): sessions of a Remit role that may make one harmless call, until they may not.

The call is ec2:DescribeRegions: it reads nothing of the account, can be denied, and bears being asked often.
(sts:GetCallerIdentity cannot be denied; dynamodb:DescribeLimits is throttled when asked more than once a minute.)
"""

import itertools
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from remit_server.adapters.aws.revoking.query import CallFailed, QueryCalls, ec2_of
from remit_server.adapters.aws.sigv4 import AwsKeys
from remit_server.application.ports import AssumeRole, Clock
from remit_server.application.revocation.ports import CanarySession
from remit_server.domain.credentials import SessionOrder
from remit_server.domain.entitlement import Role
from remit_server.domain.errors import RemitError

PROBE_ACTION: Final = "ec2:DescribeRegions"
SESSION_NAME: Final = "remit-canary"
SOURCE_IDENTITY: Final = "REMIT.canary"  # no issuer's alias has capitals
SESSION_SECONDS: Final = 900
CALL_SECONDS: Final = 5.0
MOST_CANDIDATES: Final = 4
ASK_AGAIN_SECONDS: Final = 120.0
_FORBIDDEN: Final = 403
_REFUSED: Final = frozenset({"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"})

_log = logging.getLogger(__name__)


def probe_policy() -> str:
    """Returns the policy that allows the probe and nothing else."""
    statement = {"Effect": "Allow", "Action": PROBE_ACTION, "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, separators=(",", ":"))


@dataclass(slots=True)
class AwsCanary:
    """Opens canaries of the first role of an account that allows the probe; `url` is for AWS-compatible endpoints.

    Which role that is, is found by asking the first four; an account without one is asked again after two minutes.
    """

    roles: Sequence[Role]
    assume: AssumeRole
    calls: QueryCalls
    clock: Clock
    url: str | None = None
    _chosen: dict[str, Role] = field(default_factory=dict)
    _quiet_until: dict[str, float] = field(default_factory=dict)
    _keys: dict[int, tuple[Role, AwsKeys]] = field(default_factory=dict)
    _handles: Iterator[int] = field(default_factory=itertools.count)

    async def open(self, account: str, tag: str, /) -> CanarySession | None:
        """Returns a session whose probe AWS has just allowed; None when there is none."""
        if self.clock.monotonic() < self._quiet_until.get(account, float("-inf")):
            return None
        for role in self._candidates(account):
            session = await self._opened(role, tag)
            if session is not None:
                self._chosen[account] = role
                return session
        self._chosen.pop(account, None)
        self._quiet_until[account] = self.clock.monotonic() + ASK_AGAIN_SECONDS
        _log.warning(
            "AWS account %s: no role gives a canary that may call %s: revocations count as in force "
            "when the propagation bound has passed. `remit-server aws plan` writes that permission",
            account,
            PROBE_ACTION,
        )
        return None

    async def is_refused(self, session: CanarySession, /) -> bool:
        """Says whether AWS refuses the session's probe for lack of permission."""
        kept = self._keys.get(session.handle)
        return kept is not None and await self._probe(*kept) is False

    def close(self, session: CanarySession, /) -> None:
        """Forgets the session's keys."""
        self._keys.pop(session.handle, None)

    def _candidates(self, account: str) -> list[Role]:
        """Returns the role that is known to do, or the ones that might."""
        chosen = self._chosen.get(account)
        if chosen is not None:
            return [chosen]
        return [role for role in self.roles if role.account == account][:MOST_CANDIDATES]

    async def _opened(self, role: Role, tag: str) -> CanarySession | None:
        """Returns a session of the role if it may make the call."""
        order = SessionOrder(
            role=role,
            session_name=SESSION_NAME,
            session_policy=probe_policy(),
            duration_seconds=SESSION_SECONDS,
            source_identity=SOURCE_IDENTITY,
            tags=(("remit:grant", tag), ("remit:by", "canary.canary")),
        )
        try:
            session = await self.assume(order, deadline=self.clock.monotonic() + CALL_SECONDS)
        except RemitError as failed:
            _log.info("no canary of %s: %s", role.arn, failed.reason)
            return None
        credentials = session.credentials
        keys = AwsKeys(credentials.access_key_id, credentials.secret_access_key, credentials.session_token)
        if await self._probe(role, keys) is not True:
            return None
        handle = next(self._handles)
        self._keys[handle] = (role, keys)
        return CanarySession(role.account, tag, handle)

    async def _probe(self, role: Role, keys: AwsKeys) -> bool | None:
        """Says whether the call is allowed; None when that is not known."""
        deadline = self.clock.monotonic() + CALL_SECONDS
        try:
            await self.calls(ec2_of(role.region, self.url), "DescribeRegions", {}, keys, deadline=deadline)
        except CallFailed as failed:
            return False if failed.status == _FORBIDDEN and failed.code in _REFUSED else None
        return True
