"""The two questions to the SPIFFE Workload API that an agent has (SPIFFE Workload API, 4 to 6).

The messages are described here, in a pool of their own: other clients of this API register the same names, which have
no package, in the process's pool, and two descriptions of one name cannot be loaded together. On the wire only numbers
matter.
"""

import functools
import ipaddress
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from remit.workload.failing import NoWorkloadIdentity, harmless

SOCKET = "SPIFFE_ENDPOINT_SOCKET"
SECONDS = 10.0
_SERVICE = "/SpiffeWorkloadAPI"
_METADATA = (("workload.spiffe.io", "true"),)  # 4: keeps requests that were forged by way of a browser out
_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.service_config_disable_resolution", 1),
)
_TEXT, _BYTES, _MESSAGE = 9, 12, 11  # FieldDescriptorProto.Type
_ONE, _MANY = 1, 3  # FieldDescriptorProto.Label
_MESSAGES: dict[str, list[tuple[str, int, int, int, str]]] = {
    "X509SVIDRequest": [],
    "X509SVID": [
        ("spiffe_id", 1, _TEXT, _ONE, ""),
        ("x509_svid", 2, _BYTES, _ONE, ""),
        ("x509_svid_key", 3, _BYTES, _ONE, ""),
        ("bundle", 4, _BYTES, _ONE, ""),
    ],
    "X509SVIDResponse": [("svids", 1, _MESSAGE, _MANY, "X509SVID")],
    "JWTSVIDRequest": [("audience", 1, _TEXT, _MANY, ""), ("spiffe_id", 2, _TEXT, _ONE, "")],
    "JWTSVID": [("spiffe_id", 1, _TEXT, _ONE, ""), ("svid", 2, _TEXT, _ONE, "")],
    "JWTSVIDResponse": [("svids", 1, _MESSAGE, _MANY, "JWTSVID")],
}
_ADVICE = {
    grpc.StatusCode.PERMISSION_DENIED: (
        "register this workload: at SPIRE, `spire-server entry create` with selectors that fit this process"
    ),
    grpc.StatusCode.UNAVAILABLE: f"look whether the SPIFFE agent runs, and whether {SOCKET} is its socket",
}


@functools.cache
def message(name: str) -> Any:
    """Returns the class of a message."""
    file = descriptor_pb2.FileDescriptorProto(name="remit/workload_api.proto", package="remit.spiffe", syntax="proto3")
    for kind, fields in _MESSAGES.items():
        described = file.message_type.add(name=kind)
        for field, number, type_, label, of in fields:
            found = described.field.add(name=field, number=number, type=type_, label=label)
            if of:
                found.type_name = f".remit.spiffe.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"remit.spiffe.{name}"))


@contextmanager
def workload_api(socket: str | None) -> Iterator[grpc.Channel]:
    """Gives a channel to the Workload API; raises NoWorkloadIdentity where there can be none."""
    with grpc.insecure_channel(target_of(socket), options=_OPTIONS) as channel:
        yield channel


def jwt_svid(channel: grpc.Channel, audience: str, spiffe_id: str | None) -> str:
    """Asks for a JWT-SVID; raises NoWorkloadIdentity."""
    ask = channel.unary_unary(
        f"{_SERVICE}/FetchJWTSVID",
        request_serializer=message("JWTSVIDRequest").SerializeToString,
        response_deserializer=message("JWTSVIDResponse").FromString,
    )
    request = message("JWTSVIDRequest")(audience=[audience], spiffe_id=spiffe_id or "")
    try:
        answer = ask(request, timeout=SECONDS, metadata=_METADATA)
    except grpc.RpcError as error:
        raise refused(error, "WORKLOAD_TOKEN_UNAVAILABLE") from None
    if not answer.svids:
        raise NoWorkloadIdentity("the SPIFFE Workload API gave no JWT-SVID")
    return str(answer.svids[0].svid)


def x509_svids(channel: grpc.Channel) -> Any:
    """Asks for X509-SVIDs and returns the call, which yields all of them whenever one has changed."""
    ask = channel.unary_stream(
        f"{_SERVICE}/FetchX509SVID",
        request_serializer=message("X509SVIDRequest").SerializeToString,
        response_deserializer=message("X509SVIDResponse").FromString,
    )
    return ask(message("X509SVIDRequest")(), metadata=_METADATA)


def refused(error: Any, reason: str) -> NoWorkloadIdentity:
    """Returns what a failed call means; it is both gRPC's error and the call."""
    code, said = error.code(), harmless(error.details() or "")
    return NoWorkloadIdentity(
        f"the SPIFFE Workload API gave no identity: {code.name}: {said}",
        advice=_ADVICE.get(code, "look into the log of the SPIFFE agent"),
        reason=reason,
    )


def target_of(socket: str | None) -> str:
    """Returns where gRPC finds the Workload API; raises NoWorkloadIdentity with what is wrong with the address."""
    text = socket or os.environ.get(SOCKET, "")
    if not text:
        raise NoWorkloadIdentity(
            f"{SOCKET} is not set",
            advice=f"set it to the SPIFFE agent's socket, such as {SOCKET}=unix:///run/spire/s.sock",
        )
    parts = urlsplit(text)
    if parts.scheme == "tcp":
        return _tcp(text, parts.hostname or "")
    path = Path(parts.path)
    if parts.scheme not in {"", "unix"} or parts.netloc or parts.query or parts.fragment or not path.is_absolute():
        raise NoWorkloadIdentity(
            f"{harmless(text)} is no address of a Workload API",
            advice="write it as unix:///path or tcp://127.0.0.1:port",
        )
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise NoWorkloadIdentity(f"{path} is no socket", advice=_ADVICE[grpc.StatusCode.UNAVAILABLE])
    except OSError as error:
        raise NoWorkloadIdentity(
            f"the socket {path} of the SPIFFE agent cannot be used: {error.strerror}",
            advice=_ADVICE[grpc.StatusCode.UNAVAILABLE],
        ) from None
    return f"unix:{path}"


def _tcp(text: str, host: str) -> str:
    """Reads a TCP address: keys come over it without encryption, so it is this machine's or none."""
    try:
        port = urlsplit(text).port
        if port and ipaddress.ip_address(host).is_loopback:
            return f"{'ipv6:' if ':' in host else 'ipv4:'}{f'[{host}]' if ':' in host else host}:{port}"
    except ValueError:
        pass
    raise NoWorkloadIdentity(
        f"{harmless(text)} is no address on this machine: the Workload API sends keys without encryption",
        advice="use the agent's unix socket, or tcp://127.0.0.1:port",
    )
