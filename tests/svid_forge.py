"""Makes client certificates of every kind, fit and unfit: a real SPIRE refuses to sign most of them."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from tests.token_forge import NOON, ec_key

COPILOT = "spiffe://example.org/agents/copilot"


def key_usage(**bits: bool) -> x509.KeyUsage:
    usual = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(**{**usual, **bits})


def uris(*names: str) -> list[x509.GeneralName]:
    return [x509.UniformResourceIdentifier(name) for name in names]


def svid(
    *names: str,
    san: Sequence[x509.GeneralName] | None = None,
    usage: x509.KeyUsage | None = key_usage(digital_signature=True),  # noqa: B008 - frozen
    authority: bool | None = False,
    purposes: Sequence[Any] | None = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH),
    start: dt.datetime = NOON - dt.timedelta(hours=1),
    end: dt.datetime = NOON + dt.timedelta(hours=1),
    key: ec.EllipticCurvePrivateKey | None = None,
) -> bytes:
    """Returns a certificate in DER; None leaves an extension out."""
    key = key or ec_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "agent")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(start)
        .not_valid_after(end)
    )
    subject_names = uris(*names) if san is None else list(san)
    if subject_names:
        builder = builder.add_extension(x509.SubjectAlternativeName(subject_names), critical=False)
    if usage is not None:
        builder = builder.add_extension(usage, critical=True)
    if authority is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    if purposes is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    return builder.sign(ec_key(), hashes.SHA256()).public_bytes(serialization.Encoding.DER)
