"""Tokens of platforms as this client sees them: signed JWTs whose times it reads, and whose signature it does not."""

import json
import time
from typing import Any

from tests.token_forge import b64

AUDIENCE = "https://remit.acme.example"
HEADER = b'{"alg":"ES256","kid":"1","typ":"JWT"}'


def jwt(*, ends_in: float = 300, **claims: Any) -> str:
    """Returns a token that ends in so many seconds; its signature is of the right form only."""
    now = time.time()
    body = {"iss": "https://platform.example", "iat": int(now), "exp": now + ends_in, **claims}
    return f"{b64(HEADER)}.{b64(json.dumps(body).encode())}.c2lnbmF0dXJl"
