"""A sign-in: the tokens of one person for this client, and until when they work."""

import json
from dataclasses import dataclass
from typing import Any

from remit.secret import Secret

_VERSION = 1


@dataclass(frozen=True, slots=True)
class SignIn:
    """What is kept of a sign-in. `token` is the subject token, good until `expire_time` (seconds since the epoch)."""

    issuer: str
    client_id: str
    subject: str
    token: Secret[str]
    expire_time: float
    refresh_token: Secret[str] | None

    def text(self) -> Secret[str]:
        """Returns what is kept of it, as text."""
        refresh_token = None if self.refresh_token is None else self.refresh_token.reveal()
        return Secret(
            json.dumps(
                {
                    "version": _VERSION,
                    "issuer": self.issuer,
                    "client_id": self.client_id,
                    "subject": self.subject,
                    "token": self.token.reveal(),
                    "expire_time": self.expire_time,
                    "refresh_token": refresh_token,
                }
            )
        )

    @classmethod
    def parse(cls, text: Secret[str]) -> "SignIn":
        """Reads what was kept; raises ValueError, which holds nothing of it."""
        try:
            members = json.loads(text.reveal())
            if members.pop("version") != _VERSION:
                raise ValueError  # noqa: TRY301 - told below, like all that is odd
            return cls(
                issuer=_text(members.pop("issuer")),
                client_id=_text(members.pop("client_id")),
                subject=_text(members.pop("subject")),
                token=Secret(_text(members.pop("token"))),
                expire_time=float(members.pop("expire_time")),
                refresh_token=None if members["refresh_token"] is None else Secret(_text(members["refresh_token"])),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ValueError("what was kept of the sign-in cannot be read") from None


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value
