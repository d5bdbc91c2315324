"""Takes a security event token apart before anything in it is believed (RFC 8417, SSF 1.0 4.1, 8-threats.md 2b).

The JWS is read as strictly as that of any token; what must not stand in an event is what makes it another token.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from remit_server.adapters.identity.claim_values import optional_text, text_claim
from remit_server.adapters.identity.token_parsing import (
    TokenRefused,
    UnverifiedJws,
    date_claim,
    json_object,
    one_audience,
    parse_jws,
)

# NOTE: an access token or an ID token has both; an event that had them could be shown as one (RFC 8417 4.5, 4.6).
_OF_OTHER_TOKENS: Final = ("exp", "sub")


@dataclass(frozen=True, slots=True)
class UnverifiedSet:
    """A SET whose registered claims have the right form, with its one event; `unverified_claims` are all of them."""

    jws: UnverifiedJws
    unverified_issuer: str
    unverified_audience: str
    unverified_event_id: str
    unverified_issue_time: float
    unverified_event_type: str
    unverified_event: Mapping[str, Any] = field(repr=False)
    unverified_claims: Mapping[str, Any] = field(repr=False)


def parse_set(text: str) -> UnverifiedSet:
    """Returns the parts of a SET; raises TokenRefused for anything that two readers could read differently."""
    jws = parse_jws(text)
    claims = json_object(jws.unverified_payload, "payload")
    for name in _OF_OTHER_TOKENS:
        if name in claims:
            raise TokenRefused(f"the claim `{name}` must not stand in a security event token: this is another token")
    event_type, event = _one_event(claims)
    optional_text(claims, "txn")
    return UnverifiedSet(
        jws=jws,
        unverified_issuer=text_claim(claims, "iss"),
        unverified_audience=one_audience(claims),
        unverified_event_id=text_claim(claims, "jti"),
        unverified_issue_time=date_claim(claims, "iat"),
        unverified_event_type=event_type,
        unverified_event=event,
        unverified_claims=claims,
    )


def _one_event(claims: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Returns the event's type and content: one event to a token, so that it is obeyed as a whole or not at all."""
    events = claims.get("events")
    if not isinstance(events, dict) or len(events) != 1:
        raise TokenRefused("the claim `events` must be an object with exactly one event")
    ((event_type, event),) = events.items()
    text_claim({"events": event_type}, "events")
    if not isinstance(event, dict):
        raise TokenRefused("the event is not an object")
    return event_type, event
