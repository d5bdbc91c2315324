"""The signed-in user's token, fresh whenever it is asked for: refreshed before its end, once for all who ask."""

import threading
import time
from collections.abc import Callable

from remit.local.errors import IssuerUnavailable
from remit.local.login.failures import expired, not_signed_in
from remit.local.login.keeping.sign_in import SignIn
from remit.local.login.keeping.store import LoginStore
from remit.local.login_settings import LoginSettings
from remit.local.settings import Settings
from remit.secret import Secret

MARGIN = 60.0  # seconds before its end from which a token is refreshed
_LOCK_SECONDS = 45.0  # longer than one refresh takes at most
_GIVES_NO_MORE = frozenset({"invalid_grant", "login_required", "interaction_required", "consent_required"})


def login_source(settings: Settings) -> Callable[[], str]:
    """Returns the function that gives the user's token; raises LoginNeeded when nobody is signed in.

    The function raises LoginNeeded, whose reason is LOGIN_NEEDED or LOGIN_EXPIRED, and IssuerUnavailable when a token
    that is over cannot be refreshed now. It is safe to call from several threads and processes.
    """
    login = settings.login
    if login is None:
        raise not_signed_in(f"{settings.file} has no [login]")
    return LoginSource(login, LoginStore.of(login)).token


class LoginSource:
    """Keeps the token in memory while the store does not change and the token is not near its end."""

    def __init__(self, settings: LoginSettings, store: LoginStore, *, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._known: tuple[object, SignIn] | None = None

    def token(self) -> str:
        """Returns a token that works now."""
        return self.sign_in().token.reveal()

    def sign_in(self) -> SignIn:
        """Returns the sign-in with a token that works now; raises as `login_source` says."""
        with self._lock:
            kept = self._kept()
            return kept if self._is_fresh(kept) else self._refreshed()

    def _kept(self) -> SignIn:
        """Returns what is kept, read again when it was changed; raises LoginNeeded for nothing."""
        version = self._store.version()
        if version is None:
            self._known = None
            raise not_signed_in("nobody is signed in on this machine")
        if self._known is not None and self._known[0] == version:
            return self._known[1]
        kept = self._store.read()
        if kept is None or (kept.issuer, kept.client_id) != (self._settings.issuer, self._settings.client_id):
            raise not_signed_in("nobody is signed in on this machine")
        self._known = version, kept
        return kept

    def _is_fresh(self, sign_in: SignIn) -> bool:
        return self._clock() < sign_in.expire_time - MARGIN

    def _refreshed(self) -> SignIn:
        """Refreshes, unless another process just did; a token that still works outlives an issuer that is away."""
        with self._store.locked(_LOCK_SECONDS):
            kept = self._kept()
            if self._is_fresh(kept):
                return kept
            still_works = self._clock() < kept.expire_time
            if kept.refresh_token is None:
                if still_works:
                    return kept
                raise expired("the sign-in is over, and the issuer gave no refresh token")
            try:
                fresh = self._refresh(kept, kept.refresh_token)
            except IssuerUnavailable:
                if still_works:
                    return kept
                raise
            # NOTE: before it is used: a rotated refresh token that is lost ends the sign-in.
            self._store.write(fresh, keyring=self._store.keeps_in_keyring())
            self._known = self._store.version(), fresh
            return fresh

    def _refresh(self, kept: SignIn, refresh_token: Secret[str]) -> SignIn:
        """Returns the sign-in with new tokens; raises LoginNeeded, and forgets it, when the issuer ended it."""
        # A token that works is the usual case, and a tool waits for it: what speaks https is imported when needed.
        from remit.local.login.answers import error_code, sign_in_of  # noqa: PLC0415
        from remit.local.login.issuer import discover  # noqa: PLC0415

        issuer = discover(self._settings)
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token.reveal()}
        answer = issuer.ask(issuer.token_endpoint, "the issuer's token_endpoint", form)
        code = error_code(answer.members)
        if "error" in answer.members and code in _GIVES_NO_MORE:
            self._store.forget()
            raise expired(f"the issuer ended the sign-in: {code}")
        if code in {"temporarily_unavailable", "slow_down", "server_error"}:
            raise IssuerUnavailable(f"the issuer gives no new token now: {code}", advice="try again later")
        return sign_in_of(answer, self._settings, before=kept)
