"""The token rows of the threat tables (A2, A3, A4, 2b, T1 to T3, G12), each through the front door of identity.

Every attack is signed with the issuer's own key unless forging the signature is the attack.
"""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.hostile_issuer import HostileIssuer, hostile_issuer
from tests.identity_world import AGENTS, SCRIBE, IdentityWorld, identity_world, reason, refusal, robot_token
from tests.svid_forge import COPILOT, svid
from tests.token_forge import (
    ABSENT,
    ISSUER,
    NOON,
    NOW,
    HandClock,
    MemoryFetch,
    b64,
    claims,
    ec_key,
    forge,
    key_set,
    rsa_jwk,
    rsa_key,
    settings,
    sign,
    user_token,
    verifier,
)

from remit_sandbox.certificates import Authority
from remit_sandbox.issuer import LocalIssuer
from remit_server.adapters.identity.authentication import ActorAuthentication
from remit_server.adapters.identity.delegation import DelegationVerification
from remit_server.adapters.identity.jwks import IssuerKeys
from remit_server.adapters.identity.oidc import OidcVerifier, TrustedIssuer
from remit_server.adapters.identity.spiffe import SpiffeVerifier
from remit_server.adapters.identity.token_parsing import TokenRefused
from remit_server.config.identity_rules import InvalidSettings
from remit_server.domain.errors import Denied, Outage, Reason
from remit_server.domain.identity import Caller
from remit_server.domain.secret import Secret

HEADER = b'{"alg":"RS256","kid":"rsa","typ":"JWT"}'


async def _is_rejected(token: str) -> None:
    """Checks that the token is refused as a subject's and as an agent's own alike."""
    world = identity_world(actors=True)

    assert await reason(world.delegate(token)) is Reason.SUBJECT_TOKEN_REJECTED
    assert await reason(world.by_token(token)) is Reason.ACTOR_REJECTED


def _unsigned(header: dict[str, Any], signature: str = "") -> str:
    return f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims()).encode())}.{signature}"


def _hmac_signed(secret: bytes, header: dict[str, Any] | None = None) -> str:
    header = header or {"alg": "HS256", "kid": "rsa", "typ": "JWT"}
    signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims()).encode())}"
    return f"{signed}.{b64(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


# --- 2b: what plain libraries reject, kept as regressions -------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["none", "NoNe", "NONE", "", "None "])
@pytest.mark.parametrize("signature", ["", "AAAA"])
async def test_2b_no_token_says_that_it_needs_no_signature(algorithm: str, signature: str) -> None:
    await _is_rejected(_unsigned({"alg": algorithm, "kid": "rsa", "typ": "JWT"}, signature))


@pytest.mark.parametrize("form", ["pem", "pem without its last line break", "der", "jwk", "key set"])
async def test_2b_a_public_key_is_never_a_shared_secret(form: str) -> None:
    public = rsa_key().public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    secrets = {
        "pem": pem,
        "pem without its last line break": pem.strip(),
        "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "jwk": json.dumps(rsa_jwk(rsa_key(), kid="rsa", use="sig", alg="RS256")).encode(),
        "key set": key_set(rsa_jwk(rsa_key(), kid="rsa")),
    }

    await _is_rejected(_hmac_signed(secrets[form]))


def test_2b_no_configuration_can_allow_symmetric_algorithms() -> None:
    for algorithms in (("HS256",), ("RS256", "HS256"), ("none",), ("rs256",)):
        with pytest.raises(InvalidSettings):
            settings(algorithms=algorithms)


@pytest.mark.parametrize(
    "member",
    [
        {"crit": ["exp"]},
        {"crit": ["b64"], "b64": False},
        {"b64": False},
        {"b64": True},
        {"jwk": rsa_jwk(rsa_key(name="attacker"))},
        {"zip": "DEF"},
        {"cty": "JWT"},
        {"enc": "A256GCM"},
    ],
    ids=["crit", "crit and b64", "b64 false", "b64 true", "jwk", "zip", "cty", "enc"],
)
async def test_2b_no_header_member_changes_how_a_token_is_read(member: dict[str, Any]) -> None:
    await _is_rejected(forge(header=member))


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": [ISSUER]},
        {"iss": ISSUER + "/"},
        {"aud": ABSENT},
        {"nbf": NOW + 31},
        {"iat": NOW + 31},
    ],
    ids=str,
)
async def test_2b_what_libraries_reject_stays_rejected(changes: dict[str, Any]) -> None:
    await _is_rejected(user_token(**changes))


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity", "1e400"])
async def test_2b_an_expiry_is_a_number(constant: str) -> None:
    payload = json.dumps(claims(exp="@")).replace('"@"', constant)

    await _is_rejected(sign(HEADER, payload.encode()))


async def test_2b_the_json_serialization_is_not_read() -> None:
    header, payload, signature = user_token().split(".")

    await _is_rejected(json.dumps({"protected": header, "payload": payload, "signature": signature}))


async def test_2b_a_signature_has_one_text() -> None:
    token = user_token()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(token[-1])  # 256 bytes: the last character carries four bits that mean nothing

    assert (await identity_world().delegate(token)).subject.subject == "alice"
    await _is_rejected(token[:-1] + alphabet[last ^ 1])
    await _is_rejected(token + "=")
    await _is_rejected(token + "==")


# --- 2b: what plain libraries accept ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sub", "iss", "aud", "exp", "azp", "groups", "act", "unknown"])
async def test_2b_a_claim_that_stands_twice_refuses_the_token(name: str) -> None:
    twice = json.dumps(claims())[:-1] + f', "{name}": "root", "{name}": "alice"}}'

    await _is_rejected(sign(HEADER, twice.encode()))


async def test_2b_a_claim_that_stands_twice_in_two_spellings_refuses_the_token() -> None:
    twice = json.dumps(claims())[:-1] + ', "s\\u0075b": "root"}'

    await _is_rejected(sign(HEADER, twice.encode()))


async def test_2b_a_header_member_that_stands_twice_refuses_the_token() -> None:
    payload = json.dumps(claims()).encode()

    await _is_rejected(sign(b'{"alg":"none","alg":"RS256","kid":"rsa","typ":"JWT"}', payload))
    await _is_rejected(sign(b'{"alg":"RS256","kid":"other","kid":"rsa","typ":"JWT"}', payload))


@pytest.mark.parametrize("kind", ["at+jwt", "logout+jwt", "secevent+jwt", "dpop+jwt", "JWE", "application/jose"])
async def test_2b_a_token_of_another_type_is_refused(kind: str) -> None:
    await _is_rejected(forge(header={"typ": kind}))


@pytest.mark.parametrize("audience", [["remit", "evil"], ["evil", "remit"], ["remit", "remit"], []])
async def test_2b_a_token_for_several_audiences_is_refused(audience: list[str]) -> None:
    await _is_rejected(user_token(aud=audience))


@pytest.mark.parametrize("expiry", ["9999999999", str(NOW + 60), True, [NOW + 60], None])
async def test_2b_an_expiry_that_is_no_number_is_refused(expiry: Any) -> None:
    await _is_rejected(user_token(exp=expiry))


@pytest.mark.parametrize("expiry", [1e300, NOW + 10 * 365 * 86400, NOW + 3541])
async def test_2b_a_lifetime_over_the_cap_is_refused(expiry: float) -> None:
    await _is_rejected(user_token(exp=expiry))


@pytest.mark.parametrize("name", ["sub", "jti"])
@pytest.mark.parametrize("value", ["", " ", "a\n", "a\x00b", "\ud800", "ａlice", "а" * 5, "\u202eecila", "x" * 256])  # noqa: RUF001 - homoglyphs are the attack
async def test_2b_names_that_print_as_others_are_refused(name: str, value: str) -> None:
    await _is_rejected(user_token(**{name: value}))


@pytest.mark.parametrize("size", [16 * 1024, 1024 * 1024])
async def test_2b_a_large_token_is_refused_before_it_is_decoded(size: int) -> None:
    await _is_rejected(user_token(pad="x" * size))
    await _is_rejected("a" * size + "." + "b" * size + ".c")


@pytest.mark.parametrize("depth", [17, 1000, 5000])
async def test_2b_a_deep_token_is_refused_cleanly(depth: int) -> None:
    deep = json.dumps(claims())[:-1] + ', "deep": ' + "[" * depth + "]" * depth + "}"

    await _is_rejected(sign(HEADER, deep.encode()))
    await _is_rejected(sign(b'{"alg":' + b"[" * depth + b"]" * depth + b"}", b"{}"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
async def test_2b_only_utf_8_without_a_mark_is_read(encoding: str) -> None:
    payload = json.dumps(claims())

    await _is_rejected(sign(HEADER, payload.encode(encoding)))
    await _is_rejected(sign(HEADER.decode().encode(encoding), payload.encode()))


@pytest.mark.parametrize(
    "kid", ["../../etc/passwd", "/dev/null", "' OR 1=1 --", "rsa\x00", "http://evil/k", "", "k" * 129]
)
async def test_2b_a_key_id_is_only_ever_looked_up(kid: str) -> None:
    await _is_rejected(forge(header={"kid": kid}))


async def test_2b_a_token_without_a_key_id_is_refused() -> None:
    await _is_rejected(forge(header={"kid": ABSENT}))


@pytest.mark.parametrize(
    ("algorithm", "kid"),
    [("PS256", "rsa"), ("RS384", "rsa"), ("RS512", "rsa-any"), ("PS512", "rsa-any"), ("ES256", "rsa")],
)
async def test_2b_the_header_does_not_choose_the_algorithm(algorithm: str, kid: str) -> None:
    key = ec_key() if algorithm == "ES256" else None

    await _is_rejected(forge(header={"kid": kid}, algorithm=algorithm, kid=kid, key=key))


async def test_2b_an_unsigned_or_foreign_signature_is_refused() -> None:
    await _is_rejected(_unsigned({"alg": "RS256", "kid": "rsa", "typ": "JWT"}))
    await _is_rejected(_unsigned({"alg": "RS256", "kid": "rsa", "typ": "JWT"}, "AAAA"))
    await _is_rejected(forge(key=rsa_key(name="attacker")))


async def test_2b_an_ecdsa_signature_of_zeros_is_refused() -> None:
    await _is_rejected(_unsigned({"alg": "ES256", "kid": "ec", "typ": "JWT"}, b64(bytes(64))))


# --- 2b, G12: keys come from nowhere but the configured place ---------------------------------------------------------


@pytest.fixture
async def hostile(tmp_path: Path) -> AsyncIterator[HostileIssuer]:
    async with hostile_issuer(Authority.create(tmp_path / "authority")) as running:
        yield running


@pytest.mark.parametrize("member", ["jku", "x5u"])
async def test_2b_a_url_in_a_header_is_never_asked(hostile: HostileIssuer, member: str) -> None:
    attacker = forge(header={member: f"{hostile.url}/keys"}, key=rsa_key(name="attacker"))

    await _is_rejected(attacker)
    await _is_rejected(forge(header={"x5c": ["AAAA"]}))

    assert hostile.asked == []


@pytest.mark.parametrize(
    "path", ["/redirect/metadata", "/redirect/self", "/redirect/file", "/huge", "/gzip", "/status/500", "/status/404"]
)
async def test_g12_a_key_set_url_that_misbehaves_is_an_outage_and_leads_nowhere(
    hostile: HostileIssuer, path: str
) -> None:
    configuration = settings(
        key_set_url=f"{hostile.url}{path}", allowed_hosts=frozenset({"127.0.0.1"}), ca_file=hostile.ca_file
    )
    clock = HandClock()
    checked = OidcVerifier([TrustedIssuer(configuration, IssuerKeys.over_https(configuration, clock))], clock)

    with pytest.raises(Outage) as failed:
        await checked.verify(Secret(user_token()))

    assert failed.value.reason is Reason.ISSUER_UNAVAILABLE
    assert hostile.asked == [path]


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/", "file:///etc/passwd", "ftp://idp.example.com/k", "data:,{}"]
)
def test_g12_no_configuration_names_such_a_place(url: str) -> None:
    with pytest.raises(InvalidSettings):
        settings(key_set_url=url)


async def test_3_cve_2026_48524_random_key_ids_do_not_drive_fetches_and_known_keys_live_on() -> None:
    clock, fetch = HandClock(), MemoryFetch()
    configuration = settings()
    checked = OidcVerifier([TrustedIssuer(configuration, IssuerKeys(configuration, clock, fetch))], clock)
    await checked.verify(Secret(user_token()))
    at_start = len(fetch.calls)

    for number in range(200):
        with pytest.raises(TokenRefused, match="does not publish"):
            await checked.verify(Secret(forge(header={"kid": f"k{number}"})))

    assert len(fetch.calls) == at_start
    assert (await checked.verify(Secret(user_token(jti="next")))).subject == "alice"


# --- T1 to T3 ---------------------------------------------------------------------------------------------------------


async def test_t1_a_token_of_one_issuer_is_not_read_as_anothers_even_under_one_key_id() -> None:
    other, own = "https://other.example.com", rsa_key(name="other")
    clock = HandClock()
    first, second = settings(), settings(issuer=other, alias="other")
    checked = OidcVerifier(
        [
            TrustedIssuer(first, IssuerKeys(first, clock, MemoryFetch())),
            TrustedIssuer(
                second, IssuerKeys(second, clock, MemoryFetch(other, key_set(rsa_jwk(own, kid="rsa", alg="RS256"))))
            ),
        ],
        clock,
    )

    assert (await checked.verify(Secret(forge(claims(iss=other), key=own)))).issuer.alias == "other"
    for token in (forge(claims(iss=ISSUER), key=own), forge(claims(iss=other))):
        with pytest.raises(TokenRefused, match="does not verify"):
            await checked.verify(Secret(token))


async def test_t1_each_issuer_has_its_own_audience() -> None:
    checked = verifier(settings(), settings(issuer="https://other.example.com", alias="other", audience="other"))

    with pytest.raises(TokenRefused, match="another audience"):
        await checked.verify(Secret(forge(claims(iss="https://other.example.com", aud="remit"))))


@pytest.mark.parametrize("subject", ["robot-attacker", "arobot", "robot ", "ROBOT", "robot|x", ".*", "robo?", "r.bot"])
async def test_t2_names_match_whole_and_as_they_are(subject: str) -> None:
    assert await reason(identity_world().by_token(robot_token(sub=subject))) is Reason.ACTOR_REJECTED


@pytest.mark.parametrize(
    ("offset", "accepted"), [(0, True), (629, True), (630, False), (3600, False), (-90, True), (-91, False)]
)
async def test_t3_a_clock_that_is_off_moves_a_token_by_30_seconds_at_most(offset: int, accepted: bool) -> None:
    clock = HandClock(NOON + timedelta(seconds=offset))
    token = Secret(user_token())  # issued 60 seconds before noon, good for 600 after

    if accepted:
        assert (await verifier(clock=clock).verify(token)).subject == "alice"
    else:
        with pytest.raises(TokenRefused, match="the token"):
            await verifier(clock=clock).verify(token)


# --- A2: two authenticated identities, never one ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "certificate",
    [
        None,
        {"spiffe_id": "spiffe://example.org/agents/stranger"},
        {"spiffe_id": "spiffe://evil.example/agents/copilot"},
        {"end": NOON - timedelta(seconds=1)},
        {"start": NOON + timedelta(seconds=1)},
        {"authority": True},
    ],
    ids=["no actor", "unknown actor", "another trust domain", "expired", "not yet valid", "an authority"],
)
async def test_a2_without_a_proven_actor_nothing_goes_on(certificate: dict[str, Any] | None) -> None:
    world = identity_world()

    if certificate is None:
        assert await reason(world.authenticate(Caller(peer="127.0.0.1"))) is Reason.ACTOR_REJECTED
    else:
        assert await reason(world.by_certificate(**certificate)) is Reason.ACTOR_REJECTED


async def test_a2_an_svid_that_expired_on_a_kept_connection_is_refused() -> None:
    world, certificate = identity_world(), svid(COPILOT)
    caller = Caller(peer="127.0.0.1", certificate_der=certificate)
    assert (await world.authenticate(caller)).agent == "copilot"

    world.clock.advance(hours=1, seconds=1)

    assert await reason(world.authenticate(caller)) is Reason.ACTOR_REJECTED


async def test_a2_an_actor_that_the_user_did_not_name_is_refused() -> None:
    token = user_token(azp="copilot", may_act={"sub": SCRIBE})

    assert await reason(identity_world().delegate(token)) is Reason.TOKEN_NOT_BOUND


async def test_a2_an_agent_does_not_stand_in_for_a_user() -> None:
    world = identity_world()
    robot = await world.by_token(robot_token())

    for own in (robot_token(jti="second"), robot_token(azp="robot-app")):
        assert await reason(world.delegate(own, robot)) is Reason.SUBJECT_TOKEN_REJECTED


# --- A3: a token is worth nothing to who was not given it -------------------------------------------------------------


async def test_a3_a_stolen_user_token_is_not_the_thiefs_to_present() -> None:
    world, stolen = identity_world(), user_token(azp="copilot")
    thief = await world.by_certificate(SCRIBE)

    assert await reason(world.delegate(stolen, thief)) is Reason.TOKEN_NOT_BOUND
    assert (await world.delegate(stolen)).subject.subject == "alice"


async def test_a3_a_stolen_token_stays_bound_after_its_owner_used_it() -> None:
    world, stolen = identity_world(), user_token(azp="copilot")
    await world.delegate(stolen)

    assert await reason(world.delegate(stolen, await world.by_certificate(SCRIBE))) is Reason.TOKEN_NOT_BOUND


async def test_a3_a_token_bound_to_a_certificate_is_for_that_certificate_only() -> None:
    world, own, other = identity_world(), svid(COPILOT), svid(COPILOT)
    from_own = await world.authenticate(Caller(peer="127.0.0.1", certificate_der=own))
    from_other = await world.authenticate(Caller(peer="127.0.0.1", certificate_der=other))
    bound = user_token(cnf={"x5t#S256": from_own.certificate_thumbprint})

    assert (await world.delegate(bound, from_own)).subject.subject == "alice"
    assert await reason(world.delegate(bound, from_other)) is Reason.TOKEN_NOT_BOUND


@pytest.mark.parametrize(
    "confirmation", [{"jkt": "x"}, {"jwk": {}}, {"x5t#S256": "x", "jkt": "y"}, {"new": "z"}, {}], ids=str
)
async def test_a3_a_confirmation_that_cannot_be_checked_refuses(confirmation: dict[str, Any]) -> None:
    assert await reason(identity_world().delegate(user_token(cnf=confirmation))) is Reason.TOKEN_NOT_BOUND
    assert await reason(identity_world().by_token(robot_token(cnf=confirmation))) is Reason.ACTOR_REJECTED


# --- A4: what replay protection needs of a token ----------------------------------------------------------------------


async def test_a4_a_single_use_token_needs_an_id_to_be_known_by() -> None:
    world = identity_world(single_use=True)

    assert await reason(world.delegate(user_token(jti=ABSENT))) is Reason.SUBJECT_TOKEN_REJECTED
    assert (await world.delegate(user_token())).token_id == "token-1"


async def test_a4_a_remembered_token_still_says_that_it_is_for_one_task() -> None:
    world, token = identity_world(single_use=True), user_token()

    deliveries = [await world.delegate(token) for _ in range(2)]

    assert all(delegation.single_use and delegation.token_id == "token-1" for delegation in deliveries)


# --- the whole way, with a real issuer over TLS -----------------------------------------------------------------------


async def _real_world(authority: Authority, issuer: LocalIssuer) -> IdentityWorld:
    clock = HandClock()
    configuration = settings(
        issuer=issuer.url,
        audience="remit",
        allowed_hosts=frozenset({"127.0.0.1"}),
        ca_file=authority.bundle_path,
    )
    checked = OidcVerifier([TrustedIssuer(configuration, IssuerKeys.over_https(configuration, clock))], clock)
    spiffe = SpiffeVerifier(trust_domains={"example.org"}, clock=clock)
    return IdentityWorld(clock, ActorAuthentication(AGENTS, spiffe, checked), DelegationVerification(AGENTS, checked))


async def test_the_honest_way_works_over_real_tls(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "authority")
    certificate = authority.issue_server(["127.0.0.1"])

    async with LocalIssuer(certificate, clock=lambda: float(NOW)) as issuer:
        world = await _real_world(authority, issuer)
        for algorithm in ("RS256", "ES256"):
            token = issuer.token("alice", client_id="copilot", algorithm=algorithm)
            delegation = await world.delegate(token)
            assert delegation.subject.groups == ("analysts", "engineers")

        thief = await world.by_certificate(SCRIBE)
        assert await reason(world.delegate(issuer.token("alice", client_id="copilot"), thief)) is Reason.TOKEN_NOT_BOUND


async def test_no_refusal_of_any_kind_repeats_its_token() -> None:
    world = identity_world()
    tokens = [
        user_token(sub="marker", exp=NOW - 100),
        user_token(sub="marker", azp="marker"),
        user_token(iss="https://marker.example.com"),
        forge(claims(sub="marker"), header={"kid": "marker"}),
        forge(claims(sub="marker"), header={"typ": "marker"}),
        jwt.encode(claims(sub="marker"), "x" * 32, algorithm="HS256", headers={"kid": "rsa"}),
    ]

    refusals: list[Denied] = [await refusal(world.delegate(token)) for token in tokens]

    assert not any("marker" in denied.message for denied in refusals)
    assert not any(
        part in denied.message for denied, token in zip(refusals, tokens, strict=True) for part in token.split(".")
    )
