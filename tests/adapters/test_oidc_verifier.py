import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.token_forge import (
    ABSENT,
    ISSUER,
    NOON,
    NOW,
    HandClock,
    MemoryFetch,
    claims,
    forge,
    key_set,
    rsa_jwk,
    rsa_key,
    settings,
    trusted,
    user_token,
    verifier,
)

from remit_server.adapters.identity.jwks import IssuerKeys
from remit_server.adapters.identity.oidc import OidcVerifier, TrustedIssuer
from remit_server.adapters.identity.token_parsing import TokenRefused
from remit_server.config.identity_rules import InvalidSettings
from remit_server.config.settings import ClaimProfile
from remit_server.domain.errors import Outage, Reason, Remedy
from remit_server.domain.secret import Secret


async def _refusal(checked: OidcVerifier, token: str) -> TokenRefused:
    with pytest.raises(TokenRefused) as refused:
        await checked.verify(Secret(token))
    return refused.value


async def test_a_verified_token_says_who_it_is_about_and_when() -> None:
    token = Secret(user_token())

    verified = await verifier().verify(token)

    assert verified.subject == "alice"
    assert verified.issuer.alias == "idp"
    assert verified.holder.groups == ("analysts",)
    assert verified.issue_time == datetime.fromtimestamp(NOW - 60, UTC)
    assert verified.expire_time == NOON + timedelta(minutes=10)
    assert verified.fingerprint == token.fingerprint


async def test_a_verified_token_prints_neither_claims_nor_token() -> None:
    token = user_token(note="marker")

    printed = repr(await verifier().verify(Secret(token)))

    assert "marker" not in printed
    assert token.split(".")[2] not in printed


@pytest.mark.parametrize(("kid", "algorithm"), [("rsa", "RS256"), ("ec", "ES256"), ("ed", "EdDSA")])
async def test_each_configured_algorithm_verifies(kid: str, algorithm: str) -> None:
    token = forge(kid=kid, algorithm=algorithm)

    assert (await verifier().verify(Secret(token))).subject == "alice"


@pytest.mark.parametrize(
    ("kid", "algorithm", "configured", "why"),
    [
        ("rsa", "PS256", ("RS256", "PS256"), "its key is published for"),
        ("rsa-any", "RS512", ("RS256",), "one configured"),
        ("rsa", "RS512", ("RS512",), "its key is published for"),
        ("rsa", "RS256", ("ES256",), "one configured"),
    ],
)
async def test_header_key_and_configuration_agree_on_the_algorithm(
    kid: str, algorithm: str, configured: tuple[str, ...], why: str
) -> None:
    checked = verifier(settings(algorithms=configured))

    refused = await _refusal(checked, forge(kid=kid, algorithm=algorithm))

    assert why in refused.why


async def test_a_key_of_another_kind_under_the_headers_algorithm_is_refused() -> None:
    token = forge(header={"kid": "ec"})

    assert "its key is published for" in (await _refusal(verifier(), token)).why


@pytest.mark.parametrize("key", [rsa_key(name="stranger"), rsa_key(name="any")])
async def test_a_signature_of_another_key_does_not_verify(key: Any) -> None:
    assert "does not verify" in (await _refusal(verifier(), forge(key=key))).why


@pytest.mark.parametrize("part", [0, 1, 2])
async def test_a_token_changed_after_signing_does_not_verify(part: int) -> None:
    other = forge(claims(sub="root"), header={"x5t": "another"}).split(".")
    parts = user_token().split(".")
    parts[part] = other[part]

    assert "does not verify" in (await _refusal(verifier(), ".".join(parts))).why


@pytest.mark.parametrize(
    "issuer", ["https://evil.example", ISSUER + "/", ISSUER.upper(), ISSUER + ".evil.example", "http://idp.example.com"]
)
async def test_an_issuer_is_the_configured_one_to_the_letter(issuer: str) -> None:
    assert "issuer is not one" in (await _refusal(verifier(), user_token(iss=issuer))).why


@pytest.mark.parametrize("audience", ["Remit", "remit/", "remit2", "evil", "https://remit"])
async def test_an_audience_is_the_configured_one_to_the_letter(audience: str) -> None:
    assert "another audience" in (await _refusal(verifier(), user_token(aud=audience))).why


@pytest.mark.parametrize(
    ("configured", "sent", "accepted"),
    [
        ("JWT", "JWT", True),
        ("JWT", "jwt", True),
        ("JWT", ABSENT, True),
        ("JWT", "at+jwt", False),
        ("JWT", "logout+jwt", False),
        ("JWT", "application/at+jwt", False),
        ("at+jwt", "at+jwt", True),
        ("at+jwt", "application/AT+JWT", True),
        ("at+jwt", "JWT", False),
        ("at+jwt", ABSENT, False),
        ("at+jwt", "application/application/at+jwt", False),
        ("at+jwt", "text/at+jwt", False),
    ],
)
async def test_a_token_is_of_the_type_configured_for_its_issuer(configured: str, sent: Any, accepted: bool) -> None:
    checked = verifier(settings(token_type=configured))
    token = forge(header={"typ": sent})

    if accepted:
        assert (await checked.verify(Secret(token))).subject == "alice"
    else:
        assert "`typ`" in (await _refusal(checked, token)).why


@pytest.mark.parametrize(
    ("changes", "accepted"),
    [
        ({"exp": NOW - 30}, False),
        ({"exp": NOW - 29}, True),
        ({"exp": NOW - 29.5}, True),
        ({"iat": NOW + 30}, True),
        ({"iat": NOW + 31}, False),
        ({"nbf": NOW + 30}, True),
        ({"nbf": NOW + 31}, False),
        ({"nbf": NOW - 3600}, True),
        ({"iat": NOW - 3600, "exp": NOW}, True),
        ({"iat": NOW - 3600, "exp": NOW + 1}, False),
        ({"exp": NOW + 10 * 365 * 86400}, False),
        ({"iat": 0, "exp": NOW + 60}, False),
        ({"iat": NOW + 10, "exp": NOW + 10}, False),
        ({"iat": NOW + 20, "exp": NOW + 10}, False),
    ],
)
async def test_times_count_to_the_second_with_30_seconds_of_leeway(changes: dict[str, Any], accepted: bool) -> None:
    token = user_token(**changes)

    if accepted:
        assert (await verifier().verify(Secret(token))).subject == "alice"
    else:
        assert "the token" in (await _refusal(verifier(), token)).why


async def test_without_leeway_a_token_ends_at_its_second() -> None:
    clock = HandClock(NOON + timedelta(seconds=600))
    checked = verifier(settings(leeway=timedelta(0)), clock=clock)

    refused = await _refusal(checked, user_token())

    assert refused.remedy is Remedy.REAUTHENTICATE


# --- the cache ------------------------------------------------------------------------------------------------------


async def test_a_token_seen_before_is_verified_once() -> None:
    checked, token = verifier(), user_token()

    first = await checked.verify(Secret(token))

    assert await checked.verify(Secret(token)) is first


async def test_a_remembered_token_expires_with_its_leeway() -> None:
    clock = HandClock()
    checked, token = verifier(clock=clock), user_token()
    await checked.verify(Secret(token))

    clock.advance(seconds=629)
    assert (await checked.verify(Secret(token))).subject == "alice"

    clock.advance(seconds=1)
    assert "expired" in (await _refusal(checked, token)).why


async def test_a_remembered_token_is_refused_when_the_clock_goes_back_before_it() -> None:
    clock = HandClock()
    checked, token = verifier(clock=clock), user_token()
    await checked.verify(Secret(token))

    clock.advance(hours=-1)

    assert "future" in (await _refusal(checked, token)).why


async def test_a_remembered_token_ends_with_its_key() -> None:
    clock, fetch = HandClock(), MemoryFetch()
    configuration = settings()
    checked = OidcVerifier([TrustedIssuer(configuration, IssuerKeys(configuration, clock, fetch))], clock)
    token = user_token(exp=NOW + 3000)
    await checked.verify(Secret(token))

    fetch.document = key_set(rsa_jwk(rsa_key(name="next"), kid="next"))
    clock.advance(minutes=10)

    assert "does not publish" in (await _refusal(checked, token)).why


async def test_a_remembered_token_is_verified_anew_with_a_key_that_changed_under_its_id() -> None:
    clock, fetch = HandClock(), MemoryFetch()
    configuration = settings()
    checked = OidcVerifier([TrustedIssuer(configuration, IssuerKeys(configuration, clock, fetch))], clock)
    token = user_token(exp=NOW + 3000)
    await checked.verify(Secret(token))

    fetch.document = key_set(rsa_jwk(rsa_key(name="next"), kid="rsa"))
    clock.advance(minutes=10)

    assert "does not verify" in (await _refusal(checked, token)).why


async def test_the_memory_of_tokens_is_bounded_and_keeps_the_ones_in_use() -> None:
    checked = verifier(max_cached_tokens=2)
    tokens = [user_token(jti=f"t{number}") for number in range(3)]
    first = await checked.verify(Secret(tokens[0]))
    await checked.verify(Secret(tokens[1]))
    await checked.verify(Secret(tokens[0]))
    await checked.verify(Secret(tokens[2]))

    assert len(checked._seen) == 2
    assert await checked.verify(Secret(tokens[0])) is first


async def test_refused_tokens_take_no_memory() -> None:
    checked = verifier()

    for number in range(20):
        await _refusal(checked, user_token(jti=f"t{number}", aud="evil"))

    assert len(checked._seen) == 0


# --- issuers --------------------------------------------------------------------------------------------------------


async def test_keys_that_cannot_be_had_are_an_outage_and_not_a_refusal() -> None:
    clock = HandClock()
    configuration = settings()

    async def down(url: str, /) -> bytes:
        del url
        return b"<html>maintenance</html>"

    checked = OidcVerifier([TrustedIssuer(configuration, IssuerKeys(configuration, clock, down))], clock)

    with pytest.raises(Outage) as failed:
        await checked.verify(Secret(user_token()))
    assert failed.value.reason is Reason.ISSUER_UNAVAILABLE
    assert "`idp`" in failed.value.message
    assert "html" not in failed.value.message


@pytest.mark.parametrize(
    ("second", "alias"), [("https://idp.example.com", "other"), ("https://other.example.com", "idp")]
)
def test_two_issuers_are_never_one_name(second: str, alias: str) -> None:
    clock = HandClock()
    issuers = [trusted(settings(), clock), trusted(settings(issuer=second, alias=alias), clock)]

    with pytest.raises(ValueError, match="same"):
        OidcVerifier(issuers, clock)


async def test_a_dropped_claim_is_told_to_the_operator_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    checked = verifier()

    for number in range(3):
        await checked.verify(Secret(user_token(jti=f"t{number}", department="finance-marker")))

    assert caplog.text.count("'department'") == 1
    assert "finance-marker" not in caplog.text


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"issuer": "http://idp.example.com"}, "issuer"),
        ({"issuer": "https://idp.example.com?x=1"}, "issuer"),
        ({"issuer": "https://user@idp.example.com"}, "issuer"),
        ({"alias": "Idp"}, "alias"),
        ({"alias": "a" * 21}, "alias"),
        ({"audience": ""}, "audience"),
        ({"algorithms": ()}, "algorithms"),
        ({"algorithms": ("HS256",)}, "algorithms"),
        ({"algorithms": ("RS256", "HS256")}, "algorithms"),
        ({"algorithms": ("none",)}, "algorithms"),
        ({"algorithms": ("RS256", "RS256")}, "algorithms"),
        ({"leeway": timedelta(seconds=31)}, "leeway"),
        ({"leeway": timedelta(seconds=-1)}, "leeway"),
        ({"max_lifetime": timedelta(0)}, "max_lifetime"),
        ({"max_lifetime": timedelta(days=2)}, "max_lifetime"),
        ({"key_set_stale_limit": timedelta(days=2)}, "key_set_stale_limit"),
        ({"key_set_max_age": timedelta(seconds=1)}, "key_set_max_age"),
        ({"allowed_hosts": frozenset()}, "allowed_hosts"),
        ({"allowed_hosts": frozenset({"idp.example.com:443"})}, "allowed_hosts"),
        ({"allowed_hosts": frozenset({"other.example.com"})}, "allowed_hosts"),
        ({"key_set_url": "https://elsewhere.example/keys"}, "key_set_url"),
        ({"key_set_url": "http://idp.example.com/keys"}, "key_set_url"),
        ({"subjects": False}, "subjects"),
        ({"actors": True, "carries_actor": "sub"}, "actors"),
        ({"carries_actor": "a b"}, "carries_actor"),
        ({"profile": ClaimProfile.ENTRA}, "issuer"),
        (
            {"profile": ClaimProfile.ENTRA, "issuer": "https://login.microsoftonline.com/common/v2.0"},
            "issuer",
        ),
        ({"profile": ClaimProfile.GITLAB_CI}, "carries_actor"),
        ({"source_claim": ""}, "source_claim"),
        ({"group_claim": "a b"}, "group_claim"),
        ({"kept_claims": ("a", "a")}, "kept_claims"),
        ({"kept_claims": ("a\n",)}, "kept_claims"),
        ({"group_map": (("a", "b"), ("a", "c"))}, "group_map"),
        ({"token_type": "a b"}, "token_type"),
    ],
)
def test_an_issuer_cannot_be_configured_wrong(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        settings(**changes)

    assert field in dict(refused.value.mistakes)


def test_every_mistake_is_named_at_once() -> None:
    with pytest.raises(InvalidSettings) as refused:
        settings(alias="", audience="", leeway=timedelta(minutes=5))

    assert {field for field, _ in refused.value.mistakes} == {"alias", "audience", "leeway"}
