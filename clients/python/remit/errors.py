"""Every way in which the gateway fails, as exceptions: what failed, why, and what to ask for instead.

`except remit.RemitError` catches all of them. Each pickles, and none holds a token, a key or a message.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from remit.advising import ENTITLEMENT, NOT_REACHED, OTHERWISE, OWN_PROOF
from remit.intent import Permission

MOST_SHOWN = 5


class Remedy(StrEnum):
    """What a refused agent can do about it: the proto's `Remedy`, and below it what this client adds."""

    NARROW = "NARROW"
    ASK_APPROVAL = "ASK_APPROVAL"
    REAUTHENTICATE = "REAUTHENTICATE"
    SPLIT = "SPLIT"
    RETRY_LATER = "RETRY_LATER"
    GIVE_UP = "GIVE_UP"
    CORRECT = "CORRECT"
    """The request itself is malformed: correct it. Every InvalidRequest says so."""
    UNKNOWN = "UNKNOWN"
    """None was said, or one that this version of the client does not know."""


_ADVICE = {
    Remedy.NARROW: "ask for less, or pass narrow=True to get what may be had",
    Remedy.ASK_APPROVAL: "a person has to approve this",
    Remedy.REAUTHENTICATE: "the user has to sign in again; subject_token may be a function that returns a fresh token",
    Remedy.SPLIT: "ask in several requests",
    Remedy.RETRY_LATER: "nothing is wrong with the request: try again later",
    Remedy.GIVE_UP: "asking again in the same way will not help",
    Remedy.CORRECT: "correct the request and send it again",
    Remedy.UNKNOWN: "",
}


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """Names a field by its path and the rule it broke; never its value."""

    path: str
    rule: str

    def __str__(self) -> str:
        return f"{self.path}: {self.rule}" if self.path else self.rule


@dataclass(frozen=True, slots=True)
class FailedPermission:
    """One permission that was stopped: a concrete action on a concrete resource, and the rule that stopped it."""

    action: str
    resource: str
    rule: str
    message: str

    def __str__(self) -> str:
        # The gateway's sentence mostly names action and resource itself; where no request was found there are none.
        is_told = self.action in self.message and self.resource in self.message
        place = "" if is_told else f"{self.action} on {self.resource} "
        said = f": {self.message}" if self.message else ""
        return f"{place}by {self.rule}{said}"


class RemitError(Exception):
    """A failure with a stable `reason`, a sentence (`message`), and what to do about it (`remedy`).

    `reason` is the gateway's (`CEILING_EXCEEDED`), or the gRPC status's name when the gateway gave none.
    `request_id` is the failed request's, by which the gateway's audit trail knows it; None where there is none.
    """

    __module__ = "remit"
    _remedy_unless_said = Remedy.UNKNOWN

    def __init__(
        self,
        message: str,
        *,
        reason: str = "UNKNOWN",
        remedy: Remedy = Remedy.UNKNOWN,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.remedy = self._remedy_unless_said if remedy is Remedy.UNKNOWN else remedy
        self.request_id = request_id

    def __str__(self) -> str:
        return "\n".join([f"{self.reason}: {self.message}", *(f"  {line}" for line in self._help())])

    @property
    def advice(self) -> str:
        """What the caller can do, in a sentence; empty where there is nothing to say."""
        return self._advice()

    def _help(self) -> Iterator[str]:
        """Yields the lines below the sentence."""
        if self.advice:
            yield f"what to do: {self.advice}"
        if self.request_id:
            yield f"request id: {self.request_id}"

    def _advice(self) -> str:
        """Returns what the caller can do."""
        return _ADVICE[self.remedy]


class InvalidRequest(RemitError):  # noqa: N818 - named for what it says
    """The request breaks a rule of the API (`violations` names field and rule); nothing was decided."""

    __module__ = "remit"

    def __init__(self, message: str, *, violations: tuple[FieldViolation, ...] = (), **told: Any) -> None:
        # The API has no word for it: gateways say GIVE_UP, which is true of this very request only.
        super().__init__(message, **told | {"remedy": Remedy.CORRECT})
        self.violations = violations

    @classmethod
    def of(cls, violation: FieldViolation) -> "InvalidRequest":
        """Returns the error for a mistake that was seen before anything was sent."""
        return cls(str(violation), reason="INVALID_REQUEST", violations=(violation,))

    def _help(self) -> Iterator[str]:
        # NOTE: the sentence tells the first one whole, where there was no room for the whole of its rule.
        yield from (f"wrong: {item}" for item in self.violations if not self.message.startswith(str(item)))
        yield from super()._help()


class Refused(RemitError):  # noqa: N818 - named for what it says
    """The answer is no, by a decision on record.

    `failures` say which permission was stopped by which rule. `offer` is the largest part that would have been granted:
    pass it to `allow=`. `split` proposes requests that fit one after the other.
    """

    __module__ = "remit"

    def __init__(
        self,
        message: str,
        *,
        failures: tuple[FailedPermission, ...] = (),
        offer: tuple[Permission, ...] = (),
        split: tuple[tuple[Permission, ...], ...] = (),
        **told: Any,
    ) -> None:
        super().__init__(message, **told)
        self.failures = failures
        self.offer = offer
        self.split = split

    def _help(self) -> Iterator[str]:
        untold = [failure for failure in self.failures if not failure.message or failure.message not in self.message]
        yield from (f"stopped: {failure}" for failure in untold[:MOST_SHOWN])
        if len(untold) > MOST_SHOWN:
            yield f"stopped: {len(untold) - MOST_SHOWN} more, see error.failures"
        yield from super()._help()

    def _advice(self) -> str:
        if self.reason == "DELEGATION_TOO_DEEP":
            return "attenuate the task itself, or have the work handed on by a task nearer to the user"
        if self.offer:
            return f"ask with allow=error.offer, which is {'; '.join(str(permission) for permission in self.offer)}"
        if self.split:
            return f"ask in {len(self.split)} requests, one with each part of error.split"
        if self.reason == "POLICY_DENIED" and self.remedy is Remedy.GIVE_UP:
            return f"{_ADVICE[Remedy.GIVE_UP]}: {ENTITLEMENT}"
        return super()._advice()


class ApprovalPending(RemitError):  # noqa: N818 - named for what it says
    """People have to approve this first; no credentials were given yet.

    `approval` is the name that they decide about, `digest` what they are shown; `groups` may say yes (`min_approvers`
    of them), and with `by_subject` the user confirms in person. Nobody decides after `lapse_time`. Come back with the
    same arguments and `request_id=error.request_id`, or wait with `approval="wait"`.
    """

    __module__ = "remit"
    _remedy_unless_said = Remedy.ASK_APPROVAL

    def __init__(
        self,
        message: str,
        *,
        approval: str = "",
        task_id: str = "",
        digest: str = "",
        groups: tuple[str, ...] = (),
        min_approvers: int = 1,
        by_subject: bool = False,
        lapse_time: datetime | None = None,
        **told: Any,
    ) -> None:
        super().__init__(message, **told)
        self.approval = approval
        self.task_id = task_id
        self.digest = digest
        self.groups = groups
        self.min_approvers = min_approvers
        self.by_subject = by_subject
        self.lapse_time = lapse_time

    def _advice(self) -> str:
        who = [f"{self.min_approvers} of {' or '.join(self.groups)}"] if self.groups else []
        who += ["the user in person"] if self.by_subject else []
        return f"{' and '.join(who)} must approve {self.approval}; then ask again with request_id={self.request_id!r}"


class Unauthenticated(RemitError):  # noqa: N818 - named for what it says
    """The user's token or the agent's own identity was not accepted."""

    __module__ = "remit"

    def _advice(self) -> str:
        if self.reason == "ACTOR_REJECTED":
            return OWN_PROOF
        if self.reason == "SUBJECT_TOKEN_REJECTED" and self.remedy is Remedy.GIVE_UP:
            return f"{_ADVICE[Remedy.GIVE_UP]}: {OTHERWISE}"
        return super()._advice() or _ADVICE[Remedy.REAUTHENTICATE]


class NotFound(RemitError):  # noqa: N818 - named for what it says
    """What was named is not there, or is not this caller's to see."""

    __module__ = "remit"

    def _advice(self) -> str:
        return ""


_SOMEBODYS_WORD = frozenset({"REQUESTED", "SECURITY_EVENT", "REVIEW"})  # causes of a revoke that were a decision


class TaskOver(RemitError):  # noqa: N818 - named for what it says
    """The task, or the time it asked for, is over: it gives no credentials any more, another one may.

    `cause` says why the gateway revoked or ended it (`LEASE_LOST`, `SECURITY_EVENT`); None where it did not.
    """

    __module__ = "remit"
    _remedy_unless_said = Remedy.GIVE_UP  # as gateways say: no way of asking brings this task back

    def __init__(self, message: str, *, cause: str | None = None, **told: Any) -> None:
        super().__init__(message, **told)
        self.cause = cause

    def _advice(self) -> str:
        if self.cause in _SOMEBODYS_WORD:
            return (
                "find out from the security team why it was revoked: while a user or an agent is blocked, none starts"
            )
        return "start another task"


class Unavailable(RemitError):  # noqa: N818 - named for what it says
    """Nothing was granted because something is not there or misbehaves; asking again may help.

    `retry_after` is how long the gateway asks to wait; None when it did not say. `todo` says what to do where nobody
    answered, in place of the advice that fits any such failure.
    """

    __module__ = "remit"
    _remedy_unless_said = Remedy.RETRY_LATER

    def __init__(self, message: str, *, retry_after: timedelta | None = None, todo: str = "", **told: Any) -> None:
        super().__init__(message, **told)
        self.retry_after = retry_after
        self.todo = todo

    def _advice(self) -> str:
        if self.todo:
            return self.todo
        if self.reason == "UNAVAILABLE":
            return NOT_REACHED
        if self.retry_after is not None:
            return f"nothing is wrong with the request: try again in {self.retry_after.total_seconds():.3g} s"
        return _ADVICE[Remedy.RETRY_LATER]


class RateLimited(Unavailable):
    """This agent is over its budget, or the gateway is full: ask again later, and less often."""

    __module__ = "remit"


class GatewayFailure(RemitError):  # noqa: N818 - named for what it says
    """The gateway failed in a way it cannot explain, or answered what this client does not understand."""

    __module__ = "remit"
