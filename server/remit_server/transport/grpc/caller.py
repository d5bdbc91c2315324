"""What a connection says of its caller, taken from TLS and metadata; verifying it is the use case's first step."""

import ssl
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import grpc

from remit_server.domain.errors import Denied, Reason
from remit_server.domain.identity import Caller
from remit_server.domain.secret import Secret

MAX_BEARER = 16 * 1024
_SCHEME = "bearer "


def peer_of(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """Returns the remote address without its port; `unix` for a local socket."""
    kind, _, address = unquote(context.peer()).partition(":")
    if kind not in {"ipv4", "ipv6"}:
        return kind
    return address.rpartition(":")[0].strip("[]")


def caller_of(context: grpc.aio.ServicerContext[Any, Any]) -> Caller:
    """Returns the caller as the transport knows it; raises Denied(ACTOR_REJECTED) for contradictory metadata."""
    certificates = list(context.auth_context().get("x509_pem_cert", ()))
    certificate = _der(certificates[0]) if certificates else None
    return Caller(peer=peer_of(context), certificate_der=certificate, unverified_bearer=_bearer(context))


# Agents call again and again with one certificate, and the same bytes by their identity are soon known again.
@lru_cache(maxsize=256)
def _der(certificate_pem: bytes) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate_pem.decode("ascii"))


def _bearer(context: grpc.aio.ServicerContext[Any, Any]) -> Secret | None:
    """Returns the single bearer value, or None when there is no `authorization` at all."""
    values = [value for key, value in context.invocation_metadata() or () if key == "authorization"]
    if not values:
        return None
    if len(values) > 1:
        # NOTE: gRPC accepts several and leaves the choice to whoever reads first (8-threats.md G2).
        raise Denied(Reason.ACTOR_REJECTED, "more than one authorization value: send exactly one bearer token")
    value = values[0] if isinstance(values[0], str) else ""
    token = value[len(_SCHEME) :]
    if not value.lower().startswith(_SCHEME) or not token or len(token) > MAX_BEARER or not token.isascii():
        raise Denied(Reason.ACTOR_REJECTED, "the authorization value is no bearer token: send `Bearer <token>`")
    if any(character <= " " or character == "\x7f" for character in token):
        raise Denied(Reason.ACTOR_REJECTED, "the bearer token holds spaces or control characters")
    return Secret(token)
