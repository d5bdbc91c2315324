"""Whose sign-in is kept on this machine, for whoever must not mix two people's tasks up."""

import threading

from remit.errors import RemitError
from remit.local.login.keeping.store import LoginStore
from remit.local.login_settings import LoginSettings

_MOST_KNOWN = 64
_known: dict[str, tuple[object, str | None]] = {}
_lock = threading.Lock()


def signed_in(settings: LoginSettings) -> str | None:
    """Returns the subject whose sign-in is kept, None for nobody's; read again only when what is kept has changed."""
    store = LoginStore.of(settings)
    version, place = store.version(), str(store.file)
    with _lock:
        known = _known.get(place)
    if known is not None and known[0] == version:
        return known[1]
    try:
        kept = store.read()
    except RemitError:
        return None
    subject = kept.subject if kept else None
    with _lock:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[place] = (version, subject)
    return subject
