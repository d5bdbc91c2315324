"""Makes the settings of where bundles come from: a folder or a bundle server, signatures, and how old they may be."""

from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from remit_server.config.bundle_shapes import BundleServerTable, BundleSigningTable
from remit_server.config.files import Files
from remit_server.config.identity_rules import is_claim_name, is_key_id, url_mistake
from remit_server.config.loading_serving import is_loopback
from remit_server.config.mistakes import Notes
from remit_server.config.policy_settings import BundleKeySettings, BundleServerSettings, BundleSigningSettings

_SMALLEST_BITS, _LARGEST_BITS, _EXPONENT = 2048, 8192, 65_537
_MAX_KEY_BYTES: Final = 16_384
_SHORTEST_AGE: Final = 300
_DECIDES: Final = "whoever can put a bundle there decides what the gateway issues"
_BY: Final = "a bundle is believed to be its authors' by these keys only"


def bundle_server(item: BundleServerTable | None, files: Files) -> BundleServerSettings | None:
    """Returns how the bundle server is reached, or None where there is none or after noting what is wrong."""
    if item is None or not item.model_fields_set:
        return None
    notes, before = files.notes, len(files.notes.mistakes)
    place = "policy.bundle_server"
    url = item.url or ""
    if mistake := _url_mistake(url):
        mend = 'write it like "https://bundles.internal/remit.tar.gz"'
        notes.add(f"{place}.url", mistake if url else "is missing", why=_DECIDES, mend=mend)
    ca_file = files.authorities(f"{place}.ca_file", item.ca_file) if item.ca_file is not None else None
    if item.ca_file is not None and url.startswith("http:"):
        mend = "write an https url, or remove ca_file"
        notes.add(f"{place}.ca_file", "is set although the url is not https", why=_DECIDES, mend=mend)
    token = files.secret(f"{place}.token_file", item.token_file) if item.token_file is not None else None
    if 0 < item.max_age_seconds < _SHORTEST_AGE:
        why = "one restart of the server would stop every decision"
        mend = f"write {_SHORTEST_AGE} or more, or 0 to go on deciding however long the server is away"
        notes.add(f"{place}.max_age_seconds", f"is between 0 and {_SHORTEST_AGE}", why=why, mend=mend)
    if len(notes.mistakes) > before:
        return None
    return BundleServerSettings(
        url=url,
        ca_file=ca_file,
        token=token,
        private_network=item.private_network,
        poll=timedelta(seconds=item.poll_seconds),
        max_age=timedelta(seconds=item.max_age_seconds) if item.max_age_seconds else None,
    )


def signing(item: BundleSigningTable | None, files: Files, *, is_served: bool) -> BundleSigningSettings:
    """Returns whose signature a bundle must bear, after noting what is wrong; `is_served` says by a bundle server."""
    item = item or BundleSigningTable.model_validate({})
    place = "policy.signing"
    found = [_key(f"{place}.keys.{key_id}", key_id, text, files) for key_id, text in sorted(item.keys.items())]
    required = is_served if item.required is None else item.required
    if required and not item.keys:
        mend = "name the public key under [policy.signing] keys; `required = false` takes any bundle from there"
        what = "a bundle server's bundles must be signed" if item.required is None else "required is set"
        files.notes.add(f"{place}.keys", f"names no key although {what}", why=_DECIDES, mend=mend)
    if item.scope and not is_claim_name(item.scope):
        why = "it is compared with what signatures say"
        mend = "write printable ASCII without spaces"
        files.notes.add(f"{place}.scope", "is no plain text", why=why, mend=mend)
    if item.scope and not item.keys:
        files.notes.add(f"{place}.scope", "is set, but no key", why=_BY, mend="name the keys, or remove the scope")
    return BundleSigningSettings(
        keys=tuple(key for key in found if key is not None),
        scope=item.scope,
        required=required,
        valid=timedelta(days=item.valid_days) if item.valid_days else None,
    )


def _url_mistake(url: str) -> str | None:
    """Returns what is wrong with the URL of a bundle, or None; http is only for this machine."""
    scheme, _, rest = url.partition("://")
    if scheme != "http":
        return url_mistake(url)
    mistake = url_mistake(f"https://{rest}")
    if mistake is None and not is_loopback(urlsplit(url).hostname or ""):
        return "is http although the host is not this machine"
    return mistake


def _key(place: str, key_id: str, text: str, files: Files) -> BundleKeySettings | None:
    """Returns a public key, or None after noting what is wrong with it."""
    if not is_key_id(key_id):
        mend = "write 1 to 128 letters, digits, dots, _ or -"
        files.notes.add(place, "is no proper id of a key", why="a signature names its key by it", mend=mend)
        return None
    path = files.readable(place, text)
    if path is None:
        return None
    files.unchangeable(place, path)
    return _public_key(place, key_id, path, files.notes)


def _public_key(place: str, key_id: str, path: Path, notes: Notes) -> BundleKeySettings | None:
    """Returns the key in a PEM file; the one algorithm that it may be used with comes from the key itself."""
    content = path.read_bytes()[: _MAX_KEY_BYTES + 1]
    try:
        key: Any = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    algorithm = _algorithm(key)
    if algorithm is None or b"PRIVATE" in content:
        mend = "write the public half there: openssl pkey -in signing.pem -pubout -out signing.pub.pem"
        problem = f"{path} is not a public key alone in PEM: P-256, Ed25519, or RSA of {_SMALLEST_BITS} bits or more"
        notes.add(place, problem, why=_BY, mend=mend)
        return None
    return BundleKeySettings(key_id, algorithm, key)


def _algorithm(key: Any) -> str | None:
    """Returns the algorithm that signatures of a key are verified by, or None for a key that is not fit."""
    if isinstance(key, RSAPublicKey):
        fit = _SMALLEST_BITS <= key.key_size <= _LARGEST_BITS and key.public_numbers().e == _EXPONENT
        return "RS256" if fit else None
    if isinstance(key, EllipticCurvePublicKey):
        return "ES256" if isinstance(key.curve, SECP256R1) else None
    return "EdDSA" if isinstance(key, Ed25519PublicKey) else None
