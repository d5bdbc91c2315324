"""Table 2b at a broker that runs: tokens that plain libraries take, or took once, as a person's and as an agent's own.

Every token is signed by the provider's own key, unless forging the signature is the attack.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.attack.black_box.broker import AUDIENCE, COPILOT, HOME, PARTNER, Broker, Given, Refused, Scene, Why
from tests.attack.black_box.scene import KEY_ID
from tests.attack.black_box.wire import ASK, OK, Call
from tests.attack.raw_http2 import framed_message, raw_connection
from tests.token_forge import ABSENT, b64, key_set, rsa_jwk, rsa_key, sign

HEADER = {"alg": "RS256", "typ": "JWT", "kid": KEY_ID}
Claims = Mapping[str, Any]
Forged = Callable[[Claims], str]


def own() -> Any:
    """The provider's key."""
    return rsa_key(name=HOME)


def token(header: Mapping[str, Any], claims: Claims, key: Any = None, algorithm: str = "RS256") -> str:
    """Signs a header and claims, ABSENT ones left out."""
    kept = {name: value for name, value in header.items() if value is not ABSENT}
    return sign(json.dumps(kept).encode(), _text(claims), algorithm=algorithm, key=key or own())


def _text(claims: Claims) -> bytes:
    return json.dumps({name: value for name, value in claims.items() if value is not ABSENT}).encode()


def with_header(**changes: Any) -> Forged:
    """Returns a token whose header differs."""
    return lambda claims: token({**HEADER, **changes}, claims)


def with_claims(**changes: Any) -> Forged:
    """Returns a token whose claims differ."""
    return lambda claims: token(HEADER, {**claims, **changes})


def later(**seconds: int) -> Forged:
    """Returns a token whose times are so many seconds from now."""
    return lambda claims: token(HEADER, {**claims, **{name: int(time.time()) + n for name, n in seconds.items()}})


def unsigned(algorithm: str, signature: str = "") -> Forged:
    """Returns a token that says that it needs no signature, or has one of nobody."""
    return lambda claims: f"{b64(json.dumps({**HEADER, 'alg': algorithm}).encode())}.{b64(_text(claims))}.{signature}"


def by_shared_secret(secret: Callable[[], bytes]) -> Forged:
    """Returns a token that is signed with what everybody may read."""

    def forged(claims: Claims) -> str:
        text = unsigned("HS256")(claims).removesuffix(".")
        return f"{text}.{b64(hmac.new(secret(), text.encode(), hashlib.sha256).digest())}"

    return forged


def written(change: Callable[[bytes], bytes], header: bytes | None = None) -> Forged:
    """Returns a token of which the text of the claims, or the header, is written otherwise."""
    return lambda claims: sign(header or json.dumps(HEADER).encode(), change(_text(claims)), key=own())


def pem() -> bytes:
    """The provider's public key as everybody may have it."""
    return bytes(own().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def jwk() -> dict[str, Any]:
    """The same as a JSON Web Key."""
    return rsa_jwk(own(), kid=KEY_ID, use="sig", alg="RS256")


def carrying(name: str) -> Forged:
    """Returns a token of a stranger's key that brings the key along, or says where it is."""
    stranger = rsa_key(name="stranger")
    members = {"jwk": rsa_jwk(stranger, kid=KEY_ID), "jku": "https://127.0.0.1/keys", "x5u": "https://127.0.0.1/x",
               "x5c": [base64.b64encode(b"x").decode()]}  # fmt: skip
    return lambda claims: token({**HEADER, name: members[name]}, claims, stranger)


def last_character(claims: Claims) -> str:
    """Returns a token whose signature is written with other bits that mean nothing."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    text = token(HEADER, claims)
    return text[:-1] + alphabet[alphabet.index(text[-1]) ^ 1]


def serialized(claims: Claims) -> str:
    """Returns a token in the JSON serialization."""
    header, payload, signature = token(HEADER, claims).split(".")
    return json.dumps({"protected": header, "payload": payload, "signature": signature})


TWISTED: dict[str, Forged] = {
    **{f"alg {name}": unsigned(name) for name in ("none", "NoNe", "", "RS256")},
    "alg none with a signature": unsigned("none", b64(bytes(256))),
    "a signature of zeros": unsigned("RS256", b64(bytes(256))),
    "HS256 with the PEM": by_shared_secret(pem),
    "HS256 with the PEM in other line breaks": by_shared_secret(lambda: pem().replace(b"\n", b"\r\n")),
    "HS256 with the JWK": by_shared_secret(lambda: json.dumps(jwk()).encode()),
    "HS256 with the key set": by_shared_secret(lambda: key_set(jwk())),
    "HS256 with nothing": by_shared_secret(lambda: b""),
    **{f"a key of its own, by {name}": carrying(name) for name in ("jwk", "jku", "x5u", "x5c")},
    "jku beside an honest signature": with_header(jku="https://127.0.0.1/keys"),
    "a stranger's key": lambda claims: token(HEADER, claims, rsa_key(name="stranger")),
    "the other provider's key": lambda claims: token(HEADER, claims, rsa_key(name=PARTNER)),
    "PS256 by a key for RS256": lambda claims: token({**HEADER, "alg": "PS256"}, claims, algorithm="PS256"),
    "RS512 by a key for RS256": lambda claims: token({**HEADER, "alg": "RS512"}, claims, algorithm="RS512"),
    "unknown crit": with_header(crit=["new"], new=1),
    "crit that is empty": with_header(crit=[]),
    "b64 false": with_header(b64=False),
    "zip": with_header(zip="DEF"),
    **{f"typ {kind}": with_header(typ=kind) for kind in ("at+jwt", "logout+jwt", "secevent+jwt", "dpop+jwt")},
    **{
        f"kid {kid!r:.20}": with_header(kid=kid)
        for kid in ("../../etc/passwd", "' OR 1=1 --", "http://x/k", "", "k" * 129, f"{KEY_ID}\x00", 7, ABSENT)
    },
    "iss as a list": lambda claims: token(HEADER, {**claims, "iss": [claims["iss"]]}),
    "iss with a slash": lambda claims: token(HEADER, {**claims, "iss": f"{claims['iss']}/"}),
    "iss in capitals": lambda claims: token(HEADER, {**claims, "iss": claims["iss"].upper()}),
    "no iss": with_claims(iss=ABSENT),
    "no aud": with_claims(aud=ABSENT),
    "another aud": with_claims(aud="another"),
    "aud of two": with_claims(aud=[AUDIENCE, "evil"]),
    "aud of one twice": with_claims(aud=[AUDIENCE, AUDIENCE]),
    "aud that is an object": with_claims(aud={AUDIENCE: 1}),
    **{f"exp {value!r}": with_claims(exp=value) for value in ("9999999999", 1e300, True, None, [9999999999], ABSENT)},
    "exp NaN": written(lambda text: text.replace(b'"exp": ', b'"exp": NaN, "x": ')),
    "exp in ten years": later(exp=10 * 365 * 86_400),
    "expired": later(iat=-700, exp=-31),
    "not yet": later(nbf=60),
    "issued tomorrow": later(iat=86_400, exp=87_000),
    "no sub": with_claims(sub=ABSENT),
    **{
        f"sub {value!r:.20}": with_claims(sub=value)
        for value in ("", " ", "a\n", "a\x00b", "\ud800", "x" * 256, 7, ["a"])
    },
    "jti that is empty": with_claims(jti=""),
    "a claim twice": written(lambda text: text[:-1] + b', "sub": "root"}'),
    "a claim twice in two spellings": written(lambda text: text[:-1] + b', "s\\u0075b": "root"}'),
    "alg twice": written(bytes, b'{"alg":"none","alg":"RS256","typ":"JWT","kid":"' + KEY_ID.encode() + b'"}'),
    "UTF-16": written(lambda text: text.decode().encode("utf-16")),
    "a byte order mark": written(lambda text: b"\xef\xbb\xbf" + text),
    "no object": written(lambda _: b'["alice"]'),
    "something after it": written(lambda text: text + b" {}"),
    "nested deeply": written(lambda text: text[:-1] + b', "deep": ' + b"[" * 5000 + b"]" * 5000 + b"}"),
    "over 16 KiB": with_claims(pad="x" * 16_384),
    "padded": lambda claims: f"{token(HEADER, claims)}==",
    "a signature in other bits": last_character,
    "JSON serialization": serialized,
    "four parts": lambda claims: f"{token(HEADER, claims)}.x",
    "two parts": lambda claims: token(HEADER, claims).rpartition(".")[0],
    "no token": lambda _: "alice",
}


def usual(scene: Scene, **of: Any) -> Claims:
    """Returns honest claims."""
    now = int(time.time())
    return {"iss": scene.issuers[HOME], "aud": AUDIENCE, "iat": now, "exp": now + 600, "jti": "t", **of}


@pytest.mark.parametrize("name", TWISTED)
def test_2b_a_twisted_token_of_a_person_opens_nothing(broker: Broker, scene: Scene, name: str) -> None:
    claims = usual(scene, sub="alice", azp="copilot", groups=["analysts"])
    sent = len(scene.sts_log())

    outcomes = [broker.exchange(COPILOT, TWISTED[name](claims), ASK) for _ in range(2)]

    assert all(isinstance(outcome, Refused) for outcome in outcomes), outcomes
    assert {outcome.why for outcome in outcomes if isinstance(outcome, Refused)} <= {Why.NOT_KNOWN, Why.MALFORMED}
    assert len(scene.sts_log()) == sent
    assert isinstance(broker.exchange(COPILOT, token(HEADER, claims), ASK), Given)


@pytest.mark.parametrize("name", TWISTED)
async def test_2b_a_twisted_token_of_an_agent_opens_nothing(call: Call, scene: Scene, name: str) -> None:
    claims = usual(scene, sub="copilot", azp="copilot", client_id="copilot")
    twisted, sent = TWISTED[name](claims), len(scene.sts_log())

    async with raw_connection(call) as connection:
        headers = call.with_header("authorization", f"Bearer {twisted}".encode())
        status = (await connection.call(headers, framed_message(call.message), framed=False)).status

    assert status != OK
    assert len(scene.sts_log()) == sent


async def test_2b_an_honest_token_of_an_agent_that_is_written_here_is_taken(call: Call, scene: Scene) -> None:
    honest = token(HEADER, usual(scene, sub="copilot", azp="copilot", client_id="copilot"))

    async with raw_connection(call) as connection:
        headers = call.with_header("authorization", f"Bearer {honest}".encode())
        status = (await connection.call(headers, framed_message(call.message), framed=False)).status

    assert status == OK
