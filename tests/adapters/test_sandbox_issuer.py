from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest

from remit_sandbox.certificates import Authority
from remit_sandbox.errors import SandboxError
from remit_sandbox.issuer import ABSENT, LocalIssuer
from remit_sandbox.signing_keys import Algorithm, SigningKeys

NOW = 1_795_430_400


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "state")


@pytest.fixture
async def issuer(authority: Authority) -> AsyncIterator[LocalIssuer]:
    certificate = authority.issue_server(["127.0.0.1"])
    async with LocalIssuer(certificate, clock=lambda: float(NOW)) as running:
        yield running


@pytest.fixture
async def http(authority: Authority) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(ssl=authority.trust())
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


async def _fetched_claims(http: aiohttp.ClientSession, issuer: LocalIssuer, token: str) -> dict[str, Any]:
    """Verifies a token as a stranger would, with nothing but the issuer's address."""
    async with http.get(f"{issuer.url}/.well-known/openid-configuration") as response:
        discovery = await response.json()
    assert discovery["issuer"] == issuer.url
    async with http.get(discovery["jwks_uri"]) as response:
        keys = {key["kid"]: key for key in (await response.json())["keys"]}
    header = jwt.get_unverified_header(token)
    key = jwt.PyJWK(keys[header["kid"]])
    return jwt.decode(
        token,
        key,
        algorithms=[header["alg"]],
        audience="remit",
        issuer=issuer.url,
        options={"verify_exp": False, "verify_iat": False, "require": ["exp", "iat", "sub"]},
    )


def _signed_in(issuer: LocalIssuer, **more: str) -> dict[str, str]:
    return {"Authorization": aiohttp.encode_basic_auth("sandbox", issuer.password), **more}


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
async def test_a_token_verifies_against_the_published_keys(
    issuer: LocalIssuer, http: aiohttp.ClientSession, algorithm: Algorithm
) -> None:
    token = issuer.token("alice", client_id="copilot", algorithm=algorithm)

    claims = await _fetched_claims(http, issuer, token)

    assert claims.pop("jti")
    assert claims == {
        "iss": issuer.url,
        "sub": "alice",
        "aud": "remit",
        "azp": "copilot",
        "iat": NOW,
        "exp": NOW + 1800,
        "auth_time": NOW,
        "email": "alice@example.test",
        "groups": ["analysts", "engineers"],
    }
    assert jwt.get_unverified_header(token)["typ"] == "JWT"


async def test_two_tokens_are_never_the_same(issuer: LocalIssuer) -> None:
    assert issuer.token("alice", client_id="copilot") != issuer.token("alice", client_id="copilot")


async def test_an_agents_own_token_says_nothing_of_a_person(issuer: LocalIssuer, http: aiohttp.ClientSession) -> None:
    token = issuer.agent_token("copilot")

    claims = await _fetched_claims(http, issuer, token)

    assert claims["sub"] == "copilot"
    assert claims["aud"] == "remit"
    assert not claims.keys() & {"email", "groups", "auth_time"}


async def test_any_claim_and_header_can_be_broken_on_purpose(issuer: LocalIssuer) -> None:
    token = issuer.token(
        "alice",
        client_id="copilot",
        groups=["wheel"],
        audience=["remit", "other"],
        lifetime=timedelta(seconds=-1),
        headers={"typ": "at+jwt", "kid": "unknown"},
        iss="https://elsewhere.test",
        jti=ABSENT,
    )

    claims = jwt.decode(token, options={"verify_signature": False})

    assert claims["iss"] == "https://elsewhere.test"
    assert claims["exp"] == NOW - 1
    assert claims["aud"] == ["remit", "other"]
    assert claims["groups"] == ["wheel"]
    assert "jti" not in claims
    assert jwt.get_unverified_header(token) == {"alg": "RS256", "typ": "at+jwt", "kid": "unknown"}


async def test_the_key_set_holds_public_halves_only(issuer: LocalIssuer, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{issuer.url}/jwks") as response:
        keys = (await response.json())["keys"]

    assert {key["alg"] for key in keys} == {"RS256", "ES256"}
    assert all(key["use"] == "sig" for key in keys)
    assert not any(key.keys() & {"d", "p", "q", "dp", "dq", "qi", "k"} for key in keys)


async def test_the_password_buys_a_persons_token(issuer: LocalIssuer, http: aiohttp.ClientSession) -> None:
    form = {"user": "bob", "client_id": "copilot"}

    async with http.post(f"{issuer.url}/token", data=form, headers=_signed_in(issuer)) as response:
        answer = await response.json()

    claims = await _fetched_claims(http, issuer, answer["id_token"])
    assert (claims["sub"], claims["azp"]) == ("bob", "copilot")
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 1800)


async def test_without_a_user_the_password_buys_the_agents_own_token_as_plain_text(
    issuer: LocalIssuer, http: aiohttp.ClientSession
) -> None:
    headers = _signed_in(issuer, Accept="text/plain")

    async with http.post(f"{issuer.url}/token", data={"client_id": "copilot"}, headers=headers) as response:
        token = await response.text()

    assert (await _fetched_claims(http, issuer, token))["sub"] == "copilot"


@pytest.mark.parametrize(
    "authorization",
    ["", "Basic", "Basic !!!", "Basic c2FuZGJveDp3cm9uZw==", "Bearer c2FuZGJveDp3cm9uZw==", "Basic \u00e9"],
)
async def test_without_the_password_nobody_gets_a_token(
    issuer: LocalIssuer, http: aiohttp.ClientSession, authorization: str
) -> None:
    form = {"user": "alice", "client_id": "copilot"}

    async with http.post(f"{issuer.url}/token", data=form, headers={"Authorization": authorization}) as response:
        answer = await response.json()

    assert response.status == 401
    assert answer["error"] == "invalid_client"


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ([("user", "alice")], "invalid_request"),
        ([("user", "alice"), ("client_id", "two words")], "invalid_request"),
        ([("user", "alice"), ("client_id", "x" * 65)], "invalid_request"),
        ([("user", "alice"), ("user", "bob"), ("client_id", "copilot")], "invalid_request"),
        ([("user", "alice"), ("client_id", "copilot"), ("groups", "wheel")], "invalid_request"),
        ([("user", "eve"), ("client_id", "copilot")], "invalid_grant"),
        ([("user", ""), ("client_id", "copilot")], "invalid_grant"),
    ],
)
async def test_a_malformed_token_request_is_refused_and_told_why(
    issuer: LocalIssuer, http: aiohttp.ClientSession, form: list[tuple[str, str]], error: str
) -> None:
    async with http.post(f"{issuer.url}/token", data=form, headers=_signed_in(issuer)) as response:
        answer = await response.json()

    assert response.status == 400
    assert answer["error"] == error


async def test_an_oversized_token_request_is_refused(issuer: LocalIssuer, http: aiohttp.ClientSession) -> None:
    form = {"user": "alice", "client_id": "c" * 10_000}

    async with http.post(f"{issuer.url}/token", data=form, headers=_signed_in(issuer)) as response:
        await response.read()

    assert response.status == 413


def test_before_it_starts_the_issuer_signs_nothing(authority: Authority) -> None:
    issuer = LocalIssuer(authority.issue_server(["127.0.0.1"]))

    with pytest.raises(SandboxError, match="async with"):
        issuer.token("alice", client_id="copilot")


async def test_a_taken_port_is_told(issuer: LocalIssuer, authority: Authority) -> None:
    port = int(issuer.url.rsplit(":", 1)[1])
    second = LocalIssuer(authority.issue_server(["127.0.0.1"]), port=port)

    with pytest.raises(SandboxError, match=f"cannot listen on 127.0.0.1:{port}"):
        await second.__aenter__()


async def test_the_password_does_not_show_in_a_repr(issuer: LocalIssuer) -> None:
    assert issuer.password not in repr(issuer)


def test_signing_keys_show_nothing_in_a_repr() -> None:
    assert repr(SigningKeys.generate()) == "SigningKeys()"
