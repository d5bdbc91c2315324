"""The frozen values of approvals and notifications. `loading_approvals.py` makes them out of `remit.toml`."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from remit_server.domain.notification import NotificationKind
from remit_server.domain.secret import Secret


@dataclass(frozen=True, slots=True)
class ApprovalSettings:
    """How long an approval waits for people at most."""

    lapse: timedelta = timedelta(hours=1)


class Format(StrEnum):
    """How a receiver is told."""

    JSON = "json"
    SLACK = "slack"


@dataclass(frozen=True, slots=True)
class NotificationSettings:
    """One receiver of notifications. Its URL may be a secret itself, as Slack's are; `secret` signs what is sent."""

    name: str
    url: Secret = field(repr=False)
    format: Format
    kinds: frozenset[NotificationKind]
    secret: Secret | None = field(default=None, repr=False)
    with_session_policy: bool = False
    ca_file: Path | None = None
    private_network: bool = False
