"""Verifies tokens of the configured issuers: signature, issuer, audience, type, times; nothing is left to a default.

Verifying runs on the event loop: 0.2 to 0.35 ms of CPU for a new token, 5 to 10 microseconds for one seen.
"""

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from remit_server.adapters.identity.claim_profiles import TokenHolder, read_holder
from remit_server.adapters.identity.token_parsing import TokenRefused, UnverifiedToken, parse_token
from remit_server.adapters.identity.verification_keys import VerificationKey
from remit_server.application.ports import Clock
from remit_server.config.settings import IssuerSettings
from remit_server.domain.errors import Remedy
from remit_server.domain.secret import Secret

MAX_CACHED_TOKENS: Final = 4096
_MAX_NOTED_CLAIMS: Final = 256

_log = logging.getLogger(__name__)


class KeySource(Protocol):
    """Knows the keys of one issuer."""

    async def key(self, unverified_key_id: str, /) -> VerificationKey:
        """Returns the key; raises TokenRefused when there is none, Outage(ISSUER_UNAVAILABLE) when it cannot be had."""
        ...


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """An issuer of the configuration and where its keys are known from."""

    settings: IssuerSettings
    keys: KeySource


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token whose every check passed; `claims` are the issuer's word, `holder` what they say of the subject."""

    issuer: IssuerSettings
    subject: str
    holder: TokenHolder
    issue_time: datetime
    expire_time: datetime
    fingerprint: str
    claims: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A verified token with what must still hold when it comes again."""

    parsed: UnverifiedToken
    key: VerificationKey
    verified: VerifiedToken


class OidcVerifier:
    """Verifies tokens; remembers a bounded number of verified ones by SHA-256 of their text.

    A remembered token is checked again for time and for its key still being published, so it never outlives either.
    Raises ValueError when two issuers share a name or an alias: each token must have one reading.
    """

    def __init__(
        self, issuers: Sequence[TrustedIssuer], clock: Clock, *, max_cached_tokens: int = MAX_CACHED_TOKENS
    ) -> None:
        self._issuers = {issuer.settings.issuer: issuer for issuer in issuers}
        if len(self._issuers) != len(issuers) or len({issuer.settings.alias for issuer in issuers}) != len(issuers):
            raise ValueError("two issuers have the same name or the same alias")
        self._clock = clock
        self._max_cached = max_cached_tokens
        self._seen: OrderedDict[bytes, _Seen] = OrderedDict()
        self._noted: set[tuple[str, str]] = set()

    def settings_of(self, issuer: str) -> IssuerSettings | None:
        """Returns what is configured for an issuer; None when it is not trusted."""
        trusted = self._issuers.get(issuer)
        return None if trusted is None else trusted.settings

    async def verify(self, unverified_token: Secret) -> VerifiedToken:
        """Returns the verified token.

        Raises TokenRefused with the check that failed, or Outage(ISSUER_UNAVAILABLE) when the keys cannot be had.
        """
        text = unverified_token.reveal()
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        seen = self._seen.pop(digest, None)  # and kept again only when it passes
        if seen is None:
            return await self._verify_new(text, digest, unverified_token.fingerprint)
        key = await self._issuers[seen.verified.issuer.issuer].keys.key(seen.parsed.jws.unverified_key_id)
        if key is not seen.key:  # fetched anew: the signature must be that key's, too
            _check_signature(seen.parsed, seen.verified.issuer, key)
            seen = _Seen(parsed=seen.parsed, key=key, verified=seen.verified)
        _check_times(seen.parsed, seen.verified.issuer, self._clock.now().timestamp())
        self._remember(digest, seen)
        return seen.verified

    async def _verify_new(self, text: str, digest: bytes, fingerprint: str) -> VerifiedToken:
        """Checks a token from its first byte on."""
        unverified = parse_token(text)
        trusted = self._issuers.get(unverified.unverified_issuer)
        if trusted is None:
            raise TokenRefused("the token's issuer is not one that this gateway is configured to trust")
        settings = trusted.settings
        _check_type_and_audience(unverified, settings)
        key = await trusted.keys.key(unverified.jws.unverified_key_id)
        _check_signature(unverified, settings, key)
        _check_times(unverified, settings, self._clock.now().timestamp())
        verified = VerifiedToken(
            issuer=settings,
            subject=unverified.unverified_subject,
            holder=read_holder(settings, unverified.unverified_claims),
            issue_time=datetime.fromtimestamp(unverified.unverified_issue_time, UTC),
            expire_time=datetime.fromtimestamp(unverified.unverified_expire_time, UTC),
            fingerprint=fingerprint,
            claims=unverified.unverified_claims,
        )
        self._note_unaccounted(verified)
        self._remember(digest, _Seen(parsed=unverified, key=key, verified=verified))
        return verified

    def _remember(self, digest: bytes, seen: _Seen) -> None:
        """Keeps the token as the one used last; forgets the one that was used longest ago when there are too many."""
        self._seen[digest] = seen
        self._seen.move_to_end(digest)
        while len(self._seen) > self._max_cached:
            self._seen.popitem(last=False)

    def _note_unaccounted(self, verified: VerifiedToken) -> None:
        """Tells the operator once of each claim that nothing knows, so that a policy's missing input can be found."""
        for name in verified.holder.unaccounted:
            note = (verified.issuer.alias, name)
            if note not in self._noted and len(self._noted) < _MAX_NOTED_CLAIMS:
                self._noted.add(note)
                _log.info("issuer %s: claim %r is in no profile and not in kept_claims: dropped", note[0], name[:64])


def _check_type_and_audience(unverified: UnverifiedToken, settings: IssuerSettings) -> None:
    """Checks what kind of token this is (RFC 8725 3.11) and for whom it was made (3.9)."""
    kind = unverified.jws.unverified_type
    if _normal_type(kind if kind is not None else "JWT") != _normal_type(settings.token_type):
        raise TokenRefused("the token's type (`typ`) is not the one configured for its issuer; send the right token")
    if unverified.unverified_audience != settings.audience:
        raise TokenRefused("the token was made for another audience; ask its issuer for one for this gateway")


def _normal_type(kind: str) -> str:
    """Returns a media type without its optional `application/` and in lower case (RFC 7515 4.1.9)."""
    lowered = kind.lower()
    bare = lowered.removeprefix("application/")
    return lowered if "/" in bare else bare


def _check_signature(unverified: UnverifiedToken, settings: IssuerSettings, key: VerificationKey) -> None:
    """Checks the algorithm three ways (header, key and configuration agree) and then the signature with that key."""
    algorithm = unverified.jws.unverified_algorithm
    if algorithm not in settings.algorithms:
        raise TokenRefused("the token's algorithm is not one configured for its issuer")
    if algorithm not in key.algorithms:
        raise TokenRefused("the token's algorithm is not one that its key is published for")
    if not key.signed(unverified.jws):
        raise TokenRefused("the token's signature does not verify")


def _check_times(unverified: UnverifiedToken, settings: IssuerSettings, now: float) -> None:
    """Checks the lifetime and that now lies in it, with leeway for clocks that differ (RFC 7519 4.1.4 to 4.1.6)."""
    issued, expires = unverified.unverified_issue_time, unverified.unverified_expire_time
    leeway = settings.leeway.total_seconds()
    if not 0 < expires - issued <= settings.max_lifetime.total_seconds():
        raise TokenRefused("the token's lifetime (`exp` - `iat`) is not more than 0 or over the configured maximum")
    if now >= expires + leeway:
        raise TokenRefused("the token has expired; get a new one", remedy=Remedy.REAUTHENTICATE)
    if issued > now + leeway:
        raise TokenRefused("the token was issued in the future; check the clocks", remedy=Remedy.RETRY_LATER)
    if unverified.unverified_not_before is not None and unverified.unverified_not_before > now + leeway:
        raise TokenRefused("the token is not valid yet; check the clocks", remedy=Remedy.RETRY_LATER)
