"""How people sign in at the sandbox's issuer: no code, device or refresh token is good for anybody else, or twice."""

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from remit_sandbox.certificates import Authority
from remit_sandbox.issuer import LocalIssuer
from remit_sandbox.sign_in import CODE_LIFETIME, DEVICE_GRANT, DEVICE_LIFETIME

VERIFIER = "v" * 43
REDIRECT = "http://127.0.0.1:8400/callback"
ASKED = {
    "response_type": "code",
    "client_id": "copilot",
    "redirect_uri": REDIRECT,
    "state": "the-state",
    "nonce": "the-nonce",
    "code_challenge": base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode(),
    "code_challenge_method": "S256",
}
GOOD = {"grant_type": "authorization_code", "client_id": "copilot", "redirect_uri": REDIRECT, "code_verifier": VERIFIER}


class Hours:
    """The issuer's clock."""

    now = 1_795_430_400.0


@pytest.fixture
def hours() -> Hours:
    return Hours()


@pytest.fixture
async def issuer(tmp_path: Path, hours: Hours) -> AsyncIterator[tuple[LocalIssuer, aiohttp.ClientSession]]:
    authority = Authority.create(tmp_path / "state")
    connector = aiohttp.TCPConnector(ssl=authority.trust())
    async with (
        LocalIssuer(authority.issue_server(["127.0.0.1"]), clock=lambda: hours.now) as running,
        aiohttp.ClientSession(connector=connector) as session,
    ):
        yield running, session


Running = tuple[LocalIssuer, aiohttp.ClientSession]


async def authorized(issuer: Running, *, password: str | None = None, user: str = "alice", **asked: str) -> Any:
    """Returns the answer to a form that somebody filled in."""
    local, http = issuer
    form = {"user": user, "password": password or local.password, "answer": "allow"}
    url = f"{local.url}/authorize"
    async with http.post(url, params={**ASKED, **asked}, data=form, allow_redirects=False) as response:
        return response.status, response.headers.get("Location", "")


async def exchanged(issuer: Running, **form: str) -> tuple[int, dict[str, Any]]:
    local, http = issuer
    async with http.post(f"{local.url}/token", data=form) as response:
        return response.status, await response.json()


async def code_of(issuer: Running) -> str:
    status, place = await authorized(issuer)
    answer = parse_qs(urlsplit(place).query)
    assert (status, answer["state"], answer["iss"]) == (302, ["the-state"], [issuer[0].url])
    return str(answer["code"][0])


@pytest.mark.parametrize(
    "changed",
    [
        {"redirect_uri": "https://evil.example/callback"},
        {"redirect_uri": "http://127.0.0.1.evil.example:1/callback"},
        {"redirect_uri": "http://127.0.0.1:1/callback#x"},
        {"response_type": "token"},
        {"code_challenge_method": "plain"},
        {"code_challenge": "short"},
        {"client_id": "a b"},
    ],
)
async def test_what_is_no_request_of_a_client_of_this_machine_leads_nowhere(
    issuer: Running, changed: dict[str, str]
) -> None:
    status, place = await authorized(issuer, **changed)

    assert (status, place) == (400, "")


@pytest.mark.parametrize("wrong", [{"password": "guessed"}, {"user": "nobody"}])
async def test_nobody_signs_in_without_the_password_or_as_somebody_unknown(
    issuer: Running, wrong: dict[str, str]
) -> None:
    status, place = await authorized(issuer, **wrong)

    assert (status, place) == (403, "")


@pytest.mark.parametrize(
    "changed",
    [
        {"code_verifier": "w" * 43},
        {"client_id": "other"},
        {"redirect_uri": "http://127.0.0.1:1/callback"},
        {"code": "x"},
    ],
)
async def test_a_code_is_good_for_who_asked_for_it_only_and_is_spent_by_a_wrong_try(
    issuer: Running, changed: dict[str, str]
) -> None:
    code = await code_of(issuer)

    first = await exchanged(issuer, **{**GOOD, "code": code, **changed})
    second = await exchanged(issuer, **{**GOOD, "code": code})

    assert first == (400, {"error": "invalid_grant"})
    assert second[0] == (200 if "code" in changed else 400)


async def test_a_code_is_good_once_and_not_for_long(issuer: Running, hours: Hours) -> None:
    code, late = await code_of(issuer), await code_of(issuer)

    good = await exchanged(issuer, **GOOD, code=code)
    again = await exchanged(issuer, **GOOD, code=code)
    hours.now += CODE_LIFETIME
    over = await exchanged(issuer, **GOOD, code=late)

    assert good[0] == 200
    assert again == over == (400, {"error": "invalid_grant"})


async def test_a_refresh_token_rotates_and_is_the_clients_own(issuer: Running) -> None:
    _, tokens = await exchanged(issuer, **GOOD, code=await code_of(issuer))
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}

    others = await exchanged(issuer, **form, client_id="other")
    fresh = await exchanged(issuer, **form, client_id="copilot")
    again = await exchanged(issuer, **form, client_id="copilot")

    assert others == again == (400, {"error": "invalid_grant"})
    assert fresh[0] == 200
    assert fresh[1]["refresh_token"] != tokens["refresh_token"]


async def test_a_device_waits_at_the_issuers_pace_until_its_code_is_over(issuer: Running, hours: Hours) -> None:
    local, http = issuer
    async with http.post(f"{local.url}/device_authorization", data={"client_id": "copilot"}) as response:
        device = await response.json()
    form = {"grant_type": DEVICE_GRANT, "device_code": device["device_code"], "client_id": "copilot"}

    first = await exchanged(issuer, **form)
    hasty = await exchanged(issuer, **form)
    others = await exchanged(issuer, **{**form, "client_id": "other"})
    hours.now += DEVICE_LIFETIME
    over = await exchanged(issuer, **form)
    gone = await exchanged(issuer, **form)

    told = [answer["error"] for _, answer in (first, hasty, others, over, gone)]
    assert told == ["authorization_pending", "slow_down", "invalid_grant", "expired_token", "invalid_grant"]


async def test_the_page_shows_a_code_that_is_markup_as_text(issuer: Running) -> None:
    local, http = issuer

    async with http.get(f"{local.url}/device", params={"user_code": '"><script>alert(1)</script>'}) as response:
        page = await response.text()

    assert "<script>" not in page
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert re.search(r'value="&quot;&gt;&lt;script', page)


async def test_another_kind_of_grant_is_refused(issuer: Running) -> None:
    assert await exchanged(issuer, grant_type="password", user="alice") == (400, {"error": "unsupported_grant_type"})
