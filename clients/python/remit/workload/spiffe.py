"""SPIFFE: this workload's JWT-SVID as a token, and its X509-SVID as a client certificate that follows its rotation."""

import threading
import time
import weakref
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Self

from remit.secret import Secret
from remit.workload import der
from remit.workload.failing import NoWorkloadIdentity
from remit.workload.token import WorkloadToken

PATIENCE = 10.0  # seconds for the first certificate
SHORTEST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
_REASON = "WORKLOAD_CERTIFICATE_UNAVAILABLE"


def spiffe_jwt(audience: str, *, socket: str | None = None, spiffe_id: str | None = None) -> WorkloadToken:
    """Returns the source of this workload's JWT-SVID, asked of the SPIFFE Workload API.

    `socket` is the agent's, `unix:///path` or `tcp://127.0.0.1:port`; without it SPIFFE_ENDPOINT_SOCKET. `spiffe_id`
    picks one where this workload has several.
    """
    given = {"audience": audience, "socket": socket or "", "spiffe_id": spiffe_id or ""}
    if not audience:
        raise ValueError("audience must say something: the one that the gateway has for the issuer")
    return WorkloadToken("spiffe", given, partial(_fetch, audience, socket, spiffe_id), keeps=True)


def spiffe_x509(
    *, socket: str | None = None, spiffe_id: str | None = None, trusts_bundle: bool = False
) -> "SpiffeX509":
    """Returns this workload's X509-SVID for `remit.Gateway(svid=)`, which follows it whenever it rotates.

    `socket` and `spiffe_id` as in `spiffe_jwt`. With `trusts_bundle` the gateway is trusted by the bundle of this
    workload's own trust domain instead of `ca_file`; its certificate must still name the host that is called.
    """
    return SpiffeX509(socket, spiffe_id, trusts_bundle=trusts_bundle)


@dataclass(frozen=True, slots=True)
class Svid:
    """An X509-SVID in PEM, in memory only. `version` grows with each one that comes."""

    version: int
    spiffe_id: str
    end: float
    chain: bytes = field(repr=False)
    key: Secret[bytes]
    bundle: bytes = field(repr=False)


class SpiffeX509:
    """This workload's X509-SVID as it is now. A thread follows the Workload API from the first use until `close`."""

    def __init__(self, socket: str | None, spiffe_id: str | None, *, trusts_bundle: bool) -> None:
        self.trusts_bundle = trusts_bundle
        self._watch = _Watch(socket, spiffe_id)
        self._stop = weakref.finalize(self, self._watch.stop)  # also when nobody holds this any more

    def current(self) -> Svid:
        """Returns the certificate to show now; only the first call waits, for 10 seconds at most.

        Raises NoWorkloadIdentity where there is none, or where it is over and no other has come.
        """
        return self._watch.current()

    @property
    def spiffe_id(self) -> str:
        """The SPIFFE ID by which the gateway knows this workload; waits and raises as `current`."""
        return self.current().spiffe_id

    def close(self) -> None:
        """Stops to follow; gateways that use this keep the certificate they have until it is over."""
        self._stop()

    def __repr__(self) -> str:
        return f"<SpiffeX509 {self._watch.known or 'unknown yet'}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class _Watch:
    """Follows the stream of certificates, and opens it again when it breaks."""

    def __init__(self, socket: str | None, spiffe_id: str | None) -> None:
        self._socket = socket
        self._spiffe_id = spiffe_id
        self._svid: Svid | None = None
        self._count = 0
        self._failure: NoWorkloadIdentity | None = None
        self._call: Any = None
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._first, self._stopped = threading.Event(), threading.Event()

    @property
    def known(self) -> str | None:
        """The SPIFFE ID, once it is known."""
        return None if self._svid is None else self._svid.spiffe_id

    def current(self) -> Svid:
        """Returns the certificate; raises NoWorkloadIdentity."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._follow, name="remit-spiffe", daemon=True)
                self._thread.start()
        if not self._first.wait(PATIENCE):
            raise self._none("the SPIFFE Workload API gave no certificate")
        svid = self._svid
        if svid is None:
            raise self._none("the SPIFFE Workload API has taken this workload's certificate back")
        if svid.end <= time.time():
            raise self._none(f"the certificate of {svid.spiffe_id} is over, and no other has come")
        return svid

    def stop(self) -> None:
        """Ends the thread."""
        self._stopped.set()
        call = self._call
        if call is not None:
            call.cancel()

    def _none(self, told: str) -> NoWorkloadIdentity:
        """Returns the error for having none, with what the Workload API said last."""
        last = self._failure
        why = f": {last.message}" if last is not None else ""
        advice = last.advice if last is not None else "look whether the SPIFFE agent runs"
        return NoWorkloadIdentity(f"{told}{why}", advice=advice, reason=_REASON)

    def _follow(self) -> None:
        pause = SHORTEST_PAUSE
        while not self._stopped.is_set():
            before = self._count
            self._failure = self._listened()
            pause = SHORTEST_PAUSE if self._count > before else min(pause * 2, LONGEST_PAUSE)
            self._stopped.wait(pause)

    def _listened(self) -> NoWorkloadIdentity:
        """Takes what the stream gives until it breaks, and returns why it did."""
        import grpc  # noqa: PLC0415 - a third of a second, in this thread

        from remit.workload.workload_api import refused, workload_api, x509_svids  # noqa: PLC0415 - it imports grpc

        try:
            with workload_api(self._socket) as channel:
                self._call = x509_svids(channel)
                if self._stopped.is_set():
                    self._call.cancel()
                for answer in self._call:
                    self._take(answer)
        except NoWorkloadIdentity as error:
            return error
        except grpc.RpcError as error:
            return refused(error, _REASON)
        except ValueError as error:
            return NoWorkloadIdentity(f"the SPIFFE Workload API gave a damaged certificate: {error}", reason=_REASON)
        return NoWorkloadIdentity("the SPIFFE Workload API ended its answer", reason=_REASON)

    def _take(self, answer: Any) -> None:
        """Takes the certificate that is meant: the one that was named, or the first (Workload API 5.3)."""
        found = next((one for one in answer.svids if self._spiffe_id in {None, one.spiffe_id}), None)
        if found is None:
            # What is not sent any more is not to be used any more (5.2.1).
            self._svid = None
            raise NoWorkloadIdentity(
                f"the SPIFFE Workload API has no certificate for {self._spiffe_id or 'this workload'}", reason=_REASON
            )
        svid = Svid(
            version=self._count + 1,
            spiffe_id=found.spiffe_id,
            end=der.end_of(der.certificates(found.x509_svid)[0]),
            chain=der.pem_of(found.x509_svid),
            key=Secret(der.pem_of_key(found.x509_svid_key)),
            bundle=der.pem_of(found.bundle),
        )
        self._svid, self._count, self._failure = svid, svid.version, None
        self._first.set()


def _fetch(audience: str, socket: str | None, spiffe_id: str | None) -> str:
    """Asks for a JWT-SVID; raises NoWorkloadIdentity."""
    from remit.workload.workload_api import jwt_svid, workload_api  # noqa: PLC0415 - it imports grpc

    with workload_api(socket) as channel:
        return jwt_svid(channel, audience, spiffe_id)
