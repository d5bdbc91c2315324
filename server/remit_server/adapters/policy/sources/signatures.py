"""Verifies a bundle's signature in OPA's format: every file signed, once, by a key that was configured for it.

It knows keys by their configured ids only, and takes exactly one algorithm of each: a bundle cannot choose how it is
verified (GHSA-g2pf-6v5v-qcc8; RFC 8725 3.1).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from remit_server.adapters.identity.token_parsing import UnverifiedJws, bounded_json, canonical_base64url
from remit_server.adapters.identity.verification_keys import VerificationKey
from remit_server.adapters.policy.bundles.bundle import SIGNATURES
from remit_server.adapters.policy.bundles.bundle_files import MAX_FILES
from remit_server.adapters.policy.findings import BundleRefused, Finding
from remit_server.adapters.policy.sources.hashing import ALGORITHM, signed_digest
from remit_server.adapters.strict_fields import Malformed, items, members, text
from remit_server.adapters.strict_json import MalformedJson
from remit_server.config.identity_rules import is_key_id
from remit_server.config.policy_settings import BundleKeySettings

MAX_SIGNATURES_BYTES: Final = 2 * 1024 * 1024
_MOST_NAMED: Final = 20
_PARTS: Final = 3
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_PATH: Final = re.compile(r"[ -~]+")
_CLAIMS: Final = frozenset({"keyid", "scope", "iat", "iss"})  # the ones that OPA documents; none of them is ignored
_SIGN: Final = "Sign the bundle with `remit-server policy sign` or `opa sign`, and change nothing afterwards"


class Unsigned(BundleRefused):
    """The bundle has no signature at all."""


@dataclass(frozen=True, slots=True)
class BundleSignatures:
    """Knows whose signature a bundle must bear, and for which scope; without keys it believes none."""

    scope: str = ""
    _keys: Mapping[str, VerificationKey] = field(default_factory=dict)

    @classmethod
    def by(cls, keys: tuple[BundleKeySettings, ...], scope: str = "") -> "BundleSignatures":
        """Returns what verifies signatures of these keys for this scope."""
        known = {key.key_id: VerificationKey(key.key_id, frozenset({key.algorithm}), key.public_key) for key in keys}
        return cls(scope, known)

    def signed_by(self, files: Mapping[str, bytes]) -> str:
        """Returns the id of the configured key that signed all files (by path).

        Takes as long as reading all data, so not on the event loop. Raises Unsigned, or BundleRefused with what is
        wrong with the signature, or with each file that it does not cover or does not fit.
        """
        content = files.get(SIGNATURES)
        if content is None:
            raise Unsigned([Finding(SIGNATURES, 0, "the bundle is not signed", _SIGN)])
        try:
            jws = _jws(_token(content))
            claims = _json(jws.unverified_payload)
            key = self._signer(jws, claims)
            digests = self._digests(claims)
        except (_Wrong, Malformed) as wrong:
            raise BundleRefused([Finding(SIGNATURES, 0, str(wrong), _SIGN)]) from wrong
        faults = list(_faults(digests, files))
        if faults:
            raise BundleRefused(faults[:_MOST_NAMED])
        return key.key_id

    def _signer(self, jws: UnverifiedJws, claims: Mapping[str, Any]) -> VerificationKey:
        """Returns the configured key that the signature names (in its header, or as OPA's older `keyid`) and is of."""
        named = {name for name in (jws.unverified_key_id, claims.get("keyid", "")) if name != ""}
        if len(named) != 1:
            problem = "names two keys" if named else "names no key"
            raise _Wrong(f'the signature {problem}: give one id (`opa sign --claims-file` with {{"keyid": "..."}})')
        (key_id,) = named
        key = self._keys.get(key_id) if is_key_id(key_id) else None
        if key is None:
            known = ", ".join(sorted(self._keys)) or "none"
            raise _Wrong(f"the signature names a key that policy.signing.keys does not have (known: {known})")
        if not key.signed(jws):
            raise _Wrong(f"the signature is not of key {key.key_id!r} by {'/'.join(key.algorithms)}")
        return key

    def _digests(self, claims: Mapping[str, Any]) -> dict[str, str]:
        """Returns the digests of a payload whose signature holds, by path; raises _Wrong and Malformed."""
        raw = members(claims, (), required=frozenset({"files"}), optional=_CLAIMS)
        if raw.get("scope", "") != self.scope:
            raise _Wrong(f"the signature is not for the scope {self.scope!r} of policy.signing.scope")
        digests: dict[str, str] = {}
        for place, item in enumerate(items(raw["files"], ("files",), least=1, most=MAX_FILES)):
            where = ("files", place)
            entry = members(item, where, required=frozenset({"name", "hash", "algorithm"}))
            name = text(entry["name"], (*where, "name"), _PATH, "a path", most=4096)
            if entry["algorithm"] != ALGORITHM:
                raise Malformed((*where, "algorithm"), f"must be {ALGORITHM}")
            if name in digests:
                raise Malformed((*where, "name"), "names a file twice")
            digests[name] = text(entry["hash"], (*where, "hash"), _DIGEST, "64 hex digits")
        return digests


class _Wrong(ValueError):  # noqa: N818 - named for what it says
    """A signature that nothing may be read from; says why, never what it holds."""


def _token(content: bytes) -> str:
    """Returns the only token of `.signatures.json`."""
    if len(content) > MAX_SIGNATURES_BYTES:
        raise _Wrong(f"it is longer than {MAX_SIGNATURES_BYTES} bytes")
    raw = members(_json(content), (), required=frozenset({"signatures"}), optional=frozenset({"plugin"}))
    if raw.get("plugin", "") not in {"", "_default"}:
        raise _Wrong("it is made for a plug-in, and none is known here")
    (token,) = items(raw["signatures"], ("signatures",), least=1, most=1)
    if not isinstance(token, str):
        raise Malformed(("signatures", 0), "must be a JWT")
    return token


def _jws(token: str) -> UnverifiedJws:
    """Returns the parts of a compact JWS whose header says an algorithm, a key and nothing else."""
    parts = token.split(".", _PARTS)
    if len(parts) != _PARTS:
        raise _Wrong("the signature is no JWT in compact form: three parts divided by dots")
    try:
        header, payload, signature = (canonical_base64url(part) for part in parts)
    except ValueError as wrong:
        raise _Wrong("a part of the signature is not canonical base64url") from wrong
    said = members(_json(header), ("header",), required=frozenset({"alg"}), optional=frozenset({"kid", "typ"}))
    algorithm, key_id, kind = said["alg"], said.get("kid", ""), said.get("typ", "JWT")
    if not isinstance(algorithm, str) or not isinstance(key_id, str) or kind != "JWT":
        raise Malformed(("header",), "must hold an algorithm and a key's id, of the type JWT")
    return UnverifiedJws(algorithm, key_id, kind, payload, signature, f"{parts[0]}.{parts[1]}".encode("ascii"))


def _json(raw: bytes) -> Any:
    """Returns strict JSON's value."""
    try:
        return bounded_json(raw.decode("utf-8"), max_characters=MAX_SIGNATURES_BYTES)
    except (UnicodeDecodeError, MalformedJson) as wrong:
        raise _Wrong("the signature is not strict JSON in UTF-8") from wrong


def _faults(digests: Mapping[str, str], files: Mapping[str, bytes]) -> Iterator[Finding]:
    """Yields every file that is not as it was signed, none the less there, or missing."""
    there = files.keys() - {SIGNATURES}
    for path in sorted(there - digests.keys()):
        yield Finding(path, 0, "the signature does not cover it", _SIGN)
    for path in sorted(digests.keys() - there):
        yield Finding(path[:200], 0, "the signature covers it, but it is missing", _SIGN)
    for path in sorted(there & digests.keys()):
        try:
            digest = signed_digest(path, files[path])
        except ValueError as wrong:
            yield Finding(path, 0, f"its values cannot be compared with the signature: it is {wrong}", _SIGN)
        else:
            if digest != digests[path]:
                yield Finding(path, 0, "it is not what was signed", _SIGN)
