"""Reads who an agent is from the client certificate that the TLS handshake verified: its X509-SVID.

The handshake proved the chain to a configured authority and the possession of the key. What is checked here is what
TLS does not ask: that the certificate is a workload's SVID, of a trust domain that this gateway takes (X509-SVID 2-5).
"""

import base64
import hashlib
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final, TypeVar

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from remit_server.adapters.identity.token_parsing import TokenRefused
from remit_server.application.ports import Clock
from remit_server.domain.errors import Remedy
from remit_server.domain.spiffe_id import SpiffeId, spiffe_id_of

_Value = TypeVar("_Value", bound=x509.ExtensionType)
_MAX_CERTIFICATE_BYTES: Final = 32 * 1024
_REMEMBERED: Final = 256  # certificates: 8 MB at the very most
# NOTE: the library parses extensions lazily and raises these for malformed ones; none of them may read as absence.
_MALFORMED: Final = (
    ValueError,
    TypeError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True, slots=True)
class Svid:
    """A verified X509-SVID: its SPIFFE ID, its `x5t#S256` (RFC 8705 3.1), and since when it is valid."""

    spiffe_id: SpiffeId
    thumbprint: str
    issue_time: datetime


@dataclass(frozen=True, slots=True)
class SpiffeVerifier:
    """Takes client certificates of the configured trust domains."""

    trust_domains: AbstractSet[str]
    clock: Clock

    def verify(self, certificate_der: bytes) -> Svid:
        """Returns the SVID; raises TokenRefused, saying which check failed, never what the certificate holds."""
        if len(certificate_der) > _MAX_CERTIFICATE_BYTES:
            raise TokenRefused(f"the client certificate is longer than {_MAX_CERTIFICATE_BYTES} bytes")
        read = _read(certificate_der)
        self._check_validity(read)
        if read.svid.spiffe_id.trust_domain not in self.trust_domains:
            raise TokenRefused("the client certificate's trust domain is not one of the configured ones")
        return read.svid

    def _check_validity(self, read: "_Read") -> None:
        """Checks the time again: the handshake may be hours ago on a connection that is kept."""
        now = self.clock.now()
        if now < read.start:
            raise TokenRefused("the client certificate is not valid yet; check the clocks")
        if now > read.end:
            raise TokenRefused("the client certificate has expired; fetch a new SVID", remedy=Remedy.REAUTHENTICATE)


@dataclass(frozen=True, slots=True)
class _Read:
    """What a certificate says, whatever the time is and whichever trust domains are taken."""

    start: datetime
    end: datetime
    svid: Svid


# NOTE: agents call again and again on one connection, and a certificate's bytes always say the same. Its time is
# checked at each call; what is refused is read anew each time.
@lru_cache(maxsize=_REMEMBERED)
def _read(certificate_der: bytes) -> _Read:
    """Returns what a workload's certificate says; raises TokenRefused for any other certificate."""
    try:
        certificate = x509.load_der_x509_certificate(certificate_der)
        start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        _check_use(certificate.extensions)
        spiffe_id = _spiffe_id(certificate.extensions)
    except _MALFORMED as wrong:
        raise TokenRefused("the client certificate is malformed") from wrong
    return _Read(start, end, Svid(spiffe_id, certificate_thumbprint(certificate_der), start))


def certificate_thumbprint(certificate_der: bytes) -> str:
    """Returns `x5t#S256`: SHA-256 of the DER certificate in base64url without padding (RFC 8705 3.1)."""
    return base64.urlsafe_b64encode(hashlib.sha256(certificate_der).digest()).rstrip(b"=").decode("ascii")


def _check_use(extensions: x509.Extensions) -> None:
    """Refuses certificates that sign others, and those that may not sign a handshake (X509-SVID 4.1 to 4.4)."""
    constraints = _extension(extensions, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise TokenRefused("the client certificate is one of an authority, not of a workload")
    usage = _extension(extensions, x509.KeyUsage)
    if usage is None or not usage.digital_signature or usage.key_cert_sign or usage.crl_sign:
        raise TokenRefused(
            "the client certificate's key usage must be digitalSignature, without keyCertSign and cRLSign"
        )
    purposes = _extension(extensions, x509.ExtendedKeyUsage)
    if purposes is not None and ExtendedKeyUsageOID.CLIENT_AUTH not in purposes:
        raise TokenRefused("the client certificate's extended key usage does not include clientAuth")


def _spiffe_id(extensions: x509.Extensions) -> SpiffeId:
    """Returns the SPIFFE ID, which is the one URI among the certificate's names (X509-SVID 2)."""
    names = _extension(extensions, x509.SubjectAlternativeName)
    uris = names.get_values_for_type(x509.UniformResourceIdentifier) if names is not None else []
    if len(uris) != 1:
        raise TokenRefused("the client certificate must have exactly one URI among its names, its SPIFFE ID")
    try:
        return spiffe_id_of(uris[0])
    except ValueError as wrong:
        raise TokenRefused(f"the client certificate's URI is {wrong}") from None


def _extension(extensions: x509.Extensions, kind: type[_Value]) -> _Value | None:
    """Returns the extension's value, or None when the certificate has none of that kind."""
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
