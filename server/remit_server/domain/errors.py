"""The closed family of ways in which a call fails: stable reasons, sentences for the reader, a way out.

Only `transport/grpc/status.py` knows which gRPC code belongs to which reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from remit_server.domain.permission import Permission


class Reason(StrEnum):
    """Stable identifiers, as they stand in `google.rpc.ErrorInfo.reason`."""

    INVALID_REQUEST = "INVALID_REQUEST"
    SUBJECT_TOKEN_REJECTED = "SUBJECT_TOKEN_REJECTED"  # noqa: S105 - a reason, not a token
    ACTOR_REJECTED = "ACTOR_REJECTED"
    TOKEN_NOT_BOUND = "TOKEN_NOT_BOUND"  # noqa: S105 - a reason, not a token
    TOKEN_REPLAYED = "TOKEN_REPLAYED"  # noqa: S105 - a reason, not a token
    POLICY_DENIED = "POLICY_DENIED"
    CEILING_EXCEEDED = "CEILING_EXCEEDED"
    NEVER_ISSUABLE = "NEVER_ISSUABLE"
    INTENT_TOO_LARGE = "INTENT_TOO_LARGE"
    INTENT_SPANS_ROLES = "INTENT_SPANS_ROLES"
    GRANT_NOT_LIVE = "GRANT_NOT_LIVE"
    DELEGATION_TOO_DEEP = "DELEGATION_TOO_DEEP"
    APPROVAL_REFUSED = "APPROVAL_REFUSED"
    APPROVAL_LAPSED = "APPROVAL_LAPSED"
    APPROVAL_DECIDED = "APPROVAL_DECIDED"
    APPROVAL_CHANGED = "APPROVAL_CHANGED"
    REVISION_REFUSED = "REVISION_REFUSED"
    REVISION_CHANGED = "REVISION_CHANGED"
    NOT_AUTHORIZED = "NOT_AUTHORIZED"
    NOT_FOUND = "NOT_FOUND"
    RATE_LIMITED = "RATE_LIMITED"
    OVERLOADED = "OVERLOADED"
    STREAM_ENDED = "STREAM_ENDED"
    POLICY_UNAVAILABLE = "POLICY_UNAVAILABLE"
    LEDGER_UNAVAILABLE = "LEDGER_UNAVAILABLE"
    STS_UNAVAILABLE = "STS_UNAVAILABLE"
    ISSUER_UNAVAILABLE = "ISSUER_UNAVAILABLE"
    INTERNAL = "INTERNAL"


class Remedy(StrEnum):
    """What a refused agent can do about it."""

    NARROW = "NARROW"
    ASK_APPROVAL = "ASK_APPROVAL"
    REAUTHENTICATE = "REAUTHENTICATE"
    SPLIT = "SPLIT"
    RETRY_LATER = "RETRY_LATER"
    GIVE_UP = "GIVE_UP"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """Names a request field by its path and the rule it broke; never its value."""

    path: str
    rule: str


@dataclass(frozen=True, slots=True)
class FailedPermission:
    """One permission that was stopped: a concrete action on a concrete resource, and the rule that stopped it."""

    action: str
    resource: str
    rule: str
    message: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an agent needs to act on a no.

    `offer` is the largest part that would have been granted (empty when narrowing does not help);
    `split` proposes intents that fit one after the other (empty unless the intent was too large).
    """

    remedy: Remedy
    failures: tuple[FailedPermission, ...] = ()
    offer: tuple[Permission, ...] = ()
    split: tuple[tuple[Permission, ...], ...] = ()


class RemitError(Exception):
    """Every failure that a caller sees: a stable `reason` and a sentence of what failed, why, and what to do."""

    def __init__(self, reason: Reason, message: str, *, remedy: Remedy = Remedy.GIVE_UP) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.remedy = remedy


class InvalidRequest(RemitError):  # noqa: N818 - named for what it says
    """The request is malformed; nothing was decided."""

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        first = violations[0]
        super().__init__(Reason.INVALID_REQUEST, f"{first.path}: {first.rule}")
        self.violations = tuple(violations)


class Denied(RemitError):  # noqa: N818 - named for what it says
    """The answer is no, and it would be no again: a decision, recorded and remembered."""

    def __init__(self, reason: Reason, message: str, refusal: Refusal | None = None) -> None:
        refusal = refusal or Refusal(remedy=Remedy.GIVE_UP)
        super().__init__(reason, message, remedy=refusal.remedy)
        self.refusal = refusal


class Outage(RemitError):  # noqa: N818 - named for what it says
    """Something the gateway needs is not there or misbehaves: nothing was granted, asking again may help.

    `remedy` is GIVE_UP where only the operator can mend it. `credentials_may_exist` is set when AWS may have made
    credentials that nobody was given: the grant must be revoked.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        retry_after: timedelta | None = None,
        credentials_may_exist: bool = False,
        remedy: Remedy = Remedy.RETRY_LATER,
    ) -> None:
        super().__init__(reason, message, remedy=remedy)
        self.retry_after = retry_after
        self.credentials_may_exist = credentials_may_exist


class PolicyChanged(Outage):
    """Another policy revision was activated than the one that decided: nothing was done, and it is decided anew.

    `activation` is the number of the activation that counts; who follows it decides by what is active now.
    """

    def __init__(self, activation: int) -> None:
        message = "another policy revision was activated while this was decided: ask again"
        super().__init__(Reason.POLICY_UNAVAILABLE, message, retry_after=timedelta(seconds=1))
        self.activation = activation


class RequestKnown(Outage):
    """The request has an answer already, or another process is about to give it one: nothing was done."""

    def __init__(self) -> None:
        message = "The same request is being answered elsewhere: repeat it in a moment."
        super().__init__(Reason.LEDGER_UNAVAILABLE, message, retry_after=timedelta(seconds=1))


def told_of(error: BaseException) -> RemitError:
    """Returns what the caller and the record are told of a failure; what nobody thought of is an internal error."""
    return error if isinstance(error, RemitError) else Outage(Reason.INTERNAL, "internal error")
