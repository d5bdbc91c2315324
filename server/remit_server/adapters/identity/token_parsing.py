"""Takes a token apart before anything in it is believed, more strictly than any library does (8-threats.md 2b).

Every value here is as the bearer wrote it: `unverified_` says so in each name. There is one parse: what is verified
later is this very header, these payload bytes and this signature.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from remit_server.adapters.strict_json import MalformedJson, strict_json
from remit_server.config.identity_rules import is_claim_name, is_key_id, is_plain_text
from remit_server.domain.errors import Remedy

MAX_TOKEN_CHARACTERS: Final = 16 * 1024
MAX_JSON_DEPTH: Final = 16
_LAST_DATE: Final = 253_402_300_799  # 9999-12-31T23:59:59Z
_LARGEST_INTEGER: Final = 2**53 - 1  # RFC 7493 2.2: beyond it readers disagree
_PARTS: Final = 3
_AS_GIVEN: Final = "send it whole and unaltered, as its issuer gave it"

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)
_ALLOWED_HEADER: Final = frozenset({"alg", "kid", "typ", "x5t"})  # x5t: ADFS and old Entra tokens repeat the kid in it
# RFC 7515 4.1: each of these lets the bearer say how, or with whose key, the token is to be verified.
_REFUSED_HEADER: Final = frozenset({"jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc", "cty", "x5t#S256"})


class TokenRefused(Exception):  # noqa: N818 - named for what it says
    """A token is refused; `why` names the check that failed and what to do, never a part of the token."""

    def __init__(self, why: str, *, remedy: Remedy = Remedy.GIVE_UP) -> None:
        super().__init__(why)
        self.why = why
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class UnverifiedJws:
    """A JWS in compact serialization (RFC 7515 7.1), taken apart; `signing_input` is what the signature is over."""

    unverified_algorithm: str
    unverified_key_id: str
    unverified_type: str | None
    unverified_payload: bytes = field(repr=False)
    unverified_signature: bytes = field(repr=False)
    signing_input: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A JWT whose registered claims (RFC 7519 4.1) have the right form; times are seconds since the epoch."""

    jws: UnverifiedJws
    unverified_issuer: str
    unverified_subject: str
    unverified_audience: str
    unverified_issue_time: float
    unverified_expire_time: float
    unverified_not_before: float | None
    unverified_token_id: str | None
    unverified_claims: Mapping[str, Any] = field(repr=False)


def parse_token(text: str) -> UnverifiedToken:
    """Returns the parts of a token; raises TokenRefused for anything that two readers could read differently."""
    jws = parse_jws(text)
    claims = json_object(jws.unverified_payload, "payload")
    return UnverifiedToken(
        jws=jws,
        unverified_issuer=plain_claim(claims, "iss"),
        unverified_subject=plain_claim(claims, "sub"),
        unverified_audience=one_audience(claims),
        unverified_issue_time=date_claim(claims, "iat"),
        unverified_expire_time=date_claim(claims, "exp"),
        unverified_not_before=date_claim(claims, "nbf") if "nbf" in claims else None,
        unverified_token_id=plain_claim(claims, "jti") if "jti" in claims else None,
        unverified_claims=claims,
    )


def parse_jws(text: str) -> UnverifiedJws:
    """Returns the parts of a compact JWS with a header of allow-listed members; raises TokenRefused otherwise."""
    if len(text) > MAX_TOKEN_CHARACTERS:
        raise TokenRefused(f"the token is longer than {MAX_TOKEN_CHARACTERS} characters; ask for fewer claims in it")
    parts = text.split(".", _PARTS)
    if len(parts) != _PARTS:
        raise TokenRefused(f"the token is not a signed JWT in compact form: three parts divided by dots; {_AS_GIVEN}")
    encoded_header, encoded_payload, encoded_signature = parts
    header = json_object(_decoded(encoded_header, "header"), "header")
    _check_header_members(header)
    if not encoded_signature:
        raise TokenRefused("the token has no signature")
    return UnverifiedJws(
        unverified_algorithm=_header_text(header, "alg"),
        unverified_key_id=_key_id(header),
        unverified_type=_header_text(header, "typ") if "typ" in header else None,
        unverified_payload=_decoded(encoded_payload, "payload"),
        unverified_signature=_decoded(encoded_signature, "signature"),
        signing_input=f"{encoded_header}.{encoded_payload}".encode("ascii"),
    )


def canonical_base64url(text: str) -> bytes:
    """Returns the bytes; raises ValueError unless the text is the one unpadded base64url form of them (RFC 7515 2)."""
    if _BASE64URL.fullmatch(text) is None:
        raise ValueError("not base64url without padding")
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    # NOTE: the last character can carry bits that no byte holds; then several texts would mean the same bytes.
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii") != text:
        raise ValueError("not the canonical base64url form")
    return raw


def bounded_json(text: str, *, max_characters: int) -> Any:
    """Returns the value of strict JSON with bounded depth and integers; raises MalformedJson otherwise."""
    value = strict_json(text, max_characters=max_characters)
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        if any(type(item) is int and abs(item) > _LARGEST_INTEGER for item in level):
            raise MalformedJson("holds a number out of range")
        level = [child for item in level for child in _children(item)]
        if not level:
            return value
    raise MalformedJson("nested too deeply")


def _children(value: Any) -> list[Any]:
    """Returns the members' values of an object, the items of an array, and nothing of anything else."""
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _decoded(part: str, name: str) -> bytes:
    """Returns the bytes of one part of the token."""
    try:
        return canonical_base64url(part)
    except ValueError:
        raise TokenRefused(f"the token's {name} is not canonical base64url without padding; {_AS_GIVEN}") from None


def json_object(raw: bytes, name: str) -> Mapping[str, Any]:
    """Returns a JSON object that stands in UTF-8 without a byte order mark (RFC 8259 8.1)."""
    try:
        value = bounded_json(raw.decode("utf-8", "strict"), max_characters=MAX_TOKEN_CHARACTERS)
    except UnicodeDecodeError:
        raise TokenRefused(f"the token's {name} is not UTF-8; {_AS_GIVEN}") from None
    except MalformedJson as wrong:
        raise TokenRefused(f"the token's {name} is not strict JSON: {_without_position(wrong)}") from None
    if not isinstance(value, dict):
        raise TokenRefused(f"the token's {name} is not a JSON object")
    return value


def _without_position(wrong: MalformedJson) -> str:
    """Returns what is wrong without where: a column says something of what stands before it."""
    return str(wrong).split(" at column ", 1)[0]


def _check_header_members(header: Mapping[str, Any]) -> None:
    """Refuses every header member that could steer the verification, and every unknown one."""
    steering = sorted(_REFUSED_HEADER & header.keys())
    if steering:
        raise TokenRefused(f"the token's header carries `{steering[0]}`, which is never accepted")
    if not header.keys() <= _ALLOWED_HEADER:
        raise TokenRefused("the token's header carries a member other than alg, kid, typ and x5t")
    if "x5t" in header:
        _header_text(header, "x5t")


def _header_text(header: Mapping[str, Any], name: str) -> str:
    """Returns a header member that must be a short printable string."""
    value = header.get(name)
    if not isinstance(value, str) or not is_claim_name(value):
        raise TokenRefused(f"the token's header has no proper `{name}`")
    return value


def _key_id(header: Mapping[str, Any]) -> str:
    """Returns the key id, without which no key is looked for."""
    value = header.get("kid")
    if not isinstance(value, str) or not is_key_id(value):
        raise TokenRefused("the token's header has no `kid` of 1 to 128 letters, digits, dots, _ or -")
    return value


def plain_claim(claims: Mapping[str, Any], name: str) -> str:
    """Returns a claim that must be 1 to 255 printable ASCII characters."""
    value = claims.get(name)
    if not isinstance(value, str) or not is_plain_text(value):
        raise TokenRefused(f"the claim `{name}` must be 1 to 255 printable ASCII characters")
    return value


def date_claim(claims: Mapping[str, Any], name: str) -> float:
    """Returns a NumericDate (RFC 7519 2): a number, no string and no boolean, of this era."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenRefused(f"the claim `{name}` must be a number of seconds")
    if not 0 <= value <= _LAST_DATE:
        raise TokenRefused(f"the claim `{name}` is out of range")
    return value


def one_audience(claims: Mapping[str, Any]) -> str:
    """Returns the audience; a token for several parties is a token that each of them could present here."""
    value = claims.get("aud")
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str) or not is_plain_text(value):
        raise TokenRefused("the claim `aud` must be exactly one audience")
    return value
