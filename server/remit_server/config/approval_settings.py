"""The frozen values of approvals. `loading_approvals.py` makes them out of `remit.toml`; nothing else does."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class ApprovalSettings:
    """How long an approval waits for people at most."""

    lapse: timedelta = timedelta(hours=1)
