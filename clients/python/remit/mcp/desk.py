"""What the tools do, in values: hold tasks for whoever calls, show what is held, end it. Knows nothing of MCP."""

import re
import threading
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Final

from remit.errors import FieldViolation, InvalidRequest, NotFound, RemitError
from remit.grant import Grant, Identity, Preview, WouldRefuse
from remit.local.broker import Broker, Held
from remit.local.errors import LoginNeeded, NoToken, TooManyTasks
from remit.local.explaining import (
    REASONS,
    Explanation,
    LiveTask,
    denial_of,
    explain_denial,
    explain_reason,
)
from remit.local.tokens import token_source
from remit.local.wishes import Caller, Options, wish_of
from remit.mcp.wording import advice_of, advice_of_reason, in_tools_terms
from remit.secret import TokenSource

MOST_OF_ONE: Final = 32
MOST_REMEMBERED: Final = 1024  # requests that failed
_REQUEST: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_REASON: Final = re.compile(r"\b[A-Z]{2,}(?:_[A-Z]+)+\b")


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose tasks they are: over stdio the one user of this process, over HTTP whom the access token names."""

    issuer: str = ""
    subject: str = ""
    client_id: str = ""


@dataclass(frozen=True, slots=True)
class Granted:
    """A task with credentials out, in the hands of the broker."""

    handle: str
    grant: Grant
    renewed: bool
    region: str | None


@dataclass(slots=True)
class Desk:
    """Holds each owner's tasks at one broker; nobody reaches another owner's. Its methods block."""

    broker: Broker
    _owners: dict[str, Owner] = field(default_factory=dict)
    _refused: OrderedDict[str, Owner] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wish(self, owner: Owner, caller: Caller, options: Options) -> Held:
        """Holds what is asked for, unshared; asks no gateway yet.

        Raises RemitError for what cannot be read, and TooManyTasks where one owner would leave no room to the others.
        """
        wish = wish_of(options, caller.settings)
        with self._lock:
            there = {held.handle for held in self.broker.all()}
            self._owners = {handle: other for handle, other in self._owners.items() if handle in there}
            self._make_room(owner)
            held = self.broker.hold(wish, caller, alone=True)
            self._owners[held.handle] = owner
        return held

    def _make_room(self, owner: Owner) -> None:
        """Forgets what this owner waits for and never came back to, where it is much; raises TooManyTasks."""
        own = self.all(owner)
        idle = next((held for held in own if held.has_nothing()), None)
        if len(own) < MOST_OF_ONE:
            return
        if idle is None:
            raise TooManyTasks(f"{MOST_OF_ONE} tasks are held for this user already", advice="end some: end_task")
        self.broker.end(idle)

    def held(self, owner: Owner, handle: str) -> Held:
        """Returns what this owner holds under a handle or task id; raises NotFound for another's, too."""
        held = self.broker.held(handle)
        if self._owners.get(held.handle) != owner:
            raise NotFound(
                "no task with this handle or id is held here: it was ended, or never was", reason="NOT_FOUND"
            )
        return held

    def all(self, owner: Owner) -> tuple[Held, ...]:
        """Returns everything that this owner holds."""
        return tuple(held for held in self.broker.all() if self._owners.get(held.handle) == owner)

    def granted(self, held: Held) -> Granted:
        """Asks for what is held, or for the credentials that there are; raises RemitError."""
        try:
            held.credentials()
        except RemitError as error:
            self._note(held, error.request_id)
            raise
        return shown(held)

    def _note(self, held: Held, request_id: str | None) -> None:
        """Remembers whose request failed: to the gateway they are all the same agent's."""
        with self._lock:
            owner = self._owners.get(held.handle)
            if owner is not None and request_id is not None:
                self._refused[request_id] = owner
                while len(self._refused) > MOST_REMEMBERED:
                    self._refused.popitem(last=False)

    def preview(self, caller: Caller, options: Options) -> Preview:
        """Returns what would come of a wish; raises RemitError."""
        wish = wish_of(options, caller.settings)
        return self.broker.gateway(caller).preview(
            wish.purpose,
            subject_token=subject_token_of(caller),
            allow=wish.allow,
            duration=wish.duration,
            narrow=wish.narrow,
            labels=dict(wish.labels),
        )

    def explain(self, owner: Owner, caller: Caller, denial: str, handle: str | None) -> Explanation:
        """Explains a reason, a request of this agent's, or a denial of AWS; raises RemitError for none of them."""
        text = denial.strip()
        if _REQUEST.fullmatch(text):
            return self._explained_request(owner, caller, text.lower())
        words = [text] if text in REASONS else [word for word in _REASON.findall(text) if word in REASONS]
        if words:
            return replace(explain_reason(words[0]), todo=advice_of_reason(words[0]), more=())
        found = denial_of(text)
        if found is None:
            raise InvalidRequest.of(FieldViolation("denial", "is no AWS denial, no reason and no request id"))
        tasks = [self.held(owner, handle)] if handle else self.all(owner)
        return in_tools_terms(explain_denial(found, [live_task(held) for held in tasks if held.task is not None]))

    def identity(self, caller: Caller) -> Identity:
        """Returns who calls, as the gateway sees it; without the user where nobody has signed in. Raises RemitError."""
        gateway = self.broker.gateway(caller)
        try:
            return gateway.whoami(subject_token_of(caller))
        except (LoginNeeded, NoToken):
            return gateway.whoami()

    def _explained_request(self, owner: Owner, caller: Caller, request_id: str) -> Explanation:
        """Explains what an earlier request came to; raises NotFound for what nobody remembers, or another user's."""
        if owner != Owner() and self._refused.get(request_id) != owner:
            raise NotFound("no request of this user with this id is remembered here", reason="NOT_FOUND")
        match self.broker.gateway(caller).explain(request_id):
            case WouldRefuse() as no:
                return Explanation(no.reason, no.message, todo=(advice_of(no.error()),))
            case Grant() as grant:
                until = f"works until {grant.expire_time:%F %T} UTC at the latest"
                return Explanation(grant.state.value, f"it was granted: task {grant.task_id}", more=(until,))

    def shown(self, owner: Owner) -> tuple[Granted, ...]:
        """Returns what this owner holds that has begun."""
        return tuple(shown(held) for held in self.all(owner) if held.task is not None)

    def end(self, held: Held) -> str | None:
        """Ends a task for good; returns its id, None where none had begun. Raises RemitError."""
        with self._lock:
            self._owners.pop(held.handle, None)
        return self.broker.end(held)


def shown(held: Held) -> Granted:
    """Returns what may be told of a task that has begun; raises NotFound where none has."""
    if held.task is None:
        raise NotFound("this task has not begun", reason="NOT_FOUND")
    return Granted(held.handle, held.task.grant, held.wish.duration is None, held.wish.region)


def live_task(held: Held) -> LiveTask:
    """Returns a task that has begun, as denials are compared with it."""
    granted = shown(held)
    return LiveTask(held.handle, granted.grant.task_id, held.wish.purpose, granted.grant.session_policy)


def subject_token_of(caller: Caller) -> TokenSource:
    """Returns where a caller's user token comes from; raises InvalidSettings."""
    return token_source(caller.settings.subject_token, caller.settings, environ=caller.environ.reveal())
