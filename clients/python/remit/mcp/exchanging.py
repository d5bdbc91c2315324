"""The user's token for the gateway, out of the access token for this server: by the issuer, never by passing it on."""

import hashlib
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from remit.errors import Unauthenticated, Unavailable
from remit.secret import Secret

TOKEN_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a name (RFC 8693 2.1)
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name (RFC 8693 3)
SECONDS: Final = 5.0
LARGEST_ANSWER: Final = 64 * 1024
MOST_KEPT: Final = 256
EARLY_SECONDS: Final = 60.0


@dataclass(slots=True)
class ExchangeToken:
    """Exchanges tokens at `token_endpoint` (RFC 8693) as the client `client_id`, for the audience of the gateway.

    What was exchanged is kept in memory until a minute before its end, for 256 tokens at the most.
    """

    token_endpoint: str
    client_id: str
    client_secret: Secret[str]
    audience: str
    client: httpx.Client
    _kept: OrderedDict[bytes, tuple[float, Secret[str]]] = field(default_factory=OrderedDict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __call__(self, access_token: Secret[str]) -> Secret[str]:
        """Returns the user's token for the gateway; blocks. Raises Unauthenticated and Unavailable."""
        key = hashlib.sha256(access_token.reveal().encode()).digest()
        with self._lock:
            kept = self._kept.get(key)
        if kept is not None and time.monotonic() < kept[0]:
            return kept[1]
        token, seconds = self._exchanged(access_token)
        with self._lock:
            self._kept[key] = (time.monotonic() + seconds - EARLY_SECONDS, token)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return token

    def _exchanged(self, access_token: Secret[str]) -> tuple[Secret[str], float]:
        """Asks the issuer; returns the token and how many seconds it lasts."""
        form = {
            "grant_type": TOKEN_EXCHANGE,
            "subject_token": access_token.reveal(),
            "subject_token_type": ACCESS_TOKEN,
            "requested_token_type": ACCESS_TOKEN,
            "audience": self.audience,
        }
        try:
            answer = self.client.post(
                self.token_endpoint,
                data=form,
                auth=(self.client_id, self.client_secret.reveal()),
                timeout=SECONDS,
                follow_redirects=False,
            )
            found: Any = answer.json() if len(answer.content) <= LARGEST_ANSWER else None
        except (httpx.HTTPError, ValueError) as error:
            raise Unavailable(
                f"the issuer could not be asked for the user's token ({type(error).__name__})",
                reason="ISSUER_UNAVAILABLE",
            ) from None
        if answer.is_server_error:
            raise Unavailable(f"the issuer answered {answer.status_code}", reason="ISSUER_UNAVAILABLE")
        token = found.get("access_token") if isinstance(found, dict) else None
        if not answer.is_success or not isinstance(token, str):
            # NOTE: what the issuer says is not repeated: it may hold anything, the token too.
            raise Unauthenticated(
                "the issuer does not exchange this user's access token for one for the gateway: "
                "the user has to sign in again, or this server's client may not exchange tokens",
                reason="SUBJECT_TOKEN_REJECTED",
            )
        lasts = found.get("expires_in")
        return Secret(token), float(lasts) if isinstance(lasts, (int, float)) else EARLY_SECONDS
