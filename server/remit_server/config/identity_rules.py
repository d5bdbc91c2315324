"""The grammars that issuers and agents are held to, in the configuration and in the tokens alike."""

import ipaddress
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Final
from urllib.parse import SplitResult, urlsplit

# RFC 7518 3.1 and RFC 8037, without `none` and everything symmetric: a remote issuer never shares a secret with us.
SIGNATURE_ALGORITHMS: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
_PRINTABLE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?", re.ASCII)
_CLAIM_NAME = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_ALIAS = re.compile(r"[a-z0-9-]{1,20}", re.ASCII)
_HOST_NAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9-]{1,63}(?<!-))*", re.ASCII)
_ENTRA_PATH = re.compile(r"/(?P<tenant>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})/v2\.0", re.ASCII)
_LONGEST_HOST_NAME = 253


class InvalidSettings(ValueError):  # noqa: N818 - named for what it says
    """A part of the configuration is wrong; `mistakes` are pairs of a field's name and what it must be."""

    def __init__(self, mistakes: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{field}: {why}" for field, why in mistakes))
        self.mistakes = tuple(mistakes)


def is_plain_text(text: str) -> bool:
    """Says whether the text is 1 to 255 printable ASCII characters with no space at either end."""
    return _PRINTABLE.fullmatch(text) is not None


def is_claim_name(text: str) -> bool:
    """Says whether the text is 1 to 255 printable ASCII characters without spaces."""
    return _CLAIM_NAME.fullmatch(text) is not None


def is_key_id(text: object) -> bool:
    """Says whether this can be a key's id: it is only ever looked up in a dictionary, and is no path, URL or query."""
    return isinstance(text, str) and _KEY_ID.fullmatch(text) is not None


def is_alias(text: str) -> bool:
    """Says whether the text can be an issuer's alias in SourceIdentity (6-lifecycle.md).

    Not `spiffe`: an agent `<alias>:<subject>` of it could have the name of a workload, `spiffe://...`.
    """
    return _ALIAS.fullmatch(text) is not None and text != "spiffe"


def client_of(alias: str, client_id: str) -> str:
    """Returns how `client_ids` name an issuer's client. An alias has no colon, so no two clients share a name."""
    return f"{alias}:{client_id}"


def client_alias(entry: str) -> str | None:
    """Returns the alias of the issuer that an entry of `client_ids` names, or None when it is no such entry."""
    alias, colon, client_id = entry.partition(":")
    return alias if colon and is_alias(alias) and is_plain_text(client_id) else None


def is_host(text: str) -> bool:
    """Says whether the text is a host name in lower case or an IP address, without port or brackets."""
    try:
        return str(ipaddress.ip_address(text)) == text
    except ValueError:
        return len(text) <= _LONGEST_HOST_NAME and _HOST_NAME.fullmatch(text) is not None


def entra_tenant(issuer: str) -> str | None:
    """Returns the tenant id of a v2.0 Entra ID issuer, or None when the issuer does not name exactly one tenant."""
    found = _ENTRA_PATH.fullmatch(urlsplit(issuer).path)
    return found["tenant"] if found else None


def is_entra_issuer(issuer: str) -> bool:
    """Says whether the issuer is one tenant's v2.0 issuer."""
    return entra_tenant(issuer) is not None


def algorithm_mistakes(algorithms: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields what is wrong with the list of signature algorithms."""
    if not algorithms:
        yield "algorithms", "must name at least one of " + ", ".join(sorted(SIGNATURE_ALGORITHMS))
    elif not SIGNATURE_ALGORITHMS.issuperset(algorithms):
        yield "algorithms", "may only name " + ", ".join(sorted(SIGNATURE_ALGORITHMS)) + "; never HS* or none"
    if len(set(algorithms)) != len(algorithms):
        yield "algorithms", "names an algorithm twice"


def url_mistake(url: str, hosts: Collection[str] | None = None) -> str | None:
    """Returns why keys may not be asked for at this URL, or None when they may.

    Only https, a plain host (one of `hosts` where given), maybe a port and a path: no user, query or fragment.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError for what is no port
    except ValueError:
        return "is not a URL"
    mistakes = (
        (not is_claim_name(url), "must be a URL of at most 255 printable ASCII characters"),
        (parts.scheme != "https", "must be an https URL"),
        (_has_more_than_a_place(url, parts), "must be a URL without user, query, fragment and backslash"),
        (not _has_plain_host(parts), "must have a host name in lower case or an IP address"),
        (hosts is not None and parts.hostname not in hosts, "its host is not in allowed_hosts"),
    )
    return next((why for wrong, why in mistakes if wrong), None)


def _has_more_than_a_place(url: str, parts: SplitResult) -> bool:
    """Says whether the URL carries anything but scheme, host, port and path, or what libraries read differently."""
    return "@" in parts.netloc or "?" in url or "#" in url or "\\" in url


def _has_plain_host(parts: SplitResult) -> bool:
    """Says whether the URL has a host, written in the one way in which hosts are compared."""
    return parts.hostname is not None and is_host(parts.hostname) and parts.netloc == parts.netloc.lower()
