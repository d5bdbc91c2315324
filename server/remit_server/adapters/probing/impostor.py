"""Makes a certificate that says it is the agent, by an authority that nobody trusts."""

import datetime as dt
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from remit_server.application.probing.probe_gateway import MadeCertificate
from remit_server.domain.secret import Secret

_COPIED: Final = (x509.SubjectAlternativeName, x509.KeyUsage, x509.ExtendedKeyUsage, x509.BasicConstraints)


def impostor(right_pem: bytes) -> MadeCertificate:
    """Returns the names and uses of a certificate, certified by an authority of its issuer's name made on the spot.

    Raises ValueError for what holds no certificate in PEM.
    """
    right = x509.load_pem_x509_certificate(right_pem)
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    made = _builder(right.subject, _named(right.issuer), key.public_key())
    for kind in _COPIED:
        try:
            found = right.extensions.get_extension_for_class(kind)
        except x509.ExtensionNotFound:
            continue
        made = made.add_extension(found.value, critical=found.critical)
    root = _builder(_named(right.issuer), _named(right.issuer), authority.public_key())
    root = root.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    chain = [made.sign(authority, hashes.SHA256()), root.sign(authority, hashes.SHA256())]
    pem = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)
    return MadeCertificate(pem, Secret(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()))


def _named(name: x509.Name) -> x509.Name:
    """Returns the name, or one to stand for an empty one."""
    return name if list(name) else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "remit probe")])


def _builder(subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    """Begins a certificate that is good for an hour."""
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(hours=1))
    )
