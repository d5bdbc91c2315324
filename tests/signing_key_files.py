"""Key files of an issuer, as whoever rotates keys puts them in their places."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def pem(key: Key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def put_key(path: Path, key: Key) -> None:
    """Puts a private key in its place at once, as whoever rotates keys does."""
    fresh = path.with_name(f"{path.name}.fresh")
    fresh.write_bytes(pem(key))
    fresh.chmod(0o600)
    fresh.replace(path)


def fresh_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())
