"""Where somebody stands on this machine: to the gateway, to the issuer, and with the tasks that are held here."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from remit.errors import RemitError, Unauthenticated
from remit.gateway import Gateway
from remit.grant import Identity
from remit.local.broker import gateway_of
from remit.local.login.keeping.store import LoginStore
from remit.local.sharing.asking import ask
from remit.local.sharing.place import NotTrusted, socket_path
from remit.local.tokens import token_source
from remit.local.wishes import Caller

T = TypeVar("T")
_SOCKET_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Login:
    """A sign-in that is kept on this machine; its token works until `expire_time`."""

    subject: str
    issuer: str
    expire_time: datetime
    refreshes: bool
    kept: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What could be found out. `failures` are what could not, `tasks` is None without an endpoint."""

    gateway: str | None
    identity: Identity | None
    login: Login | None
    tasks: tuple[Mapping[str, Any], ...] | None
    failures: tuple[RemitError, ...]

    def as_json(self) -> dict[str, Any]:
        """Returns it as JSON takes it."""
        return {
            "gateway": self.gateway,
            "identity": _identity(self.identity) if self.identity else None,
            "login": _login(self.login) if self.login else None,
            "tasks": None if self.tasks is None else [dict(task) for task in self.tasks],
            "failures": [{"reason": error.reason, "message": error.message} for error in self.failures],
        }


def standing(environ: Mapping[str, str] = os.environ) -> Standing:
    """Finds out where whoever has this environment stands; raises InvalidSettings for settings that cannot be read."""
    caller = Caller.of(environ)
    failures: list[RemitError] = []
    identity = _noted(lambda: _asked(caller, failures), failures)
    login = _noted(lambda: _kept(caller), failures)
    return Standing(caller.settings.gateway.target, identity, login, _tasks(environ), tuple(failures))


def _noted(find: Callable[[], T | None], failures: list[RemitError]) -> T | None:
    """Returns what is found, None where that fails, which is noted once."""
    try:
        return find()
    except RemitError as error:
        if error.reason not in {known.reason for known in failures}:
            failures.append(error)
        return None


def _asked(caller: Caller, failures: list[RemitError]) -> Identity | None:
    """Asks the gateway; where there is no user's token, or a bad one, who the agent alone is."""
    with gateway_of(caller) as gateway:
        settings = caller.settings
        source = token_source(settings.subject_token, settings, environ=caller.environ.reveal())
        token = _noted(source, failures)
        if token is None:
            return gateway.whoami()
        return _of_user(gateway, token, failures)


def _of_user(gateway: Gateway, token: str, failures: list[RemitError]) -> Identity | None:
    try:
        return gateway.whoami(token)
    except Unauthenticated as error:
        if error.reason == "ACTOR_REJECTED":
            raise
        failures.append(error)
        return gateway.whoami()


def _kept(caller: Caller) -> Login | None:
    """Returns the sign-in as it is kept, without refreshing it."""
    settings = caller.settings.login
    if settings is None:
        return None
    store = LoginStore.of(settings)
    found = store.read()
    if found is None:
        return None
    return Login(
        subject=found.subject,
        issuer=found.issuer,
        expire_time=datetime.fromtimestamp(found.expire_time, UTC),
        refreshes=found.refresh_token is not None,
        kept="the system's keyring" if store.keeps_in_keyring() else str(store.file),
    )


def _tasks(environ: Mapping[str, str]) -> tuple[Mapping[str, Any], ...] | None:
    """Returns what the endpoint holds; None where none runs that is to be trusted."""
    answer = None
    with suppress(NotTrusted):
        answer = ask(socket_path(environ), {"op": "status"}, _SOCKET_SECONDS)
    return tuple(answer["ok"]["tasks"]) if answer is not None and "ok" in answer else None


def _identity(identity: Identity) -> dict[str, Any]:
    subject, until = identity.subject, identity.subject_token_expire_time
    return {
        "actor": identity.actor,
        "subject": {"issuer": subject.issuer, "id": subject.id} if subject else None,
        "groups": list(identity.groups),
        "subject_token_expire_time": until.isoformat() if until else None,
        "policy_revision": identity.policy_revision,
    }


def _login(login: Login) -> dict[str, Any]:
    return {
        "subject": login.subject,
        "issuer": login.issuer,
        "expire_time": login.expire_time.isoformat(),
        "refreshes": login.refreshes,
        "kept": login.kept,
    }
