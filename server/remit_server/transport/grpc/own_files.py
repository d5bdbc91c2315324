"""What a command's options say of a connection: the gateway's address, and the files of PEM, told by the option's name.

gRPC itself tells a wrong address at the first call, and a wrong file to its own log only.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from remit.calling.unreachable import Way, is_target


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """The caller's own certificate and key, read again for each connection."""

    certificate_file: Path
    key_file: Path


def check_target(target: str) -> None:
    """Raises ValueError for what is not HOST:PORT."""
    if not is_target(target):
        raise ValueError(
            f"--gateway (or REMIT_GATEWAY) is HOST:PORT, such as gateway.example.com:8443, and not {target!r}: no "
            "https:// before it, no path behind it, and never without the port."
        )


def way_of(target: str, ca_file: Path | None, own: OwnCertificate | None) -> Way:
    """Returns how a gateway is called, in the words of the commands' options."""
    trusts = f"--ca-file {ca_file}" if ca_file else ""
    return Way(target, trusts, f"--certificate {own.certificate_file}" if own else "", "--ca-file (or REMIT_CA_FILE)")


def channel_credentials(ca_file: Path | None, own: OwnCertificate | None) -> grpc.ChannelCredentials:
    """Reads the files; raises ValueError that names option and file. Without `ca_file`: the roots that gRPC brings."""
    roots = None if ca_file is None else _roots(ca_file)
    if own is None:
        return grpc.ssl_channel_credentials(root_certificates=roots)
    certificate = _content("--certificate", own.certificate_file)
    key = _content("--key", own.key_file)
    _check_pair(own)
    return grpc.ssl_channel_credentials(root_certificates=roots, private_key=key, certificate_chain=certificate)


def _content(option: str, file: Path) -> bytes:
    """Reads a file."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise ValueError(f"{option} {file} cannot be read: {error.strerror or type(error).__name__}.") from None


def _roots(file: Path) -> bytes:
    """Returns the certificates of authorities in a file."""
    roots = _content("--ca-file", file)
    if not _takes(roots):
        raise ValueError(
            f"--ca-file {file} is not what it must be in PEM, or is damaged: it holds the certificate of the "
            "authority that signed the gateway's."
        )
    return roots


def _check_pair(own: OwnCertificate) -> None:
    """Raises ValueError for a certificate or key that is none, and for a key of another certificate."""
    if not _takes(own.certificate_file.read_bytes()):
        raise ValueError(f"--certificate {own.certificate_file} holds no certificate in PEM, or is damaged.")

    def no_password() -> str:
        raise ValueError(f"--key {own.key_file} is encrypted: give it without a passphrase, in a file of mode 0600.")

    if not _loads(lambda context: context.load_cert_chain(own.certificate_file, own.key_file, no_password)):
        raise ValueError(
            f"--key {own.key_file} is no private key in PEM, or belongs to another certificate than "
            f"--certificate {own.certificate_file}."
        )


def _loads(load: Callable[[ssl.SSLContext], Any]) -> bool:
    """Says whether OpenSSL takes it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # how strong keys must be is for gRPC to judge
    try:
        load(context)
    except ssl.SSLError:
        return False
    return True


def _takes(pem: bytes) -> bool:
    """Says whether OpenSSL takes it as certificates, of which there is one at least."""
    text = pem.decode("ascii", "ignore")
    return bool(text) and _loads(lambda context: context.load_verify_locations(cadata=text))
