"""The sandbox's own certificate authority: server certificates and X509-SVIDs for agents.

The authority's private key never leaves memory, so a certificate of the sandbox cannot be made once it
has ended. The extensions are those that strict verifiers ask for (RFC 5280 4.2, X509-SVID 4).
"""

import datetime as dt
import ipaddress
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from remit_sandbox.errors import SandboxError
from remit_sandbox.private_files import private_folder, write_private

AUTHORITY_LIFETIME = dt.timedelta(days=8)
SERVER_LIFETIME = dt.timedelta(days=7)
SVID_LIFETIME = dt.timedelta(hours=24)
_CLOCK_SKEW = dt.timedelta(minutes=5)

# SPIFFE-ID 2: a trust domain, then path segments of these characters, none of them "." or "..".
_SPIFFE_ID = re.compile(r"spiffe://[a-z0-9._-]{1,255}(/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+)+", re.ASCII)
_LONGEST_SPIFFE_ID = 200  # it becomes a file name
_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The PEM files of a certificate and its private key; the key's mode is 0600."""

    certificate_path: Path
    key_path: Path


@dataclass(frozen=True, slots=True)
class _Leaf:
    """What a certificate says of its holder."""

    names: tuple[x509.GeneralName, ...]
    purposes: tuple[x509.ObjectIdentifier, ...]
    common_name: str
    file_stem: str


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority of one sandbox; `bundle_path` is the PEM that its verifiers trust."""

    folder: Path
    bundle_path: Path
    _certificate: x509.Certificate = field(repr=False)
    _key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def create(cls, folder: Path) -> Self:
        """Makes an authority whose files go into the folder (made 0700); raises SandboxError if others can enter it."""
        private_folder(folder)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _sign_authority(key)
        bundle_path = write_private(folder / "ca.pem", certificate.public_bytes(serialization.Encoding.PEM))
        return cls(folder=folder, bundle_path=bundle_path, _certificate=certificate, _key=key)

    def issue_server(self, names: Sequence[str], *, start: dt.datetime | None = None) -> KeyPair:
        """Issues a TLS server certificate for host names and IP addresses; the first one names its files.

        It begins now, or at `start` (one that is over, for tests).
        """
        if not names:
            raise SandboxError("a server certificate needs at least one name")
        leaf = _Leaf(
            names=tuple(_server_name(name) for name in names),
            purposes=(ExtendedKeyUsageOID.SERVER_AUTH,),
            common_name=names[0],
            file_stem=f"server+{names[0].replace(':', '_')}",
        )
        return self._issue(leaf, start or dt.datetime.now(dt.UTC), SERVER_LIFETIME)

    def issue_client(self, spiffe_id: str, *, start: dt.datetime | None = None) -> KeyPair:
        """Issues an X509-SVID of 24 hours from now, or from `start` (an expired one for tests).

        Raises SandboxError for what is no SPIFFE ID of a workload.
        """
        if not _SPIFFE_ID.fullmatch(spiffe_id) or len(spiffe_id) > _LONGEST_SPIFFE_ID:
            raise SandboxError(f"{spiffe_id!r} is no SPIFFE ID of a workload (spiffe://trust-domain/path)")
        leaf = _Leaf(
            names=(x509.UniformResourceIdentifier(spiffe_id),),
            purposes=(ExtendedKeyUsageOID.CLIENT_AUTH,),
            common_name="agent",
            file_stem=spiffe_id.removeprefix("spiffe://").replace("/", "+"),
        )
        return self._issue(leaf, start or dt.datetime.now(dt.UTC), SVID_LIFETIME)

    def trust(self) -> ssl.SSLContext:
        """Returns a client's TLS context that trusts this authority and no other."""
        return ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(self.bundle_path))

    def _issue(self, leaf: _Leaf, start: dt.datetime, lifetime: dt.timedelta) -> KeyPair:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(leaf.common_name, self._certificate.subject, key.public_key(), start, start + lifetime)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(leaf.purposes), critical=False)
            .add_extension(x509.SubjectAlternativeName(leaf.names), critical=False)
            .add_extension(_authority_key_identifier(self._certificate), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return KeyPair(
            certificate_path=write_private(
                self.folder / f"{leaf.file_stem}.pem", certificate.public_bytes(serialization.Encoding.PEM)
            ),
            key_path=write_private(self.folder / f"{leaf.file_stem}.key", _pem(key)),
        )


def _sign_authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    start = dt.datetime.now(dt.UTC)
    common_name = "Remit sandbox authority"
    builder = _builder(common_name, _subject(common_name), key.public_key(), start, start + AUTHORITY_LIFETIME)
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )


def _builder(
    common_name: str,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    start: dt.datetime,
    end: dt.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_subject(common_name))
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - _CLOCK_SKEW)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _subject(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Remit sandbox"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64]),
        ]
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_key_identifier(authority: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier.value)


def _server_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        if not _HOST_NAME.fullmatch(name):
            raise SandboxError(f"{name!r} is neither an IP address nor a host name in lower case") from None
        return x509.DNSName(name)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
