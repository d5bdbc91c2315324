"""What the gateway's own issuer publishes: equal keys make equal bytes, on every replica and in every file."""

import json
from typing import Final

from remit_server.adapters.issuer.keys import Keys

DISCOVERY_PATH: Final = "/.well-known/openid-configuration"
KEY_SET_PATH: Final = "/.well-known/jwks.json"


def discovery(url: str, keys: Keys) -> bytes:
    """Returns the discovery document (OpenID Connect Discovery 1.0, 3) of an issuer at which nobody logs in."""
    return _printed(
        {
            "issuer": url,
            "jwks_uri": f"{url}{KEY_SET_PATH}",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": sorted({key.algorithm for key in keys.published}),
            "claims_supported": ["aud", "exp", "iat", "iss", "jti", "sub"],
        }
    )


def key_set(keys: Keys) -> bytes:
    """Returns the key set (RFC 7517) with every published key."""
    return _printed({"keys": [key.jwk() for key in keys.published]})


def _printed(document: dict[str, object]) -> bytes:
    """Returns the document as text that people can read, the same each time."""
    return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode("ascii")
