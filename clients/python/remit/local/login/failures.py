"""What goes wrong while signing in. No message holds a token, a code or what an issuer wrote."""

from remit.local.errors import LoginNeeded

SIGN_IN = "sign in: remit login"


def not_signed_in(why: str) -> LoginNeeded:
    """Returns the error for a machine on which nobody is signed in."""
    return LoginNeeded(why, reason="LOGIN_NEEDED", advice=SIGN_IN)


def expired(why: str) -> LoginNeeded:
    """Returns the error for a sign-in that is over."""
    return LoginNeeded(why, reason="LOGIN_EXPIRED", advice=SIGN_IN)


def refused(why: str) -> LoginNeeded:
    """Returns the error for a sign-in that somebody, or the issuer, said no to."""
    return LoginNeeded(why, reason="LOGIN_REFUSED", advice=SIGN_IN)


def failed(why: str, *, advice: str = "check issuer and client_id in [login], and who answers there") -> LoginNeeded:
    """Returns the error for an issuer that answers what may not be relied on: nothing of it was kept."""
    return LoginNeeded(why, reason="LOGIN_FAILED", advice=advice)
