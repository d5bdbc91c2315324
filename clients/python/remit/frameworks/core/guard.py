"""The session of one tool call, and a look at what the call hands back: no key of it gets to the model."""

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from remit.attenuated import Attenuated
from remit.calling.ask import Allow, items_of
from remit.errors import RemitError
from remit.frameworks.core.answers import Answer
from remit.frameworks.core.limits import Item
from remit.frameworks.core.run_task import RunTask
from remit.task import Task

if TYPE_CHECKING:
    import boto3

LEAKED: Answer = {
    "status": "withheld",
    "reason": "KEYS_IN_RESULT",
    "message": "the tool's result held the task's AWS keys, a pre-signed URL for instance, and was kept from the model",
    "remedy": "GIVE_UP",
    "ways": {"give_up": "tell the user what could not be done and why"},
}


class Guard:
    """Knows the keys that one call works with, and finds them in what it hands back; `need` is the call's own."""

    def __init__(self) -> None:
        self.need: tuple[Item, ...] = ()
        self._own: Attenuated | None = None
        self._run: RunTask | None = None
        self._holders: list[Task | Attenuated] = []
        self._known: set[str] = set()

    def session(self, run: RunTask, need: Allow | None, duration: timedelta | float | None) -> "boto3.Session":
        """Returns the session for a call: on the task's credentials, or on narrower ones of its own."""
        holder: Task | Attenuated
        if need is None:
            holder = run.task()
        else:
            self.need = items_of(need)
            self._own = holder = run.attenuated(self.need, duration)
        self._note(holder)
        return run.session_of(holder)

    def watch(self, run: RunTask) -> None:
        """Looks out for all keys of the run, too, which the call was handed as a whole."""
        self._run = run
        run.watch(self._note)

    def forget(self) -> None:
        """Drops the narrower keys of a call that is done."""
        if self._run is not None:
            self._run.unwatch(self._note)
        if self._own is not None:
            self._own.forget()

    def finds_keys_in(self, value: Any) -> bool:
        """Says whether the value shows a secret key or a session token, as it is or as URLs write it."""
        for holder in tuple(self._holders):
            self._remember(holder)  # they may have been renewed meanwhile
        text = value if isinstance(value, str) else repr(value)
        return any(key in text for key in self._known)

    def _note(self, holder: Task | Attenuated) -> None:
        """Looks out for what this holds, now and when the call is done."""
        if holder not in self._holders:
            self._holders.append(holder)
        self._remember(holder)

    def _remember(self, holder: Task | Attenuated) -> None:
        with contextlib.suppress(RemitError):
            keys = holder.credentials()
            for key in (keys.secret_access_key, keys.session_token):
                self._known |= {key, quote(key, safe=""), quote(key)}
