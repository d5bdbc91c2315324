"""Signing in and out: finds the way that this machine and the issuer have in common, and keeps what comes of it."""

import os
import time
import webbrowser
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from remit.errors import RemitError
from remit.local.errors import LoginNeeded
from remit.local.login.browser import sign_in_by_browser
from remit.local.login.device import Prompt, sign_in_by_device
from remit.local.login.failures import failed, not_signed_in
from remit.local.login.issuer import Issuer, discover
from remit.local.login.keeping.sign_in import SignIn
from remit.local.login.keeping.store import LoginStore
from remit.local.login_settings import LoginSettings
from remit.local.settings import Settings

_LOCK_SECONDS = 45.0


class Way(StrEnum):
    """How somebody signs in."""

    BROWSER = "browser"
    DEVICE = "device"


@dataclass(frozen=True, slots=True)
class Screen:
    """How the person is told where to go: a page to open here, or a code for another device."""

    page: Callable[[str], None]
    code: Callable[[Prompt], None]


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who signed in, and where it is kept."""

    sign_in: SignIn
    in_keyring: bool
    store: LoginStore


def login_settings(settings: Settings) -> LoginSettings:
    """Returns how people sign in; raises LoginNeeded where the settings do not say it."""
    if settings.login is None:
        raise LoginNeeded(
            f"{settings.file} has no [login]",
            reason="LOGIN_NEEDED",
            advice="write [login] there with issuer and client_id (docs/login.md), or run `remit init --issuer ...`",
        )
    return settings.login


def sign_in(
    settings: LoginSettings, way: Way | None, screen: Screen, *, keyring: bool = True, port: int = 0
) -> SignedIn:
    """Signs somebody in and keeps their tokens; raises LoginNeeded, IssuerUnavailable or LoginBusy."""
    store, issuer = LoginStore.of(settings), discover(settings)
    if (way or _usual_way(issuer)) is Way.BROWSER:
        found = sign_in_by_browser(issuer, screen.page, port=port)
    else:
        found = sign_in_by_device(issuer, screen.code)
    with store.locked(_LOCK_SECONDS):
        return SignedIn(found, store.write(found, keyring=keyring), store)


def sign_out(settings: LoginSettings) -> tuple[bool, bool]:
    """Forgets the sign-in, and has the issuer forget it; says whether there was one, and whether the issuer did.

    It is forgotten here whatever the issuer says, and whoever else could read it.
    """
    store = LoginStore.of(settings)
    with store.locked(_LOCK_SECONDS):
        try:
            kept = store.read()
        except LoginNeeded:
            kept = None
        was_there = store.forget()
    return was_there, kept is not None and _revoked(settings, kept)


def kept_sign_in(settings: LoginSettings) -> SignIn:
    """Returns the sign-in as it is kept; raises LoginNeeded for none."""
    kept = LoginStore.of(settings).read()
    if kept is None or kept.issuer != settings.issuer:
        raise not_signed_in("nobody is signed in on this machine")
    return kept


def has_browser(environ: Mapping[str, str] = os.environ) -> bool:
    """Says whether a window can be opened in front of the person: not over SSH, and not in a terminal."""
    if environ.get("SSH_CONNECTION") or not (environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")):
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def minutes_left(sign_in: SignIn) -> int:
    """Returns for how many whole minutes the token still works."""
    return max(0, int(sign_in.expire_time - time.time()) // 60)


def _usual_way(issuer: Issuer) -> Way:
    """Returns the way that both this machine and the issuer have."""
    if issuer.authorization_endpoint is not None and has_browser():
        return Way.BROWSER
    if issuer.device_authorization_endpoint is not None:
        return Way.DEVICE
    if issuer.authorization_endpoint is None:
        raise failed("the issuer offers neither a sign-in by browser with PKCE nor the device flow")
    return Way.BROWSER  # the page's address is shown, for a browser that comes back to this machine


def _revoked(settings: LoginSettings, kept: SignIn) -> bool:
    """Asks the issuer to revoke the refresh token (RFC 7009); False where that cannot be done."""
    if kept.refresh_token is None:
        return False
    try:
        issuer = discover(settings)
        if issuer.revocation_endpoint is None:
            return False
        form = {"token": kept.refresh_token.reveal(), "token_type_hint": "refresh_token"}
        return issuer.ask(issuer.revocation_endpoint, "the issuer's revocation_endpoint", form).status == 200  # noqa: PLR2004
    except RemitError:
        return False
