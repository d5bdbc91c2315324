"""The one grammar of SPIFFE IDs, shared by the configuration and by what reads certificates."""

import re
from dataclasses import dataclass

MAX_SPIFFE_ID_BYTES = 2048

# SPIFFE-ID 2.1 to 2.3: lower case only, as SPIRE reads it; no port, user, query, fragment or percent-encoding.
_TRUST_DOMAIN = r"[a-z0-9._-]{1,255}"
_SEGMENT = r"(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+"
_WORKLOAD = re.compile(rf"spiffe://(?P<trust_domain>{_TRUST_DOMAIN})(?P<path>(?:/{_SEGMENT})+)", re.ASCII)
_DOMAIN = re.compile(_TRUST_DOMAIN, re.ASCII)


@dataclass(frozen=True, slots=True)
class SpiffeId:
    """The SPIFFE ID of a workload: a trust domain and a path that is not empty."""

    text: str
    trust_domain: str


def spiffe_id_of(text: str) -> SpiffeId:
    """Returns the SPIFFE ID of a workload; raises ValueError, without the text, for anything else (SPIFFE-ID 2)."""
    found = _WORKLOAD.fullmatch(text) if len(text) <= MAX_SPIFFE_ID_BYTES else None
    if found is None:
        raise ValueError("not the SPIFFE ID of a workload: spiffe://trust-domain/path, lower-case trust domain")
    return SpiffeId(text=text, trust_domain=found["trust_domain"])


def is_trust_domain(text: str) -> bool:
    """Says whether the text is a trust domain's name (SPIFFE-ID 2.1), without `spiffe://`."""
    return _DOMAIN.fullmatch(text) is not None
