"""One wish for credentials, as an agent's code writes it and as the calls take it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from remit.intent import Capability, Permission
from remit.secret import Token

Allow = Permission | Capability | Iterable[Permission | Capability]


@dataclass(frozen=True, slots=True)
class Ask:
    """One wish for credentials. `duration` None asks for the gateway's default and for renewal while the task lasts."""

    purpose: str
    subject_token: Token
    permissions: tuple[Permission, ...]
    capabilities: tuple[Capability, ...]
    duration: timedelta | None
    narrow: bool
    labels: Mapping[str, str]
    task_id: str | None


def ask(
    purpose: str,
    *,
    subject_token: Token,
    allow: Allow,
    duration: timedelta | float | None,
    narrow: bool,
    labels: Mapping[str, str] | None,
    task_id: str | None,
) -> Ask:
    """Reads what the caller wrote; raises TypeError where it is of another kind, IAM JSON for `allow` among them."""
    if not all(isinstance(text, str) for text in (purpose, *(labels or {}).keys(), *(labels or {}).values())):
        raise TypeError("purpose and labels must be strings")
    items = (allow,) if isinstance(allow, (Permission, Capability)) else tuple(allow)
    if not all(isinstance(item, (Permission, Capability)) for item in items):
        raise TypeError("allow takes remit.Permission and remit.Capability: IAM JSON is not accepted")
    return Ask(
        purpose=purpose,
        subject_token=subject_token,
        permissions=tuple(item for item in items if isinstance(item, Permission)),
        capabilities=tuple(item for item in items if isinstance(item, Capability)),
        duration=timedelta(seconds=duration) if isinstance(duration, (int, float)) else duration,
        narrow=narrow,
        labels=dict(labels or {}),
        task_id=task_id,
    )
