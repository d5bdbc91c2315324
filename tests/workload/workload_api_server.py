"""A SPIFFE Workload API as its specification has it, on a unix socket or loopback, with SVIDs that a test gives it.

It exists because SPIRE is too large to build here and decides by itself when to rotate. Its messages are py-spiffe's,
made from the specification's own proto, so that they are another description of the wire than the client's.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from spiffe._proto import workload_pb2, workload_pb2_grpc

from remit_sandbox.certificates import Authority, KeyPair

DER, PKCS8 = serialization.Encoding.DER, serialization.PrivateFormat.PKCS8


@dataclass(frozen=True)
class X509:
    """One X509-SVID as the Workload API gives it."""

    spiffe_id: str
    chain: bytes
    key: bytes = field(repr=False)
    bundle: bytes


def x509_of(authority: Authority, spiffe_id: str, pair: KeyPair) -> X509:
    """Returns a certificate of an authority in the form of the Workload API."""
    (leaf,) = x509.load_pem_x509_certificates(pair.certificate_path.read_bytes())
    (root,) = x509.load_pem_x509_certificates(authority.bundle_path.read_bytes())
    key = serialization.load_pem_private_key(pair.key_path.read_bytes(), None)
    return X509(
        spiffe_id,
        leaf.public_bytes(DER),
        key.private_bytes(DER, PKCS8, serialization.NoEncryption()),
        root.public_bytes(DER),
    )


@dataclass
class WorkloadApi(workload_pb2_grpc.SpiffeWorkloadAPIServicer):
    """Gives what it holds to every caller, and again whenever that changes; gives nobody anything while it holds None.

    `tokens` are JWT-SVIDs by audience.
    """

    address: str = ""
    held: tuple[X509, ...] | None = ()
    tokens: dict[str, list[str]] = field(default_factory=dict)
    asked: list[tuple[tuple[str, ...], str]] = field(default_factory=list)
    change: threading.Condition = field(default_factory=threading.Condition)
    number: int = 0
    ending: bool = False

    def rotate(self, *held: X509) -> None:
        """Gives these from now on, to those that are listening, too."""
        with self.change:
            self.held = held
            self.number += 1
            self.change.notify_all()

    def forget(self) -> None:
        """Gives nobody an identity any more, and ends what is under way."""
        with self.change:
            self.held = None
            self.number += 1
            self.change.notify_all()

    def FetchX509SVID(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802 - the proto's name
        del request
        _check_header(context)
        context.add_callback(self._wake)
        seen = -1
        while (found := self._next(seen, context)) is not None:
            seen, held = found
            if held is None:
                context.abort(grpc.StatusCode.PERMISSION_DENIED, "no identity issued")
            else:
                yield _message(held)

    def FetchJWTSVID(self, request: Any, context: Any) -> Any:  # noqa: N802 - the proto's name
        _check_header(context)
        self.asked.append((tuple(request.audience), request.spiffe_id))
        tokens = self.tokens.get(request.audience[0], [])
        if not tokens:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "no identity issued")
        token = tokens.pop(0) if len(tokens) > 1 else tokens[0]
        svid = workload_pb2.JWTSVID(spiffe_id="spiffe://acme.example/copilot", svid=token)
        return workload_pb2.JWTSVIDResponse(svids=[svid])

    def _next(self, seen: int, context: Any) -> "tuple[int, tuple[X509, ...] | None] | None":
        """Waits for another state than the one that was seen; None when there is nobody to tell it to any more."""
        with self.change:
            self.change.wait_for(lambda: self.number != seen or not context.is_active() or self.ending)
            return None if self.ending or not context.is_active() else (self.number, self.held)

    def _wake(self) -> None:
        with self.change:
            self.change.notify_all()

    def end(self) -> None:
        """Lets every stream end."""
        self.ending = True
        self._wake()


def _check_header(context: Any) -> None:
    """Refuses a caller without the header that keeps browsers out (Workload API, 4)."""
    if ("workload.spiffe.io", "true") not in context.invocation_metadata():
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "security header missing from request")


def _message(held: tuple[X509, ...]) -> Any:
    svids = [
        workload_pb2.X509SVID(spiffe_id=one.spiffe_id, x509_svid=one.chain, x509_svid_key=one.key, bundle=one.bundle)
        for one in held
    ]
    return workload_pb2.X509SVIDResponse(svids=svids)


@contextmanager
def workload_api(
    folder: Path | None, api: WorkloadApi | None = None, *, name: str = "api.sock"
) -> Iterator[WorkloadApi]:
    """Serves it on a socket in the folder, or on a free port of loopback without one."""
    api = api or WorkloadApi()
    server = grpc.server(ThreadPoolExecutor(16))
    workload_pb2_grpc.add_SpiffeWorkloadAPIServicer_to_server(api, server)  # type: ignore[no-untyped-call]
    if folder is None:
        api.address = f"tcp://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    else:
        server.add_insecure_port(f"unix:{folder / name}")
        api.address = f"unix://{folder / name}"
    api.ending = False
    server.start()
    try:
        yield api
    finally:
        api.end()
        server.stop(grace=None).wait()
