"""Tokens: rows T1 to T3 and the incidents of section 3, each through the front door (table 2b is in `test_tokens`).

Every attack is signed with the issuer's own key unless forging the signature is the attack.
"""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.hostile_issuer import HostileIssuer, hostile_issuer
from tests.identity_world import identity_world, pipeline_token, reason, robot_token
from tests.token_forge import (
    ABSENT,
    ISSUER,
    NOON,
    NOW,
    HandClock,
    MemoryFetch,
    b64,
    claims,
    ec_jwk,
    ec_key,
    ed_jwk,
    ed_key,
    forge,
    key_set,
    rsa_jwk,
    rsa_key,
    settings,
    sign,
    trusted,
    user_token,
    verifier,
)

from remit_sandbox.certificates import Authority
from remit_server.adapters.identity.https_fetch import FetchFailed, HttpsFetch
from remit_server.adapters.identity.jwks import IssuerKeys
from remit_server.adapters.identity.oidc import OidcVerifier, TrustedIssuer
from remit_server.adapters.identity.token_parsing import TokenRefused
from remit_server.config.identity_rules import InvalidSettings
from remit_server.config.settings import AgentSettings, IssuerSettings
from remit_server.domain.errors import Outage, Reason
from remit_server.domain.secret import Secret

HEADER = {"alg": "RS256", "kid": "rsa", "typ": "JWT"}


async def _is_rejected(token: str) -> None:
    """Checks that the token is refused as a subject's and as an agent's own alike."""
    world = identity_world(actors=True)

    assert await reason(world.delegate(token)) is Reason.SUBJECT_TOKEN_REJECTED
    assert await reason(world.by_token(token)) is Reason.ACTOR_REJECTED


async def _refused(checked: OidcVerifier, token: str) -> str:
    with pytest.raises(TokenRefused) as refused:
        await checked.verify(Secret(token))
    return refused.value.why


def _unsigned(header: dict[str, Any], signature: str) -> str:
    return f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims()).encode())}.{signature}"


def _with_keys(*keys: dict[str, Any], **changes: Any) -> OidcVerifier:
    clock = HandClock()
    return OidcVerifier([trusted(settings(**changes), clock, key_set(*keys))], clock)


# --- T1: whose key, whose audience ------------------------------------------------------------------------------------


@pytest.mark.parametrize("claimed", ["https://idp.example.com", "https://other.example.com"])
async def test_t1_one_key_id_in_two_key_sets_means_each_issuers_own_key(claimed: str) -> None:
    clock, own = HandClock(), rsa_key(name="other")
    other = settings(issuer="https://other.example.com", alias="other")
    checked = OidcVerifier(
        [trusted(settings(), clock), trusted(other, clock, key_set(rsa_jwk(own, kid="rsa", alg="RS256")))], clock
    )
    right, wrong = (rsa_key(), own) if claimed == ISSUER else (own, rsa_key())

    assert (await checked.verify(Secret(forge(claims(iss=claimed), key=right)))).issuer.issuer == claimed
    assert "signature" in await _refused(checked, forge(claims(iss=claimed), key=wrong))


@pytest.mark.parametrize(
    "issuer", ["https://IDP.example.com", "https://idp.example.com:443", "https://idp.example.com."]
)
async def test_t1_an_issuer_in_another_spelling_is_another_issuer(issuer: str) -> None:
    await _is_rejected(user_token(iss=issuer))


# --- T2: names are compared, never matched ----------------------------------------------------------------------------

PATTERNS = [
    "main|develop",
    "a)|(",
    "a)|(.*",
    ".*",
    "^robot$",
    "rob.t",
    "robot|x",
    "(?:robot)",
    "[r]obot",
    "robot\\z",
    "*",
]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("name", ["main-attacker", "develop", "anything", "robot", "", "x"])
async def test_t2_a_pattern_in_the_configuration_is_a_plain_name(pattern: str, name: str) -> None:
    """octo-sts 1643 and 901: `main|develop` was half anchored, and `a)|(` closed the group around it."""
    entry = AgentSettings(agent="pattern", issuer="https://agents.example.com", subject=pattern)
    world = identity_world(agents=[entry])

    assert await reason(world.by_token(robot_token(sub=name))) is Reason.ACTOR_REJECTED
    assert (await world.by_token(robot_token(sub=pattern))).agent == "pattern"


@pytest.mark.parametrize("audience", ["remit-attacker", "xremit", "remit|x", "remi.", ".*", "Remit"])
async def test_t2_an_audience_is_compared_whole(audience: str) -> None:
    await _is_rejected(user_token(aud=audience))
    assert "audience" in await _refused(verifier(settings(audience="remit|x")), user_token(aud="remit"))


# --- T3: 30 seconds, to the second ------------------------------------------------------------------------------------


@pytest.mark.parametrize("leeway", [0, 5, 30])
@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
async def test_t3_each_time_is_forgiven_by_the_leeway_and_not_by_a_second_more(name: str, leeway: int) -> None:
    checked = verifier(settings(leeway=timedelta(seconds=leeway)))
    within, beyond = {
        "exp": (NOW - leeway + 1, NOW - leeway),
        "nbf": (NOW + leeway, NOW + leeway + 1),
        "iat": (NOW + leeway, NOW + leeway + 1),
    }[name]

    assert (await checked.verify(Secret(user_token(**{name: within})))).subject == "alice"
    assert "the token" in await _refused(checked, user_token(**{name: beyond}))


@pytest.mark.parametrize("seconds", [31, 3600, -1])
def test_t3_no_configuration_forgives_more(seconds: int) -> None:
    with pytest.raises(InvalidSettings, match="leeway"):
        settings(leeway=timedelta(seconds=seconds))


@pytest.mark.parametrize("hours", [1, -1])
async def test_t3_a_remembered_token_follows_a_clock_that_is_set(hours: int) -> None:
    clock = HandClock()
    checked, token = verifier(clock=clock), user_token()
    await checked.verify(Secret(token))

    clock.advance(hours=hours)

    assert "the token" in await _refused(checked, token)


# --- section 3: what happened to others -------------------------------------------------------------------------------


@pytest.mark.parametrize("others", [["HS256"], ["HS384", "ES256"], ["HS512"], ["none"]])
async def test_3_cve_2026_48526_a_published_key_is_no_shared_secret_and_families_do_not_mix(others: list[str]) -> None:
    with pytest.raises(InvalidSettings, match=r"never HS\* or none"):
        settings(algorithms=("RS256", *others))

    public = json.dumps(rsa_jwk(rsa_key(), kid="rsa", use="sig", alg="RS256")).encode()
    signed = _unsigned({**HEADER, "alg": "HS256"}, "").removesuffix(".")
    await _is_rejected(f"{signed}.{b64(hmac.new(public, signed.encode(), hashlib.sha256).digest())}")


@pytest.mark.parametrize(
    ("configured", "published", "header"),
    [
        (("RS256", "RS512"), "RS256", "RS512"),
        (("RS256", "PS256"), "RS256", "PS256"),
        (("RS256",), "RS512", "RS256"),
        (("RS256",), None, "RS512"),
        (("RS512",), "RS256", "RS256"),
        (("RS256", "PS256"), "PS256", "RS256"),
    ],
)
async def test_3_cve_2026_48523_header_key_and_configuration_name_one_algorithm(
    configured: tuple[str, ...], published: str | None, header: str
) -> None:
    stated = {} if published is None else {"alg": published}
    checked = _with_keys(rsa_jwk(rsa_key(), kid="rsa", **stated), algorithms=configured)

    assert "algorithm" in await _refused(checked, forge(algorithm=header))


SCHEMES = [
    "file:///etc/passwd",
    "ftp://idp.example.com/k",
    "data:,{}",
    "http://idp.example.com/k",
    "gopher://x/1",
    "//x",
]


@pytest.mark.parametrize("url", SCHEMES)
async def test_3_cve_2026_48522_keys_come_over_https_only(url: str) -> None:
    with pytest.raises(InvalidSettings, match="key_set_url"):
        settings(key_set_url=url)
    with pytest.raises(FetchFailed, match="the URL"):
        await HttpsFetch(hosts={"idp.example.com", "x", ""})(url)


@pytest.mark.parametrize("url", SCHEMES)
async def test_3_cve_2026_48522_discovery_leads_to_https_only(url: str) -> None:
    asked: list[str] = []

    async def discovery(where: str, /) -> bytes:
        asked.append(where)
        return json.dumps({"issuer": ISSUER, "jwks_uri": url}).encode()

    with pytest.raises(Outage):
        await IssuerKeys(settings(), HandClock(), discovery).key("rsa")
    assert asked == [f"{ISSUER}/.well-known/openid-configuration"]


class DyingIssuer(MemoryFetch):
    """An issuer that answers until it is told to fail: a real one cannot be broken at will."""

    is_down = False

    async def __call__(self, url: str, /) -> bytes:
        document = await super().__call__(url)
        if self.is_down:
            raise FetchFailed("the answer has HTTP status 500")
        return document


async def test_3_cve_2026_48524_ten_thousand_key_ids_drive_three_fetches_and_a_failure_empties_nothing() -> None:
    clock, fetch = HandClock(), DyingIssuer()
    configuration = settings(key_set_url=f"{ISSUER}/keys")
    checked = OidcVerifier([TrustedIssuer(configuration, IssuerKeys(configuration, clock, fetch))], clock)
    good = user_token(exp=NOW + 3000)
    await checked.verify(Secret(good))

    for number in range(10_000):
        clock.advance(milliseconds=6)
        with pytest.raises(TokenRefused):
            await checked.verify(Secret(_unsigned({**HEADER, "kid": f"k{number}"}, "AAAA")))
    fetch.is_down = True
    clock.advance(minutes=30)

    assert len(fetch.calls) == 3  # the first look, and one per cool-down of 30 seconds
    assert (await checked.verify(Secret(good))).subject == "alice"


@pytest.mark.parametrize("size", [16 * 1024 + 1, 1024 * 1024, 8 * 1024 * 1024])
async def test_3_cve_2026_48525_a_token_is_measured_before_anything_is_decoded(size: int) -> None:
    assert "longer than 16384 characters" in await _refused(verifier(), "!" * size)
    assert "longer than 16384 characters" in await _refused(verifier(), f"{'A' * size}.e30.AAAA")


@pytest.mark.parametrize(
    "extensions", [["unheard-of"], ["exp"], ["b64"], [], ["alg", "kid"], "exp", {"exp": 1}, None, [1]], ids=str
)
async def test_3_cve_2026_32597_no_extension_is_called_critical(extensions: Any) -> None:
    """The same class: Authlib CVE-2025-59420."""
    await _is_rejected(forge(header={"crit": extensions, "unheard-of": 1}))
    await _is_rejected(forge(header={"crit": extensions}))


@pytest.mark.parametrize("armour", ["crlf", "spaces", "no armour", "other armour", "one line", "bom", "pkcs1"])
async def test_3_pyjwt_2_14_0_ghsa_ffc3_869f_jxw9_no_writing_of_a_public_key_is_a_shared_secret(armour: str) -> None:
    public = rsa_key().public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    secret = {
        "crlf": pem.replace(b"\n", b"\r\n"),
        "spaces": pem.replace(b"\n", b" \n"),
        "no armour": b"".join(pem.splitlines()[1:-1]),
        "other armour": pem.replace(b"PUBLIC KEY", b"PUBLIC  KEY"),
        "one line": pem.replace(b"\n", b""),
        "bom": b"\xef\xbb\xbf" + pem,
        "pkcs1": public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
    }[armour]
    signed = _unsigned({**HEADER, "alg": "HS256"}, "").removesuffix(".")

    await _is_rejected(f"{signed}.{b64(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}")


@pytest.fixture
async def hostile(tmp_path: Path) -> AsyncIterator[HostileIssuer]:
    async with hostile_issuer(Authority.create(tmp_path / "authority")) as running:
        yield running


@pytest.mark.parametrize("target", ["self", "metadata", "file"])
async def test_3_pyjwt_2_14_0_ghsa_9v7f_9g4p_ffgj_a_key_set_that_redirects_is_not_followed(
    hostile: HostileIssuer, target: str
) -> None:
    configuration: IssuerSettings = settings(
        key_set_url=f"{hostile.url}/redirect/{target}", allowed_hosts=frozenset({"127.0.0.1"}), ca_file=hostile.ca_file
    )
    clock = HandClock()
    checked = OidcVerifier([TrustedIssuer(configuration, IssuerKeys.over_https(configuration, clock))], clock)

    with pytest.raises(Outage) as failed:
        await checked.verify(Secret(user_token()))

    assert failed.value.reason is Reason.ISSUER_UNAVAILABLE
    assert hostile.asked == [f"/redirect/{target}"]


@pytest.mark.parametrize("depth", [100, 6000, 100_000])
async def test_3_pyjwt_2_14_0_ghsa_8wjv_2p76_3863_a_nested_header_or_payload_is_a_clean_refusal(depth: int) -> None:
    nested = b"[" * depth + b"]" * depth

    header = b64(b'{"alg":' + nested + b"}")

    await _is_rejected(f"{header}.e30.AAAA")
    await _is_rejected(sign(json.dumps(HEADER).encode(), b'{"sub":' + nested + b"}"))


BAD_KEYS: dict[str, dict[str, Any]] = {
    "RSA with e = 1": {**rsa_jwk(rsa_key(name="bad"), kid="bad"), "e": "AQ"},
    "RSA with an even modulus": {**rsa_jwk(rsa_key(name="bad"), kid="bad"), "n": b64(b"\xff" * 255 + b"\xfe")},
    "RSA without a modulus": {"kty": "RSA", "kid": "bad", "e": "AQAB"},
    "a point off its curve": {**ec_jwk(ec_key(), kid="bad"), "y": ec_jwk(ec_key())["x"]},
    "an unknown kind": {"kty": "PQC", "kid": "bad"},
    "no kind": {"kid": "bad"},
    "no members": {},
    "a private key": {**rsa_jwk(rsa_key(name="bad"), kid="bad"), "d": "AQAB"},
}


@pytest.mark.parametrize("bad", BAD_KEYS.values(), ids=BAD_KEYS.keys())
@pytest.mark.parametrize("position", ["first", "last"])
async def test_3_pyjwt_2_14_0_ghsa_w6j9_cwv2_h6wq_one_bad_key_leaves_the_others_working(
    bad: dict[str, Any], position: str
) -> None:
    good = [rsa_jwk(rsa_key(), kid="rsa"), ec_jwk(ec_key(), kid="ec"), ed_jwk(ed_key(), kid="ed")]
    checked = _with_keys(*([bad, *good] if position == "first" else [*good, bad]))

    for kid, algorithm in (("rsa", "RS256"), ("ec", "ES256"), ("ed", "EdDSA")):
        assert (await checked.verify(Secret(forge(kid=kid, algorithm=algorithm)))).subject == "alice"
    assert "publish" in await _refused(checked, forge(header={"kid": "bad"}, key=rsa_key(name="bad")))


def test_3_pyjwt_2_14_0_the_signature_library_is_one_in_which_these_are_mended() -> None:
    major, minor = (int(part) for part in version("PyJWT").split(".")[:2])

    assert (major, minor) >= (2, 14)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", None])
@pytest.mark.parametrize("signature", ["", "AA", b64(bytes(256))])
async def test_3_cve_2026_28802_nothing_goes_without_a_signature(algorithm: str | None, signature: str) -> None:
    await _is_rejected(_unsigned({**HEADER, "alg": algorithm}, signature))


async def test_3_cve_2026_27962_without_a_key_nothing_is_verified_least_of_all_by_the_tokens_own() -> None:
    own = rsa_key(name="attacker")
    carrying = forge(header={"jwk": rsa_jwk(own, kid="rsa")}, key=own)

    for checked in (_with_keys(), _with_keys(rsa_jwk(rsa_key(), kid="another"))):
        assert "`jwk`" in await _refused(checked, carrying)
        assert "publish" in await _refused(checked, forge(key=own))


@pytest.mark.parametrize(
    ("kid", "header_algorithm", "signed_with"),
    [("ec", "RS256", "RS256"), ("rsa", "ES256", "ES256"), ("ed", "ES256", "ES256"), ("ec", "EdDSA", "EdDSA")],
)
async def test_3_python_jose_274_a_key_is_used_with_its_own_algorithm_only(
    kid: str, header_algorithm: str, signed_with: str
) -> None:
    signer = {"RS256": rsa_key(), "ES256": ec_key(), "EdDSA": ed_key()}[signed_with]

    await _is_rejected(forge(header={"kid": kid, "alg": header_algorithm}, algorithm=signed_with, key=signer))


@pytest.mark.parametrize("token_id", [ABSENT, "", None, 7, "a\nb", ["x"]])
async def test_3_warehouse_16194_replay_protection_that_cannot_be_had_is_no_token(token_id: Any) -> None:
    """`jti` was read and never checked; where tokens are for one task each, one that has none is refused."""
    world = identity_world(single_use=True)

    assert await reason(world.delegate(user_token(jti=token_id))) is Reason.SUBJECT_TOKEN_REJECTED


async def test_t3_what_a_token_is_refused_for_at_one_time_is_no_memory_that_lets_it_in_at_another() -> None:
    clock = HandClock(NOON - timedelta(hours=1))
    checked, token = verifier(clock=clock), user_token()
    await _refused(checked, token)

    clock.advance(hours=1)

    assert (await checked.verify(Secret(token))).subject == "alice"
    clock.advance(hours=1)
    assert "expired" in await _refused(checked, token)


async def test_a3_one_job_token_is_worth_nothing_as_anothers_agent() -> None:
    world = identity_world()
    first = await world.by_token(pipeline_token(project_path="acme/one"))

    assert await reason(world.delegate(pipeline_token(project_path="acme/two"), first)) is Reason.TOKEN_NOT_BOUND
