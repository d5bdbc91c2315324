"""The front door: where the gateway is, who this agent is, and the tasks it asks for."""

from collections.abc import Mapping
from datetime import timedelta
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from remit.calling.ask import Allow, ask
from remit.calling.unreachable import is_target
from remit.grant import Decision, Identity, Preview, TaskEnd
from remit.secret import Token, TokenSource
from remit.task import TaskBlock
from remit.workload.spiffe import SpiffeX509

DEFAULT_TIMEOUT = 30.0
DEFAULT_APPROVAL_TIMEOUT = 900.0
DEFAULT_LEASE = 60.0


class Gateway:
    """A connection to a Remit gateway, for threads and event loops alike; keep one per process and share it.

    `target` is `host:port`; the connection is always TLS. The agent proves who it is with `certificate_file` and
    `key_file` (PEM, an X.509 SVID; read again when they change), with `svid` (`remit.workload.spiffe_x509()`, which is
    waited for) or with `bearer_token`, a string or a function that is asked for a fresh one at every call, such as the
    platform's (`remit.workload`). `ca_file` or `root_certificates` (PEM) say whom to trust for the gateway; without
    them, the public roots that come with gRPC. `timeout` bounds each request with its repeats, in seconds.

    Raises ValueError for options that contradict each other, for files that hold no certificates or key in PEM and for
    a key of another certificate, OSError for files that cannot be read, and NoWorkloadIdentity for no SVID. It connects
    at the first request, and is a context manager (`with` and `async with`) that closes the connection.
    """

    def __init__(
        self,
        target: str,
        *,
        ca_file: str | PathLike[str] | None = None,
        root_certificates: bytes | None = None,
        certificate_file: str | PathLike[str] | None = None,
        key_file: str | PathLike[str] | None = None,
        bearer_token: TokenSource | None = None,
        svid: SpiffeX509 | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        # gRPC takes a third of a second to import: `import remit` need not wait for it, and a server never needs this.
        from remit.calling.asides import AgentCalls  # noqa: PLC0415
        from remit.calling.channel import Tls, TlsChannel  # noqa: PLC0415

        _check_target(target)
        _check_trust(ca_file, root_certificates, svid)
        if (certificate_file is None) != (key_file is None):
            raise ValueError("certificate_file and key_file belong together")
        if sum(proof is not None for proof in (certificate_file, bearer_token, svid)) != 1:
            raise ValueError("say who this agent is: either certificate_file and key_file, or svid, or bearer_token")
        if timeout <= 0:
            raise ValueError("timeout must be more than 0 seconds")
        tls = Tls(
            ca_file=_path(ca_file),
            root_certificates=root_certificates,
            certificate_file=_path(certificate_file),
            key_file=_path(key_file),
            svid=svid,
        )
        bearer = None if bearer_token is None else Token("bearer_token", bearer_token)
        self._channel = TlsChannel(target, tls)
        self._calls = AgentCalls(self._channel, bearer, timeout)

    def task(
        self,
        purpose: str,
        *,
        subject_token: TokenSource,
        allow: Allow,
        duration: timedelta | float | None = None,
        narrow: bool = False,
        labels: Mapping[str, str] | None = None,
        task_id: str | None = None,
        lease: timedelta | float | None = DEFAULT_LEASE,
        approval: Literal["raise", "wait"] = "raise",
        approval_timeout: timedelta | float = DEFAULT_APPROVAL_TIMEOUT,
        request_id: str | None = None,
    ) -> TaskBlock:
        """Returns a task to be entered by `with` or `async with`, which is when the gateway is asked.

            with gateway.task("tidy up", subject_token=token, allow=[reports], duration=20, narrow=True) as task:
                credentials = task.credentials()  # at most what was asked for, and for at most 20 seconds

            async with gateway.task("summarise Q3", subject_token=token, allow=[reports]) as task:
                credentials = await task.credentials()  # renewed while the block runs

        `purpose` says what it is about, for people. `subject_token` is the OIDC token of the user whom the agent works
        for; a function that returns one is asked at every request, and lets a long task outlive one token. `allow`
        names what is needed: permissions, capabilities, texts of them (`"read s3://reports/*"`), or the `offer` of a
        refusal. `duration` (a timedelta or seconds) asks for credentials of that life, which then end; without it they
        are renewed while the task lasts.
        `narrow` takes the largest part that may be had instead of a refusal. `labels` are for policies to read.
        `task_id` asks for more within a task that is already running; whoever started it ends it. One that another
        agent handed on to this one (`task.delegate`) begins with the first block in it, and ends with that.
        `lease` (seconds, 30 to a day) is how long the task goes on once nobody is there any more: when this process is
        killed or cut off, the gateway ends the task and revokes its credentials. None: only its own end does.

        Where people have to approve, entering raises ApprovalPending; with `approval="wait"` it waits for them, for
        `approval_timeout` (seconds) at most, and the gateway is asked every few seconds: give `subject_token` as a
        function if that may outlive one token. `request_id` (that of an ApprovalPending) collects, with otherwise the
        same arguments, what was approved meanwhile.

        Entering raises ApprovalPending, Refused, InvalidRequest, Unauthenticated, NotFound, TaskOver, RateLimited,
        Unavailable or GatewayFailure, all RemitError.
        """
        if approval not in {"raise", "wait"}:
            raise ValueError('approval must be "raise" or "wait"')
        return TaskBlock(
            self._calls,
            ask(
                purpose,
                subject_token=Token("subject_token", subject_token),
                allow=allow,
                duration=duration,
                narrow=narrow,
                labels=labels,
                task_id=task_id,
                lease=lease,
                approval_timeout=approval_timeout if approval == "wait" else None,
                request_id=request_id,
            ),
        )

    def preview(
        self,
        purpose: str,
        *,
        subject_token: TokenSource,
        allow: Allow,
        duration: timedelta | float | None = None,
        narrow: bool = False,
        labels: Mapping[str, str] | None = None,
        task_id: str | None = None,
    ) -> Preview:
        """Returns what `task` with these arguments would get, WouldIssue or WouldRefuse; nothing is issued.

        Raises RemitError when there is no decision to show: a malformed request, a rejected token, an outage.
        """
        wish = ask(
            purpose,
            subject_token=Token("subject_token", subject_token),
            allow=allow,
            duration=duration,
            narrow=narrow,
            labels=labels,
            task_id=task_id,
        )
        del subject_token  # NOTE: a traceback may show every variable of a frame
        return self._calls.preview(wish)

    async def preview_async(
        self,
        purpose: str,
        *,
        subject_token: TokenSource,
        allow: Allow,
        duration: timedelta | float | None = None,
        narrow: bool = False,
        labels: Mapping[str, str] | None = None,
        task_id: str | None = None,
    ) -> Preview:
        """Returns what `preview` does, without blocking the event loop."""
        wish = ask(
            purpose,
            subject_token=Token("subject_token", subject_token),
            allow=allow,
            duration=duration,
            narrow=narrow,
            labels=labels,
            task_id=task_id,
        )
        del subject_token  # NOTE: a traceback may show every variable of a frame
        return await self._calls.preview_async(wish)

    def end_task(self, task_id: str) -> TaskEnd:
        """Ends a task of this agent by its id, when no block of this process does; again, it gives the same answer.

        Raises NotFound for a task that is not there or is not this agent's, or another RemitError.
        """
        return self._calls.end(task_id)

    def whoami(self, subject_token: TokenSource | None = None) -> Identity:
        """Returns who this agent is to the gateway and, with a user's token, for whom it calls; raises RemitError."""
        token = _token(subject_token)
        del subject_token  # NOTE: a traceback may show every variable of a frame
        return self._calls.identify(token)

    async def whoami_async(self, subject_token: TokenSource | None = None) -> Identity:
        """Returns what `whoami` does, without blocking the event loop."""
        token = _token(subject_token)
        del subject_token  # NOTE: as in `whoami`
        return await self._calls.identify_async(token)

    def explain(self, request_id: str) -> Decision:
        """Returns what an earlier request of this agent came to: its Grant as it stands now, or why it was refused.

        `request_id` is the one of an error, or of a log. Raises NotFound for what the gateway does not remember (an
        outage, a malformed request, another agent's), or another RemitError.
        """
        return self._calls.recall(request_id)

    async def explain_async(self, request_id: str) -> Decision:
        """Returns what `explain` does, without blocking the event loop."""
        return await self._calls.recall_async(request_id)

    def close(self) -> None:
        """Closes the connection: tasks that are still running can neither be renewed nor ended after that."""
        self._channel.close()

    def __repr__(self) -> str:
        return f"<Gateway {self._channel.target}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _token(source: TokenSource | None) -> Token | None:
    """Returns the user's token, if there is one."""
    return None if source is None else Token("subject_token", source)


def _path(file: str | PathLike[str] | None) -> Path | None:
    """Returns the path of a file, if one is given."""
    return None if file is None else Path(file)


def _check_trust(ca_file: object, root_certificates: bytes | None, svid: SpiffeX509 | None) -> None:
    """Refuses more than one answer to whom to trust for the gateway."""
    if ca_file is not None and root_certificates is not None:
        raise ValueError("give ca_file or root_certificates, not both")
    if svid is not None and svid.trusts_bundle and (ca_file is not None or root_certificates is not None):
        raise ValueError(
            "trust the gateway by ca_file or root_certificates, or by the svid's trusts_bundle, not by both"
        )


def _check_target(target: str) -> None:
    """Refuses a URL where host and port belong."""
    if not is_target(target):
        raise ValueError(f"target is host:port, such as gateway.example.com:8443, and not {target!r}")
