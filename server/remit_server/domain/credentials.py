"""What STS is asked for and what it gives: the one value that is returned once and stored never."""

from dataclasses import dataclass
from datetime import datetime

from remit_server.domain.entitlement import Role
from remit_server.domain.secret import Secret


@dataclass(frozen=True, slots=True)
class SessionOrder:
    """Everything of one STS call. `duration_seconds` is AWS's (at least 900).

    The policy's time guard ends it sooner.
    """

    role: Role
    session_name: str
    session_policy: str
    duration_seconds: int
    source_identity: str
    tags: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        if not self.session_policy.strip():
            # NOTE: STS without a policy means the whole role (8-threats.md P9).
            raise ValueError("no STS call without a session policy")


@dataclass(frozen=True, slots=True)
class Credentials:
    """The AWS triple with the time at which STS itself ends it."""

    access_key_id: str
    secret_access_key: Secret
    session_token: Secret
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class StsSession:
    """STS's answer: credentials and, when it says so, how full the packed policy was (percent)."""

    credentials: Credentials
    packed_policy_percent: int | None
