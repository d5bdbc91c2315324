"""Says whether a TLS server turns a client's certificate away, which gRPC tells as it tells any lost connection.

Servers do that with an alert (RFC 8446 6.2), or just close, as gRPC's do. So the right certificate is shown as well,
at the same moment: only a server that talks to that one has turned the other away.
"""

import socket
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from remit_server.domain.secret import Secret


@dataclass(frozen=True, slots=True)
class Shown:
    """A certificate and its key in PEM, or nothing at all."""

    certificate: bytes = b""
    key: Secret | None = None


class _Heard(Enum):
    TALKS = "talks"
    ALERT = "an alert that refuses the certificate"
    CLOSED = "closed the connection"
    NOTHING = "nothing"


NOBODY: Final = Shown()
_ALERTS: Final = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "HANDSHAKE_FAILURE", "DECRYPT_ERROR")
_TURNED: Final[Mapping[_Heard, str]] = {
    _Heard.ALERT: "the gateway refused the certificate in the handshake",
    _Heard.CLOSED: "the gateway closed the connection after the handshake, and talks to the right certificate",
}


def turned_away(target: str, ca_file: Path | None, shown: Shown, right: Shown, timeout: float) -> str:
    """Returns how the server turns this certificate away while it talks to the right one; empty where it does not.

    The server itself is verified: a no of anybody else is none.
    """
    heard = _knock(target, _context(ca_file, shown), timeout)
    if heard not in _TURNED or _knock(target, _context(ca_file, right), timeout) is not _Heard.TALKS:
        return ""
    return _TURNED[heard]


def _knock(target: str, context: ssl.SSLContext, timeout: float) -> _Heard:
    """Connects and listens for the first byte: TLS 1.3's server judges the certificate after the client is done."""
    host, _, port = target.rpartition(":")
    host, is_shaken = host.strip("[]"), False
    try:
        with (
            socket.create_connection((host, int(port)), timeout) as plain,
            context.wrap_socket(plain, server_hostname=host) as connection,
        ):
            is_shaken = True
            return _Heard.TALKS if connection.recv(1) else _Heard.CLOSED
    except ssl.SSLCertVerificationError:
        return _Heard.NOTHING
    except ssl.SSLEOFError:
        return _Heard.CLOSED if is_shaken else _Heard.NOTHING
    except ssl.SSLError as error:
        told = str(error.reason or "")
        return _Heard.ALERT if "ALERT" in told and any(word in told for word in _ALERTS) else _Heard.NOTHING
    except ConnectionResetError:
        return _Heard.CLOSED if is_shaken else _Heard.NOTHING
    except (OSError, ValueError):
        return _Heard.NOTHING


def _context(ca_file: Path | None, shown: Shown) -> ssl.SSLContext:
    """Returns a client's context that shows the certificate; the public roots where no authority is named."""
    context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(["h2"])
    if shown.key is not None:
        with tempfile.TemporaryDirectory(prefix="remit-probe-") as folder:  # mode 0700: ssl reads files only
            file = Path(folder) / "pair.pem"
            file.write_bytes(shown.key.reveal().encode() + b"\n" + shown.certificate)
            context.load_cert_chain(file)
    return context
