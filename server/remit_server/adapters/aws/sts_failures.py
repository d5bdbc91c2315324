"""What a failed STS call means: what the caller is told, whether a retry helps, whether credentials may exist."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Final

from remit_server.domain.errors import Denied, Outage, Reason, Refusal, Remedy

_THROTTLED_CODES: Final = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestLimitExceeded",
        "TooManyRequestsException",
        "BandwidthLimitExceeded",
        "SlowDown",
    }
)
_BUSY_CODES: Final = frozenset({"ServiceUnavailable", "ServiceUnavailableException"})
_STALE_KEY_CODES: Final = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException", "InvalidToken"}
)
_CLOCK_CODES: Final = frozenset(
    {"SignatureDoesNotMatch", "RequestExpired", "IncompleteSignature", "InvalidSignatureException"}
)
_RETRY_AFTER: Final = timedelta(seconds=2)
_BAD_REQUEST, _TOO_MANY, _SERVER_ERROR, _BUSY = 400, 429, 500, 503


class StsFailed(Exception):  # noqa: N818 - named for what it says
    """The cause behind an Outage or a Denied, for the log: AWS's code and status, never what it wrote."""


class Kind(Enum):
    """What kind of failure it was."""

    POLICY_TOO_LARGE = "policy too large"
    POLICY_NOT_TAKEN = "policy not taken"
    THROTTLED = "throttled"
    STALE_KEYS = "stale keys"
    MISCONFIGURED = "misconfigured"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt: `label` is fit for a log, `message` for the caller, who is often an agent."""

    kind: Kind
    label: str
    message: str
    credentials_may_exist: bool
    retry: bool = False

    def error(self) -> Denied | Outage:
        """Returns what the caller of the port sees."""
        match self.kind:
            case Kind.POLICY_TOO_LARGE:
                return Denied(Reason.INTENT_TOO_LARGE, self.message, Refusal(Remedy.SPLIT))
            case Kind.POLICY_NOT_TAKEN:
                return Denied(Reason.INTENT_TOO_LARGE, self.message, Refusal(Remedy.GIVE_UP))
            case Kind.THROTTLED:
                return Outage(Reason.RATE_LIMITED, self.message, retry_after=_RETRY_AFTER)
            case Kind.MISCONFIGURED:
                return Outage(
                    Reason.STS_UNAVAILABLE,
                    self.message,
                    credentials_may_exist=self.credentials_may_exist,
                    remedy=Remedy.GIVE_UP,
                )
            case Kind.STALE_KEYS | Kind.BROKEN:
                return Outage(Reason.STS_UNAVAILABLE, self.message, credentials_may_exist=self.credentials_may_exist)


OPERATOR: Final = "Nothing was issued, and asking again will not help until the operator of this gateway has mended it."
_MESSAGES: Final = {
    "PackedPolicyTooLarge": (
        "AWS cannot pack the session policy of this intent (its size limit counts policy and tags together). "
        "Split the task into intents with fewer resources."
    ),
    "MalformedPolicyDocument": (
        "AWS does not take the session policy of this intent: it names an action or a resource in a form unknown to "
        "AWS. Check the spelling of actions and ARNs."
    ),
    "AccessDenied": (
        "AWS does not let the gateway assume this role. The role's trust policy must allow the gateway's principal "
        "sts:AssumeRole, sts:TagSession and sts:SetSourceIdentity (with the configured external id, if any), and the "
        f"gateway's own policy must allow the same. {OPERATOR}"
    ),
    "ValidationError": (
        "AWS refused a value of the call. Mostly the role's max_session in the configuration is longer than its "
        f"MaxSessionDuration at AWS, or than the hour that role chaining allows. {OPERATOR}"
    ),
    "RegionDisabledException": f"AWS STS is switched off in the role's region for the gateway's account. {OPERATOR}",
}
_STALE = f"AWS does not accept the gateway's own credentials: they are expired, deleted or unknown. {OPERATOR}"
_CLOCK = (
    "AWS does not accept the gateway's signature: its secret access key does not belong to its access key id, or its "
    f"clock is more than five minutes off. {OPERATOR}"
)
_OTHER = f"AWS STS refused the gateway's call for a reason that its log names. {OPERATOR}"
_THROTTLED = "AWS STS is limiting this account's calls. Ask again in a few seconds."
_UNAVAILABLE = "AWS STS did not answer as it should. Ask again with a new request_id."


def refused(status: int, code: str | None, *, meaning: Callable[[str, str], Failure] | None = None) -> Failure:
    """Returns what an answer other than 200 means; `code` is None when its body was no error of STS.

    `meaning` says what a 4xx with such a label and code means, where that is not what it means to a signed AssumeRole.

    Credentials do not exist after an error that STS itself worded, save a 5xx other than its "busy": that one may
    have come after the work was done.
    """
    label = f"{code or 'no STS error'} (HTTP {status})"
    if code in _THROTTLED_CODES or (status == _TOO_MANY and code is not None):
        return Failure(Kind.THROTTLED, label, _THROTTLED, credentials_may_exist=False, retry=True)
    if status == _TOO_MANY:
        return Failure(Kind.THROTTLED, label, _THROTTLED, credentials_may_exist=True, retry=True)
    if status >= _SERVER_ERROR:
        worded = status == _BUSY and code in _BUSY_CODES
        return Failure(Kind.BROKEN, label, _UNAVAILABLE, credentials_may_exist=not worded, retry=True)
    if status < _BAD_REQUEST or code is None:
        return Failure(Kind.BROKEN, label, _UNAVAILABLE, credentials_may_exist=True)
    return (meaning or _worded)(label, code)


def _worded(label: str, code: str) -> Failure:
    """Returns what a 4xx in STS's own words means; nothing was made."""
    if code in _STALE_KEY_CODES:
        return Failure(Kind.STALE_KEYS, label, _STALE, credentials_may_exist=False)
    if code in _CLOCK_CODES:
        return Failure(Kind.MISCONFIGURED, label, _CLOCK, credentials_may_exist=False)
    return common(label, code)


def common(label: str, code: str, words: Mapping[str, str] | None = None) -> Failure:
    """Returns what a 4xx means, however the order was asked for; `words` go before those of this module."""
    name = code.removesuffix("Exception") if code != "RegionDisabledException" else code
    kinds = {"PackedPolicyTooLarge": Kind.POLICY_TOO_LARGE, "MalformedPolicyDocument": Kind.POLICY_NOT_TAKEN}
    kind = kinds.get(name, Kind.MISCONFIGURED)
    message = (words or {}).get(name) or _MESSAGES.get(name, _OTHER)
    return Failure(kind, label, message, credentials_may_exist=False)


def not_reached(label: str) -> Failure:
    """Returns what it means that no connection came about: nothing was sent."""
    return Failure(Kind.BROKEN, label, _UNAVAILABLE, credentials_may_exist=False, retry=True)


def not_trusted(label: str) -> Failure:
    """Returns what it means that the endpoint's certificate is not trusted."""
    message = f"The certificate of the STS endpoint is not trusted: check aws.endpoint_url and aws.ca_file. {OPERATOR}"
    return Failure(Kind.MISCONFIGURED, label, message, credentials_may_exist=False)


def broken_off(label: str) -> Failure:
    """Returns what it means that the request was sent and no whole answer came: STS may have done its work."""
    return Failure(Kind.BROKEN, label, _UNAVAILABLE, credentials_may_exist=True, retry=True)


def not_an_answer(label: str) -> Failure:
    """Returns what it means that a 200 is not STS's answer to this order: never used, never asked for again."""
    return Failure(Kind.BROKEN, label, _UNAVAILABLE, credentials_may_exist=True)
