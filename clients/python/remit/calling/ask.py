"""One wish for credentials, as an agent's code writes it and as the calls take it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from remit.intent import Capability, Permission
from remit.intents.reading import parse_allows
from remit.secret import Token

SHORTEST_LEASE, LONGEST_LEASE = timedelta(seconds=30), timedelta(days=1)
Allow = Permission | Capability | str | Iterable[Permission | Capability | str]


@dataclass(frozen=True, slots=True)
class Ask:
    """One wish for credentials. `duration` None asks for the gateway's default and for renewal while the task lasts.

    `approval_timeout` is how long people are waited for, None not at all. `request_id` comes back to an earlier wish.
    """

    purpose: str
    subject_token: Token
    permissions: tuple[Permission, ...]
    capabilities: tuple[Capability, ...]
    duration: timedelta | None
    narrow: bool
    labels: Mapping[str, str]
    task_id: str | None
    lease: timedelta | None = None
    approval_timeout: timedelta | None = None
    request_id: str | None = None


def ask(
    purpose: str,
    *,
    subject_token: Token,
    allow: Allow,
    duration: timedelta | float | None,
    narrow: bool,
    labels: Mapping[str, str] | None,
    task_id: str | None,
    lease: timedelta | float | None = None,
    approval_timeout: timedelta | float | None = None,
    request_id: str | None = None,
) -> Ask:
    """Reads what the caller wrote; raises TypeError where it is of another kind, InvalidRequest for an odd text."""
    if not all(isinstance(text, str) for text in (purpose, *(labels or {}).keys(), *(labels or {}).values())):
        raise TypeError("purpose and labels must be strings")
    items = items_of(allow)
    return Ask(
        purpose=purpose,
        subject_token=subject_token,
        permissions=tuple(item for item in items if isinstance(item, Permission)),
        capabilities=tuple(item for item in items if isinstance(item, Capability)),
        duration=seconds(duration),
        narrow=narrow,
        labels=dict(labels or {}),
        task_id=task_id,
        lease=_lease(lease),
        approval_timeout=seconds(approval_timeout),
        request_id=request_id,
    )


_TAKES = "allow takes remit.Permission, remit.Capability and texts of them: IAM JSON is not accepted"


def items_of(allow: Allow) -> tuple[Permission | Capability, ...]:
    """Reads what is asked for; texts are read as `--allow` reads them."""
    if isinstance(allow, Mapping) or not isinstance(allow, Iterable | Permission | Capability):
        raise TypeError(_TAKES)
    items = (allow,) if isinstance(allow, (Permission, Capability, str)) else tuple(allow)
    if not all(isinstance(item, (Permission, Capability, str)) for item in items):
        raise TypeError(_TAKES)
    parts = (
        parse_allows([item], first=index) if isinstance(item, str) else (item,) for index, item in enumerate(items)
    )
    return tuple(one for part in parts for one in part)


def seconds(time: timedelta | float | None) -> timedelta | None:
    """Reads a time that may be given in seconds."""
    return timedelta(seconds=time) if isinstance(time, (int, float)) else time


def _lease(lease: timedelta | float | None) -> timedelta | None:
    """Reads a lease; raises ValueError for one out of bounds."""
    if lease is None:
        return None
    wanted = timedelta(seconds=lease) if isinstance(lease, (int, float)) else lease
    if not SHORTEST_LEASE <= wanted <= LONGEST_LEASE or wanted.microseconds:
        raise ValueError("lease must be whole seconds between 30 seconds and a day, or None for none")
    return wanted
