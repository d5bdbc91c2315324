"""Signing in on another device (RFC 8628): for machines without a browser."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from remit.local.errors import IssuerUnavailable
from remit.local.login.answers import error_code, sign_in_of
from remit.local.login.failures import expired, failed, refused
from remit.local.login.https import Answer, https_url
from remit.local.login.issuer import Issuer
from remit.local.login.keeping.sign_in import SignIn
from remit.secret import Secret

_GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"
_OK = 200
_USUAL_INTERVAL, _LONGEST_INTERVAL, _SLOWER = 5.0, 60.0, 5.0
_LONGEST_WAIT = 1800.0
_LONGEST_CODE = 64


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the person is shown: where to go and what to enter there; `complete_uri` holds the code already."""

    uri: str
    complete_uri: str | None
    user_code: str


@dataclass(frozen=True, slots=True)
class Clock:
    """How time passes while the person is waited for."""

    sleep: Callable[[float], None]
    now: Callable[[], float]


_CLOCK = Clock(time.sleep, time.monotonic)


def sign_in_by_device(
    issuer: Issuer,
    show: Callable[[Prompt], None],
    clock: Clock = _CLOCK,
) -> SignIn:
    """Shows the person a code and waits until it was entered; raises LoginNeeded when it was not, or was refused."""
    if issuer.device_authorization_endpoint is None:
        raise failed("the issuer has no device flow", advice="sign in with `remit login --browser`")
    what = "the issuer's device_authorization_endpoint"
    answer = issuer.ask(issuer.device_authorization_endpoint, what, issuer.wanted)
    if answer.status != _OK:
        raise failed(
            f"the issuer starts no device flow: {error_code(answer.members)}",
            advice="let the client use it at the issuer, or sign in with `remit login --browser`",
        )
    prompt, device_code = _prompt(answer.members), _device_code(answer.members)
    end = clock.now() + _seconds(answer.members, "expires_in", None, _LONGEST_WAIT)
    show(prompt)
    interval = _seconds(answer.members, "interval", _USUAL_INTERVAL, 3600.0)
    return _wait(issuer, device_code, interval, end, clock)


def _wait(issuer: Issuer, device_code: Secret[str], interval: float, end: float, clock: Clock) -> SignIn:
    """Asks for the tokens at the pace that the issuer sets, until they are there or nobody can get them any more."""
    while clock.now() + interval < end:
        clock.sleep(interval)
        answer = _asked(issuer, device_code)
        code = "temporarily_unavailable" if answer is None else error_code(answer.members)
        if answer is not None and answer.status == _OK:
            return sign_in_of(answer, issuer.settings)
        match code:
            case "authorization_pending":
                continue
            case "slow_down":
                interval += _SLOWER
            case "temporarily_unavailable":
                interval = min(interval * 2, _LONGEST_INTERVAL)  # RFC 8628, 3.5: back off
            case "access_denied":
                raise refused("the sign-in was refused at the issuer")
            case "expired_token":
                break
            case _:
                raise failed(f"the issuer gives no tokens: {code}")
    raise expired("the code was not entered in time")


def _asked(issuer: Issuer, device_code: Secret[str]) -> Answer | None:
    """Asks once; None when the issuer could not be reached."""
    form = {"grant_type": _GRANT_TYPE, "device_code": device_code.reveal()}
    try:
        return issuer.ask(issuer.token_endpoint, "the issuer's token_endpoint", form)
    except IssuerUnavailable:
        return None


def _prompt(members: Mapping[str, Any]) -> Prompt:
    """Returns what to show; NOTE: it goes to a terminal, so nothing but plain characters, and to no other scheme."""
    code = members.get("user_code")
    if not isinstance(code, str) or not 0 < len(code) <= _LONGEST_CODE or not (code.isascii() and code.isprintable()):
        raise failed("the issuer's user_code cannot be shown")
    complete = members.get("verification_uri_complete")
    # `verification_url` is what issuers said before the RFC, and some still do.
    return Prompt(
        uri=https_url(
            members.get("verification_uri", members.get("verification_url")), "the issuer's verification_uri"
        ),
        complete_uri=None if complete is None else https_url(complete, "the issuer's verification_uri_complete"),
        user_code=code,
    )


def _device_code(members: Mapping[str, Any]) -> Secret[str]:
    code = members.get("device_code")
    if not isinstance(code, str) or not 0 < len(code) <= 4096:  # noqa: PLR2004 - a bound, not a rule of the RFC
        raise failed("the issuer's device_code is none")
    return Secret(code)


def _seconds(members: Mapping[str, Any], name: str, usual: float | None, most: float) -> float:
    """Returns a time that the issuer sets, within bounds."""
    value = members.get(name, usual)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e9:  # noqa: PLR2004 - a bound
        raise failed(f"the issuer's {name} is no number of seconds")
    return min(float(value), most)
