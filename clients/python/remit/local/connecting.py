"""The gateway that settings name, and a task at it."""

import os
import sys
from collections.abc import Iterable

from remit.gateway import DEFAULT_LEASE, Gateway
from remit.local.errors import InvalidSettings
from remit.local.tokens import token_source
from remit.local.wishes import Caller, Wish
from remit.task import Task
from remit.workload.naming import certificate_source

_FILES = ("REMIT_CA_FILE", "REMIT_CERTIFICATE_FILE", "REMIT_KEY_FILE", "REMIT_BEARER_TOKEN_FILE")
_VARIABLES = ("REMIT_GATEWAY", *_FILES)


def gateway_of(caller: Caller) -> Gateway:
    """Returns the client of the gateway that the settings name; raises InvalidSettings that says what is missing."""
    settings = caller.settings
    told = settings.gateway
    if told.target is None:
        raise InvalidSettings(
            "no gateway is named",
            advice=f"run `remit init NAME --gateway ...`, write [gateway] in {settings.file}, or set REMIT_GATEWAY",
        )
    if told.certificate_file is None and told.bearer is None and told.svid is None:
        raise InvalidSettings(
            "nothing says who this agent is",
            advice=f"write certificate_file and key_file, bearer or svid under [gateway] in {settings.file}, "
            "or set REMIT_CERTIFICATE_FILE and REMIT_KEY_FILE, or REMIT_BEARER_TOKEN",
        )
    environ = caller.environ.reveal()
    _keep_grpc_quiet()
    try:
        return Gateway(
            told.target,
            ca_file=told.ca_file,
            certificate_file=told.certificate_file,
            key_file=told.key_file,
            bearer_token=None
            if told.bearer is None
            else token_source(told.bearer, settings, audience=told.audience, environ=environ),
            svid=None if told.svid is None else certificate_source(told.svid, environ=environ),
        )
    except OSError as error:
        raise InvalidSettings(
            f"{error.filename} cannot be read: {error.strerror}", advice=f"correct {_place(_FILES, caller)}"
        ) from None
    except ValueError as error:
        raise InvalidSettings(str(error), advice=f"correct {_place(_VARIABLES, caller)}") from None


def _keep_grpc_quiet() -> None:
    """Loads gRPC so that it writes no lines of its own on standard error, unless GRPC_VERBOSITY asks for them.

    It reads the variable while it is loaded. The variable goes again: a command that is run inherits none of ours.
    """
    if "GRPC_VERBOSITY" in os.environ or "grpc" in sys.modules:
        return
    os.environ["GRPC_VERBOSITY"] = "NONE"
    try:
        import grpc  # noqa: F401, PLC0415 - see above
    finally:
        del os.environ["GRPC_VERBOSITY"]


def _place(variables: Iterable[str], caller: Caller) -> str:
    """Returns where what is wrong was said: the variables that are set win over the file."""
    named = [name for name in variables if caller.environ.reveal().get(name)]
    return " or ".join([*named, f"[gateway] in {caller.settings.file}"])


def begin(
    gateway: Gateway, wish: Wish, caller: Caller, request_id: str | None, *, lease: float | None = DEFAULT_LEASE
) -> Task:
    """Begins a task, to be ended by name; `request_id` comes back to an earlier wish. Raises RemitError."""
    settings, environ = caller.settings, caller.environ.reveal()
    audience = settings.gateway.audience
    block = gateway.task(
        wish.purpose,
        subject_token=token_source(settings.subject_token, settings, audience=audience, environ=environ),
        allow=wish.allow,
        duration=wish.duration,
        narrow=wish.narrow,
        labels=dict(wish.labels),
        task_id=wish.task_id,
        request_id=request_id,
        lease=lease,
    )
    return block.__enter__()  # its end is not this call's
