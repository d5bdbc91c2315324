"""Says why a document could not be fetched, and what to do: for the operator's log, in words of ours only."""

import ssl
from pathlib import Path
from typing import Final

import aiohttp

# OpenSSL's X509_V_ERR_*: https://docs.openssl.org/master/man3/X509_STORE_CTX_get_error/
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_UNKNOWN_AUTHORITY: Final = frozenset({2, 18, 19, 20, 21, 27})
_OTHER_NAME: Final = frozenset({62, 64})
_NO_ADDRESS: Final = "the name of `{}` cannot be resolved: correct the host, or mend the gateway's DNS"


class FetchFailed(Exception):  # noqa: N818 - named for what it says
    """The document cannot be had; says why and what to do, with nothing of what the other side sent."""


class FetchTimedOut(FetchFailed):
    """No whole answer came within the deadline."""


def fetch_failure(error: aiohttp.ClientError, host: str, ca_file: Path | None) -> FetchFailed:
    """Returns what a failed connection or a malformed answer is called; `host` is of the configuration."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return FetchFailed(_about_certificate(error.certificate_error, host, ca_file))
        case aiohttp.ClientConnectorDNSError():
            return FetchFailed(_NO_ADDRESS.format(host))
        case aiohttp.ClientConnectorSSLError():
            return FetchFailed(
                f"`{host}` speaks no acceptable TLS there: correct the port, or let it speak TLS 1.2 or newer"
            )
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
            return FetchFailed(f"`{host}` refuses the connection: start its server, or correct host and port")
        case aiohttp.ClientConnectorError():
            return FetchFailed(f"`{host}` cannot be reached from here: check routes and firewalls (network error)")
        case _:
            return FetchFailed(f"`{host}` broke off, or its answer is no proper HTTP: look at that server's log")


def _about_certificate(error: Exception, host: str, ca_file: Path | None) -> str:
    """Returns which check the certificate failed, by the number that OpenSSL gives it."""
    code = error.verify_code if isinstance(error, ssl.SSLCertVerificationError) else None
    authorities = f"ca_file {ca_file}" if ca_file else "the system's authorities (no ca_file is set)"
    if code in _UNKNOWN_AUTHORITY:
        return (
            f"the certificate of `{host}` is not trusted by {authorities}: set ca_file to the authorities that sign "
            "this issuer's certificate, the whole chain up to the root"
        )
    if code in _OTHER_NAME:
        return (
            f"the certificate of `{host}` is made out to other names: correct the host, or have it issued for that name"
        )
    if code in {_NOT_YET_VALID, _EXPIRED}:
        return f"the certificate of `{host}` has expired or is not valid yet: have it renewed, and check the clocks"
    return f"the certificate of `{host}` is not acceptable (OpenSSL's check {code}): have it issued anew"
