"""The system's keyring, where there is one that keeps secrets; a thin layer, so that nothing else imports it."""

from remit.secret import Secret

SERVICE = "remit"
_RECOMMENDED = 1  # keyring's own word for a backend that is fit: plain-text ones are below


def put(name: str, text: Secret[str]) -> bool:
    """Keeps a text under the name; says whether it is kept."""
    try:
        import keyring  # noqa: PLC0415 - takes a tenth of a second, and is an extra

        backend = keyring.get_keyring()
        if backend.priority < _RECOMMENDED:
            return False
        backend.set_password(SERVICE, name, text.reveal())
        return backend.get_password(SERVICE, name) == text.reveal()
    except Exception:  # noqa: BLE001 - backends raise what their platform raises; then the file keeps it
        return False


def take(name: str) -> Secret[str] | None:
    """Returns what is kept under the name; None for nothing, and for a keyring that cannot be opened."""
    try:
        import keyring  # noqa: PLC0415 - as above

        found = keyring.get_keyring().get_password(SERVICE, name)
    except Exception:  # noqa: BLE001 - as above
        return None
    return None if found is None else Secret(found)


def drop(name: str) -> None:
    """Forgets what is kept under the name, if anything is."""
    try:
        import keyring  # noqa: PLC0415 - as above

        keyring.get_keyring().delete_password(SERVICE, name)
    except Exception:  # noqa: BLE001 - as above: what is not there need not be dropped
        return
