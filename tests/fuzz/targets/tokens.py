"""Identity tokens and security event tokens, before their signatures are looked at."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Final

from tests.fuzz.target import Target, linear, same, text_of

from remit_server.adapters.identity.token_parsing import TokenRefused, UnverifiedJws, parse_token
from remit_server.adapters.security_events.set_parsing import parse_set

_HEADER: Final = b'{"alg":"RS256","kid":"2026-11","typ":"JWT"}'
_CLAIMS: Final = {"iss": "https://idp.example", "sub": "alice", "aud": "remit", "iat": 1764500000, "exp": 1764503600}
_EVENTS: Final = {
    "iss": "https://idp.example",
    "aud": ["https://remit.example"],
    "iat": 1764500000.5,
    "jti": "event-1",
    "txn": "8675309",
    "events": {
        "https://schemas.openid.net/secevent/caep/event-type/session-revoked": {
            "subject": {"format": "iss_sub", "iss": "https://idp.example", "sub": "alice"},
            "event_timestamp": 1764500000,
        }
    },
}


def _token(data: bytes) -> str:
    """Makes a token: of header and payload where a NUL divides them, else the text itself."""
    header, divided, payload = data.partition(b"\0")
    if not divided:
        return text_of(data)
    return ".".join([_encoded(header or _HEADER), _encoded(payload), _encoded(b"signature")])


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _reads(parse: Callable[[str], UnverifiedJws]) -> Callable[[bytes], None]:
    def check(data: bytes) -> None:
        token = _token(data)
        try:
            jws = parse(token)
        except TokenRefused:
            return
        written = f"{jws.signing_input.decode('ascii')}.{_encoded(jws.unverified_signature)}"
        same(written, token, "what is verified")
        same(_encoded(jws.unverified_payload), token.split(".")[1], "the payload")

    return check


def _seeds(claims: dict[str, object]) -> Callable[[], Iterator[bytes]]:
    def seeds() -> Iterator[bytes]:
        payload = json.dumps(claims).encode()
        yield b"\0" + payload
        yield _HEADER + b"\0" + payload
        yield b'{"alg":"none","kid":"a","jku":"https://evil.example"}\0' + payload
        yield _token(b"\0" + payload).encode()
        yield b"\0" + json.dumps({**claims, "aud": ["a", "b"], "nbf": True, "iat": 1e400}).encode()
        yield b"\0" + payload[:-1] + b',"iss":"twice"}'
        yield b"\0" + b"[" * 64
        yield b"a.b.c.d"

    return seeds


TARGETS: Final = (
    Target("identity_token", _reads(lambda text: parse_token(text).jws), _seeds(_CLAIMS), linear(500, 8)),
    Target("security_event_token", _reads(lambda text: parse_set(text).jws), _seeds(_EVENTS), linear(500, 8)),
)
