"""How AWS is told to refuse sessions: the frozen values of `[revocation]`."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class RevocationSettings:
    """What the role and the policies are called in every account, and how it is known that AWS obeys.

    The endpoints are only for AWS-compatible ones; https unless the host is loopback.
    """

    role_name: str = "remit-revoker"
    policy_prefix: str = "remit-revocations"
    propagation_bound: timedelta = timedelta(seconds=300)
    canary: bool = True
    iam_endpoint_url: str | None = None
    ec2_endpoint_url: str | None = None
