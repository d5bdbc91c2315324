import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from tests.token_forge import (
    ISSUER,
    HandClock,
    MemoryFetch,
    b64,
    ec_jwk,
    ec_key,
    ed_jwk,
    ed_key,
    forge,
    key_set,
    rsa_jwk,
    rsa_key,
    settings,
    usual_key_set,
)

from remit_server.adapters.identity.https_fetch import FetchFailed
from remit_server.adapters.identity.jwks import MAX_UNKNOWN_KEYS, IssuerKeys
from remit_server.adapters.identity.token_parsing import TokenRefused, parse_jws
from remit_server.adapters.identity.verification_keys import MalformedKeySet, key_set_of
from remit_server.domain.errors import Outage, Reason, Remedy

KEYS_URL = f"{ISSUER}/keys"


class MovableFetch(MemoryFetch):
    """An issuer that can be down, slow or changed between two calls."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.gate: asyncio.Event | None = None
        self.asked = asyncio.Event()

    async def __call__(self, url: str, /) -> bytes:
        answer = await super().__call__(url)
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.down:
            raise FetchFailed("the answer has HTTP status 500")
        return answer


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def fetch() -> MovableFetch:
    return MovableFetch()


@pytest.fixture
def keys(clock: HandClock, fetch: MovableFetch) -> IssuerKeys:
    return IssuerKeys(settings(key_set_url=KEYS_URL), clock, fetch)


async def test_a_known_key_is_fetched_once(keys: IssuerKeys, fetch: MovableFetch) -> None:
    first = await keys.key("rsa")

    assert await keys.key("rsa") is first
    assert (await keys.key("ec")).algorithms == {"ES256"}
    assert fetch.calls == [KEYS_URL]


async def test_keys_are_found_by_discovery_when_no_url_is_configured(clock: HandClock, fetch: MovableFetch) -> None:
    keys = IssuerKeys(settings(), clock, fetch)

    await keys.key("rsa")

    assert fetch.calls == [f"{ISSUER}/.well-known/openid-configuration", KEYS_URL]


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://evil.example", "jwks_uri": KEYS_URL},
        {"issuer": ISSUER + "/", "jwks_uri": KEYS_URL},
        {"issuer": [ISSUER], "jwks_uri": KEYS_URL},
        {"jwks_uri": KEYS_URL},
        {"issuer": ISSUER},
        {"issuer": ISSUER, "jwks_uri": 7},
        {"issuer": ISSUER, "jwks_uri": "http://idp.example.com/keys"},
        {"issuer": ISSUER, "jwks_uri": "file:///etc/passwd"},
        {"issuer": ISSUER, "jwks_uri": "https://169.254.169.254/latest/meta-data"},
        {"issuer": ISSUER, "jwks_uri": "https://idp.example.com@evil.example/keys"},
        {"issuer": ISSUER, "jwks_uri": "https://idp.example.com\\@evil.example/keys"},
        {"issuer": ISSUER, "jwks_uri": "https://IDP.example.com/keys"},
        {"issuer": ISSUER, "jwks_uri": "https://idp.example.com.evil.example/keys"},
        ["issuer"],
    ],
)
async def test_a_discovery_document_leads_nowhere_else(clock: HandClock, document: Any) -> None:
    asked = []

    async def fetch(url: str, /) -> bytes:
        asked.append(url)
        return json.dumps(document).encode()

    keys = IssuerKeys(settings(), clock, fetch)

    with pytest.raises(Outage) as failed:
        await keys.key("rsa")
    assert failed.value.reason is Reason.ISSUER_UNAVAILABLE
    assert len(asked) == 1


async def test_ten_thousand_unknown_key_ids_cost_two_fetches_in_a_minute(
    keys: IssuerKeys, fetch: MovableFetch, clock: HandClock
) -> None:
    await keys.key("rsa")

    for number in range(10_000):
        clock.advance(milliseconds=5)
        with pytest.raises(TokenRefused):
            await keys.key(f"unknown-{number}")

    assert len(fetch.calls) == 2
    assert len(keys._unknown) <= MAX_UNKNOWN_KEYS


async def test_an_unknown_key_id_is_asked_for_once_and_remembered(
    keys: IssuerKeys, fetch: MovableFetch, clock: HandClock
) -> None:
    await keys.key("rsa")
    clock.advance(seconds=31)

    for _ in range(4):
        with pytest.raises(TokenRefused) as refused:
            await keys.key("unknown")
        assert refused.value.remedy is Remedy.REAUTHENTICATE
        clock.advance(seconds=31)

    assert len(fetch.calls) == 2


async def test_a_key_that_appears_after_a_rotation_is_found_after_the_cool_down(
    keys: IssuerKeys, fetch: MovableFetch, clock: HandClock
) -> None:
    await keys.key("rsa")
    clock.advance(seconds=5)
    fetch.document = key_set(rsa_jwk(rsa_key(name="next"), kid="next"))
    with pytest.raises(TokenRefused):
        await keys.key("next")

    clock.advance(seconds=26)

    assert (await keys.key("next")).key_id == "next"


async def test_a_withdrawn_key_stops_serving_at_the_next_fetch(
    keys: IssuerKeys, fetch: MovableFetch, clock: HandClock
) -> None:
    await keys.key("rsa")
    fetch.document = key_set(ec_jwk(ec_key(), kid="ec"))

    clock.advance(minutes=10)

    with pytest.raises(TokenRefused):
        await keys.key("rsa")


async def test_known_keys_outlive_an_outage_up_to_the_limit_and_not_a_second_longer(
    keys: IssuerKeys, fetch: MovableFetch, clock: HandClock
) -> None:
    await keys.key("rsa")
    fetch.down = True

    clock.advance(hours=4, seconds=-1)
    assert (await keys.key("rsa")).key_id == "rsa"

    clock.advance(seconds=1)
    with pytest.raises(Outage) as failed:
        await keys.key("rsa")
    assert failed.value.reason is Reason.ISSUER_UNAVAILABLE
    assert failed.value.remedy is Remedy.RETRY_LATER


async def test_while_the_issuer_is_down_an_unknown_key_is_an_outage_and_one_fetch_per_cool_down(
    keys: IssuerKeys, fetch: MovableFetch, clock: HandClock
) -> None:
    await keys.key("rsa")
    fetch.down = True
    clock.advance(seconds=31)

    for _ in range(50):
        with pytest.raises(Outage):
            await keys.key("unknown")

    assert len(fetch.calls) == 2
    assert (await keys.key("rsa")).key_id == "rsa"


async def test_an_issuer_that_comes_back_is_asked_again_after_the_cool_down(
    keys: IssuerKeys, fetch: MovableFetch, clock: HandClock
) -> None:
    fetch.down = True
    with pytest.raises(Outage):
        await keys.key("rsa")
    fetch.down = False

    clock.advance(seconds=30)

    assert (await keys.key("rsa")).key_id == "rsa"


async def test_many_callers_share_one_fetch_and_one_that_leaves_takes_nothing_away(
    keys: IssuerKeys, fetch: MovableFetch
) -> None:
    fetch.gate = asyncio.Event()
    callers = [asyncio.create_task(keys.key("rsa")) for _ in range(50)]
    await asyncio.sleep(0)
    callers[0].cancel()
    fetch.gate.set()

    results = await asyncio.gather(*callers, return_exceptions=True)

    assert isinstance(results[0], asyncio.CancelledError)
    assert all(getattr(result, "key_id", None) == "rsa" for result in results[1:])
    assert fetch.calls == [KEYS_URL]


async def test_closing_ends_a_fetch_that_hangs(keys: IssuerKeys, fetch: MovableFetch) -> None:
    fetch.gate = asyncio.Event()
    caller = asyncio.create_task(keys.key("rsa"))
    await fetch.asked.wait()

    await keys.close()

    with pytest.raises(asyncio.CancelledError):
        await caller


async def test_a_key_set_that_became_bad_does_not_replace_the_good_one(
    keys: IssuerKeys, fetch: MovableFetch, clock: HandClock
) -> None:
    await keys.key("rsa")
    fetch.document = b"<html>503</html>"

    clock.advance(minutes=10)

    assert (await keys.key("rsa")).key_id == "rsa"


async def test_the_bounds_of_staleness_are_the_issuers_own(clock: HandClock, fetch: MovableFetch) -> None:
    tight = settings(
        key_set_url=KEYS_URL, key_set_max_age=timedelta(minutes=1), key_set_stale_limit=timedelta(minutes=1)
    )
    keys = IssuerKeys(tight, clock, fetch)
    await keys.key("rsa")
    fetch.down = True

    clock.advance(minutes=1)

    with pytest.raises(Outage):
        await keys.key("rsa")


# --- which keys are fit ---------------------------------------------------------------------------------------------

GOOD = rsa_jwk(rsa_key(), kid="good", use="sig", alg="RS256")


def _changed(**changes: Any) -> dict[str, Any]:
    return {**rsa_jwk(rsa_key(), kid="bad"), **changes}


UNFIT: Sequence[tuple[str, dict[str, Any]]] = [
    ("for encryption", _changed(use="enc")),
    ("use of another type", _changed(use=["sig"])),
    ("may not verify", _changed(key_ops=["encrypt"])),
    ("signs only", _changed(key_ops=["sign"])),
    ("key_ops is no list", _changed(key_ops="verify")),
    ("1024 bits", {**rsa_jwk(rsa_key(1024), kid="bad")}),
    ("more than 8192 bits", _changed(n=b64(b"\xff" * 1025))),
    ("exponent 3", {**rsa_jwk(rsa_key(2048, 3), kid="bad")}),
    ("exponent 1", _changed(e="AQ")),
    ("even exponent", _changed(e="AQAC")),
    ("huge exponent", _changed(e="AQAAAAAB")),
    ("even modulus", _changed(n=b64(b"\xff" * 255 + b"\xfe"))),
    ("no modulus", {"kty": "RSA", "kid": "bad", "e": "AQAB"}),
    ("padded modulus", _changed(n=GOOD["n"] + "=")),
    ("modulus is a number", _changed(n=7)),
    ("private part", _changed(d="AQAB")),
    ("symmetric algorithm on a public key", _changed(alg="HS256")),
    ("algorithm none", _changed(alg="none")),
    ("algorithm null", _changed(alg=None)),
    ("algorithm of another kind", _changed(alg="ES256")),
    ("no kid", {**rsa_jwk(rsa_key())}),
    ("kid with a path", _changed(kid="../bad")),
    ("kid of another type", _changed(kid=["bad"])),
    ("no kind", {"kid": "bad"}),
    ("unknown kind", {"kid": "bad", "kty": "AKP"}),
    ("kind is a list", {"kid": "bad", "kty": ["RSA"]}),
    ("curve secp256k1", ec_jwk(ec_key("secp256k1"), "secp256k1", kid="bad")),
    ("point off the curve", {**ec_jwk(ec_key(), kid="bad"), "y": ec_jwk(ec_key())["x"]}),
    ("short coordinate", {**ec_jwk(ec_key(), kid="bad"), "x": "AQAB"}),
    ("curve and algorithm differ", ec_jwk(ec_key(), kid="bad", alg="ES384")),
    ("curve and coordinates differ", ec_jwk(ec_key("P-384"), "P-256", kid="bad")),
    ("Ed448", {"kty": "OKP", "crv": "Ed448", "x": "A" * 76, "kid": "bad"}),
    ("X25519", {**ed_jwk(ed_key(), kid="bad"), "crv": "X25519"}),
]


@pytest.mark.parametrize("bad", [key for _, key in UNFIT], ids=[name for name, _ in UNFIT])
def test_an_unfit_key_is_left_out_and_the_others_serve(bad: dict[str, Any]) -> None:
    found = key_set_of(key_set(bad, GOOD))

    assert "bad" not in found.keys
    assert "good" in found.keys
    assert found.unfit


@pytest.mark.parametrize(
    ("key", "algorithms"),
    [
        (rsa_jwk(rsa_key(), kid="k"), {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
        (rsa_jwk(rsa_key(), kid="k", alg="PS256", key_ops=["verify"]), {"PS256"}),
        (ec_jwk(ec_key(), kid="k"), {"ES256"}),
        (ec_jwk(ec_key("P-384"), "P-384", kid="k"), {"ES384"}),
        (ec_jwk(ec_key("P-521"), "P-521", kid="k", alg="ES512"), {"ES512"}),
        (ed_jwk(ed_key(), kid="k", use="sig"), {"EdDSA"}),
    ],
)
def test_a_fit_key_serves_the_algorithms_of_its_kind(key: dict[str, Any], algorithms: set[str]) -> None:
    found = key_set_of(key_set(key))

    assert found.keys["k"].algorithms == algorithms
    assert found.unfit == ()


@pytest.mark.parametrize(("algorithm", "signed"), [("RS256", True), ("RS512", False), ("PS256", False)])
def test_a_key_verifies_only_the_algorithm_that_it_is_published_for(algorithm: str, signed: bool) -> None:
    jws = parse_jws(forge(algorithm=algorithm))

    assert key_set_of(usual_key_set()).keys["rsa"].signed(jws) is signed


def test_two_keys_with_one_id_are_both_left_out() -> None:
    twin = ec_jwk(ec_key(), kid="twin")

    found = key_set_of(key_set(twin, rsa_jwk(rsa_key(), kid="twin"), GOOD))

    assert set(found.keys) == {"good"}


def test_a_key_of_the_broken_generator_is_left_out() -> None:
    primes = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
    product = 1
    for prime in primes:
        product *= prime
    modulus = product * (2**2048 // product) * 2 + 65537  # 65537 modulo each of the primes
    raw = modulus.to_bytes((modulus.bit_length() + 7) // 8, "big")

    found = key_set_of(key_set(rsa_jwk(rsa_key(), kid="k") | {"n": b64(raw)}))

    assert found.keys == {}
    assert "CVE-2017-15361" in found.unfit[0]


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": [7]}',
        b'{"keys": [], "keys": []}',
        b"\xff\xfe",
        b'\xef\xbb\xbf{"keys": []}',
        usual_key_set().decode().encode("utf-16"),
        key_set(*[{"kty": "RSA"}] * 101),
        key_set(GOOD, {"kty": "oct", "k": "AAAA", "kid": "shared"}),
        b'{"keys":' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
)
def test_what_is_no_key_set_is_refused_whole(document: bytes) -> None:
    with pytest.raises(MalformedKeySet):
        key_set_of(document)
