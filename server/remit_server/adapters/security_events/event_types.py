"""The events that CAEP 1.0, RISC 1.0 and SSF 1.0 define, and what each means here."""

from collections.abc import Mapping
from typing import Final

from remit_server.domain.security_event import SecurityEventKind

_SCHEMAS: Final = "https://schemas.openid.net/secevent"
_CAEP: Final = f"{_SCHEMAS}/caep/event-type"
_RISC: Final = f"{_SCHEMAS}/risc/event-type"
_OAUTH: Final = f"{_SCHEMAS}/oauth/event-type"

SESSION_REVOKED: Final = f"{_CAEP}/session-revoked"
CREDENTIAL_CHANGE: Final = f"{_CAEP}/credential-change"
ACCOUNT_DISABLED: Final = f"{_RISC}/account-disabled"
ACCOUNT_ENABLED: Final = f"{_RISC}/account-enabled"

# NOTE: what RISC tells more strongly than the four is obeyed like the one it implies. A purged account is disabled for
# good; compromised credentials are to be changed; `sessions-revoked` and `tokens-revoked` are what Google sends.
OBEYED: Final[Mapping[str, SecurityEventKind]] = {
    SESSION_REVOKED: SecurityEventKind.SESSION_REVOKED,
    CREDENTIAL_CHANGE: SecurityEventKind.CREDENTIAL_CHANGE,
    ACCOUNT_DISABLED: SecurityEventKind.ACCOUNT_DISABLED,
    ACCOUNT_ENABLED: SecurityEventKind.ACCOUNT_ENABLED,
    f"{_RISC}/account-purged": SecurityEventKind.ACCOUNT_DISABLED,
    f"{_RISC}/credential-compromise": SecurityEventKind.CREDENTIAL_CHANGE,
    f"{_RISC}/sessions-revoked": SecurityEventKind.SESSION_REVOKED,
    f"{_OAUTH}/tokens-revoked": SecurityEventKind.SESSION_REVOKED,
}
REQUESTED: Final = (SESSION_REVOKED, CREDENTIAL_CHANGE, ACCOUNT_DISABLED, ACCOUNT_ENABLED)

VERIFICATION: Final = frozenset(f"{_SCHEMAS}/{family}/event-type/verification" for family in ("ssf", "sse", "risc"))
STREAM_UPDATED: Final = frozenset(f"{_SCHEMAS}/{family}/event-type/stream-updated" for family in ("ssf", "sse"))
STREAM_STATES: Final = frozenset({"enabled", "paused", "disabled"})
