"""Makes the settings of the gateway as an OIDC issuer."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from remit_server.config.files import Files
from remit_server.config.http_shapes import OwnIssuerTable
from remit_server.config.mistakes import Notes
from remit_server.config.settings import OwnIssuerSettings
from remit_server.config.shapes import RoleTable
from remit_server.config.source import Source, table
from remit_server.domain.entitlement import AssumedBy

_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~-]{1,64}){0,8}", re.ASCII)
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)
_LONGEST_URL: Final = 255  # of an OIDC provider's URL at AWS
_URL_WHY: Final = "AWS compares it, letter by letter, with the `iss` of every token, and fetches the keys below it"


def own_issuer(source: Source, roles: Sequence[tuple[str, RoleTable]], files: Files) -> OwnIssuerSettings | None:
    """Returns the issuer, or None where there is none or after noting what is wrong with it and the roles that need it.

    The next and the previous key may be absent: before the first rotation there is none.
    """
    is_there = "issuer" in source.tree
    _check_roles(roles, has_issuer=is_there, notes=files.notes)
    item: OwnIssuerTable | None = table(source, "issuer", files.notes) if is_there else None
    if item is None:
        return None
    from remit_server.config.signing_keys import is_absent, private_key_in, public_key_in  # noqa: PLC0415 - it is heavy

    before = len(files.notes.mistakes)
    _check_url(item.url, files.notes)
    names = (item.next_signing_key_file, item.previous_signing_key_file)
    coming, previous = (None if name is None else files.path(name) for name in names)
    settings = OwnIssuerSettings(item.url, files.path(item.signing_key_file), coming, previous)
    _check_key("issuer.signing_key_file", settings.signing_key_file, private_key_in, files.notes)
    if coming is not None and not is_absent(coming):
        _check_key("issuer.next_signing_key_file", coming, public_key_in, files.notes)
    if previous is not None and not is_absent(previous):
        _check_key("issuer.previous_signing_key_file", previous, public_key_in, files.notes)
    return settings if len(files.notes.mistakes) == before else None


def _check_roles(items: Sequence[tuple[str, RoleTable]], *, has_issuer: bool, notes: Notes) -> None:
    """Notes roles that need the issuer where there is none, and what does not go with such a role."""
    for place, item in items:
        if AssumedBy(item.assumed_by) is not AssumedBy.WEB_IDENTITY:
            continue
        if not has_issuer:
            why = "such a role trusts tokens that the gateway signs as an issuer of its own"
            mend = "add [issuer] (docs/web-identity.md), or name another assumed_by"
            notes.add(f"{place}.assumed_by", "is web_identity although there is no [issuer]", why=why, mend=mend)
        if item.external_id_file is not None:
            why = "AssumeRoleWithWebIdentity has no external id; the trust policy pins the token's subject instead"
            notes.add(f"{place}.external_id_file", "stands beside web_identity", why=why, mend="remove it")


def _check_key(place: str, path: Path, read: Callable[[Path], object], notes: Notes) -> None:
    """Notes why a key file cannot be used."""
    from remit_server.config.signing_keys import UnfitKey  # noqa: PLC0415 - it is heavy

    try:
        read(path)
    except UnfitKey as unfit:
        problem = f"{path} {unfit}"
    except OSError as wrong:
        problem = f"{path} cannot be read ({wrong.strerror or 'not a path'})"
    except ValueError:  # a NUL in the path
        problem = f"{path} is not a path"
    else:
        return
    why = "the gateway signs with it, and AWS and its like take RSA keys from 2048 bits and P-256"
    notes.add(place, problem, why=why, mend=f"remit-server issuer keys --make {path}, or chmod 600 {path}")


def _check_url(text: str, notes: Notes) -> None:
    """Notes what is no issuer's URL."""
    place, mend = "issuer.url", 'write it like url = "https://remit.acme.example"'
    try:
        url = urlsplit(text)
        _, host = url.port, url.hostname or ""
    except ValueError:
        notes.add(place, "is no URL", why=_URL_WHY, mend=mend)
        return
    bare = not (url.query or url.fragment or "?" in text or "#" in text or "@" in url.netloc)
    plain = _HOST.fullmatch(host) is not None and url.netloc == url.netloc.lower()
    if url.scheme != "https" or not text.startswith("https://") or not plain or not bare or len(text) > _LONGEST_URL:
        notes.add(place, "is not https with a plain host in lower case, and no more", why=_URL_WHY, mend=mend)
    elif _PATH.fullmatch(url.path) is None or any(part in {".", ".."} for part in url.path.split("/")):
        notes.add(place, "has a path that is not plain, or ends in a slash", why=_URL_WHY, mend=mend)
