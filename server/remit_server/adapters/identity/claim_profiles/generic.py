"""Any OpenID Connect issuer: OpenID Connect Core 1.0, RFC 9068."""

from typing import Final

from remit_server.adapters.identity.claim_profiles.profile import (
    Profile,
    client_is_subject,
    groups_listed,
    no_check,
    verified_email,
)

GENERIC: Final = Profile(check=no_check, groups=groups_listed, email=verified_email, is_client=client_is_subject)
