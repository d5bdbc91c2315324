"""Forged, twisted and misdirected security event tokens and webhooks: each is refused by the check it must fail.

Every attack is signed with the transmitter's own key unless forging the signature is the attack.
"""

import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from tests.event_world import (
    ACCOUNT_DISABLED,
    ALICE,
    RECEIVER,
    SESSION_REVOKED,
    TRANSMITTER,
    USERS,
    WEBHOOK_SECRET,
    EventHandClock,
    event_claims,
    security_event_token,
    signed_header,
    transmitter,
    verifier,
    webhook_body,
    webhook_settings,
)
from tests.token_forge import ABSENT, NOW, b64, claims, ec_key, forge, key_set, rsa_jwk, rsa_key, sign

from remit_server.adapters.security_events.webhook import WebhookVerifier
from remit_server.application.security_events.ports import UnverifiedWebhook
from remit_server.domain.errors import Outage
from remit_server.domain.secret import Secret
from remit_server.domain.security_event import EventRefusal, EventRefused, SecurityEvent, VerifiedEvent

HEADER = b'{"alg":"RS256","kid":"rsa","typ":"secevent+jwt"}'
PAYLOAD = json.dumps(event_claims()).encode()


async def refusal_of(token: str, **settings: Any) -> EventRefusal:
    """Returns how a token is refused; fails when it is not."""
    with pytest.raises(EventRefused) as refused:
        await verifier(transmitter(**settings))(token)
    return refused.value.code


def hmac_token(secret: bytes) -> str:
    header = b64(b'{"alg":"HS256","kid":"rsa","typ":"secevent+jwt"}')
    signed = f"{header}.{b64(PAYLOAD)}"
    return f"{signed}.{b64(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


def unsigned(algorithm: str, signature: str = "") -> str:
    header = json.dumps({"alg": algorithm, "kid": "rsa", "typ": "secevent+jwt"}).encode()
    return f"{b64(header)}.{b64(PAYLOAD)}.{signature}"


def public_pem() -> bytes:
    return rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


# --- forged ---


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (unsigned("none"), EventRefusal.INVALID_REQUEST),
        (unsigned("none", "AA"), EventRefusal.INVALID_KEY),
        (unsigned("NoNe", "AA"), EventRefusal.INVALID_KEY),
        (hmac_token(public_pem()), EventRefusal.INVALID_KEY),
        (hmac_token(b""), EventRefusal.INVALID_KEY),
        (security_event_token(signed={"key": rsa_key(name="stranger")}), EventRefusal.AUTHENTICATION_FAILED),
        (security_event_token(header={"kid": "stranger"}), EventRefusal.INVALID_KEY),
        (security_event_token(header={"alg": "RS384"}), EventRefusal.INVALID_KEY),
        (security_event_token(header={"alg": "PS256"}), EventRefusal.INVALID_KEY),
        (security_event_token(header={"kid": "ec"}), EventRefusal.INVALID_KEY),
        (security_event_token(signed={"kid": "ec", "algorithm": "ES256", "key": ec_key("P-384")}), None),
    ],
)
async def test_a_forged_token_is_refused(token: str, code: EventRefusal | None) -> None:
    assert await refusal_of(token) is (code or EventRefusal.AUTHENTICATION_FAILED)


@pytest.mark.parametrize("name", ["jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc", "cty", "x5t#S256", "extra"])
async def test_a_token_that_says_how_to_verify_it_is_refused(name: str) -> None:
    assert await refusal_of(security_event_token(header={name: "x"})) is EventRefusal.INVALID_REQUEST


async def test_a_key_of_another_transmitter_with_the_same_id_does_not_count() -> None:
    others = key_set(rsa_jwk(rsa_key(name="other"), kid="rsa", use="sig", alg="RS256"))

    with pytest.raises(EventRefused) as refused:
        await verifier(document=others)(security_event_token())

    assert refused.value.code is EventRefusal.AUTHENTICATION_FAILED


# --- another token shown as a security event ---


@pytest.mark.parametrize(
    "token",
    [
        forge(claims(iss=TRANSMITTER, aud=RECEIVER)),
        forge(claims(iss=TRANSMITTER, aud=RECEIVER), header={"typ": "at+jwt"}),
        forge(claims(iss=TRANSMITTER, aud=RECEIVER), header={"typ": "secevent+jwt"}),
        forge(
            claims(iss=TRANSMITTER, aud=RECEIVER, events={SESSION_REVOKED: {"subject": ALICE}}),
            header={"typ": "secevent+jwt"},
        ),
        forge(event_claims(exp=NOW + 600), header={"typ": "secevent+jwt"}),
        forge(event_claims(sub="alice"), header={"typ": "secevent+jwt"}),
        security_event_token(header={"typ": "logout+jwt"}),
        security_event_token(header={"typ": "JWT"}),
        security_event_token(header={"typ": ABSENT}),
        security_event_token("http://schemas.openid.net/event/backchannel-logout", {}, sub="alice"),
    ],
)
async def test_an_access_token_an_id_token_or_a_logout_token_is_no_event(token: str) -> None:
    assert await refusal_of(token) is EventRefusal.INVALID_REQUEST


# --- misdirected ---


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"iss": "https://evil.example.com"}, EventRefusal.INVALID_ISSUER),
        ({"iss": f"{TRANSMITTER}/"}, EventRefusal.INVALID_ISSUER),
        ({"iss": USERS}, EventRefusal.INVALID_ISSUER),
        ({"iss": [TRANSMITTER]}, EventRefusal.INVALID_REQUEST),
        ({"iss": ABSENT}, EventRefusal.INVALID_REQUEST),
        ({"aud": "https://other.example.com"}, EventRefusal.INVALID_AUDIENCE),
        ({"aud": [RECEIVER, "https://other.example.com"]}, EventRefusal.INVALID_REQUEST),
        ({"aud": []}, EventRefusal.INVALID_REQUEST),
        ({"aud": ABSENT}, EventRefusal.INVALID_REQUEST),
        ({"sub_id": {**ALICE, "iss": "https://other-idp.example.com"}}, EventRefusal.ACCESS_DENIED),
        ({"sub_id": {**ALICE, "iss": f"{USERS}/"}}, EventRefusal.ACCESS_DENIED),
        ({"sub_id": {"user": {**ALICE, "iss": TRANSMITTER}}}, EventRefusal.ACCESS_DENIED),
    ],
)
async def test_an_event_of_another_or_for_another_or_about_anothers_user_is_refused(
    changes: dict[str, Any], code: EventRefusal
) -> None:
    assert await refusal_of(security_event_token(**changes)) is code


# --- malformed ---


@pytest.mark.parametrize(
    "changes",
    [
        {"jti": ABSENT},
        {"jti": ""},
        {"jti": 7},
        {"jti": "a\nb"},
        {"jti": "x" * 256},
        {"txn": 7},
        {"txn": ""},
        {"iat": ABSENT},
        {"iat": "1700000000"},
        {"iat": True},
        {"iat": 1e300},
        {"iat": -1},
        {"iat": NOW + 31},
        {"iat": NOW - 7 * 86_400 - 1},
        {"events": ABSENT},
        {"events": {}},
        {"events": []},
        {"events": [SESSION_REVOKED]},
        {"events": {SESSION_REVOKED: {}, ACCOUNT_DISABLED: {}}},
        {"events": {SESSION_REVOKED: []}},
        {"events": {SESSION_REVOKED: None}},
        {"events": {"": {}}},
        {"events": {SESSION_REVOKED: {"event_timestamp": "now"}}},
        {"events": {SESSION_REVOKED: {"event_timestamp": (NOW - 10) * 1000}}},
        {"events": {SESSION_REVOKED: {"event_timestamp": NOW + 3600}}},
        {"events": {SESSION_REVOKED: {"event_timestamp": -1}}},
        {"sub_id": ABSENT},
        {"sub_id": None},
        {"sub_id": "alice"},
        {"sub_id": [ALICE]},
        {"sub_id": {}},
        {"sub_id": {"format": "iss_sub", "iss": USERS}},
        {"sub_id": {"format": "iss_sub", "iss": USERS, "sub": ""}},
        {"sub_id": {"format": "iss_sub", "iss": USERS, "sub": "al\x00ice"}},
        {"sub_id": {"format": "iss_sub", "iss": USERS, "sub": ["alice"]}},
        {"sub_id": {"format": ["iss_sub"], "iss": USERS, "sub": "alice"}},
        {"sub_id": {"iss": USERS, "sub": "alice"}},
        {"sub_id": {**ALICE, "subject_type": "email"}},
        {"sub_id": {"user": "alice"}},
        {"events": {SESSION_REVOKED: {"subject": {**ALICE, "sub": "bob"}}}},
        {"events": {"https://schemas.openid.net/secevent/ssf/event-type/verification": {"state": 1}}},
        {"events": {"https://schemas.openid.net/secevent/ssf/event-type/verification": {"state": "x" * 256}}},
        {"events": {"https://schemas.openid.net/secevent/ssf/event-type/stream-updated": {"status": "gone"}}},
        {"events": {"https://schemas.openid.net/secevent/ssf/event-type/stream-updated": {}}},
    ],
)
async def test_a_malformed_event_is_refused(changes: dict[str, Any]) -> None:
    assert await refusal_of(security_event_token(**changes)) is EventRefusal.INVALID_REQUEST


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b.c.d",
        "{}",
        security_event_token() + "\n",
        " " + security_event_token(),
        security_event_token() + "=",
        security_event_token(event={"padding": "x" * 20_000}),
        security_event_token().replace(".", ",", 1),
        sign(HEADER, PAYLOAD.replace(b'"jti": "set-1"', b'"jti": "set-1", "jti": "set-2"')),
        sign(HEADER, PAYLOAD.replace(b'"sub": "alice"', b'"sub": "alice", "sub": "root"')),
        sign(HEADER.replace(b'"alg"', b'"kid":"ec","alg"'), PAYLOAD),
        sign(HEADER, PAYLOAD.decode().encode("utf-16")),
        sign(HEADER, b"\xef\xbb\xbf" + PAYLOAD),
        sign(HEADER, PAYLOAD[:-1] + b', "x": NaN}'),
        sign(HEADER, PAYLOAD[:-1] + b', "x": ' + b"[" * 100 + b"]" * 100 + b"}"),
        sign(HEADER, b"[" + PAYLOAD + b"]"),
        f"{{{b64(PAYLOAD)}}}",
        "\ufffd" * 3,
    ],
)
async def test_what_two_readers_could_read_differently_is_refused(token: str) -> None:
    assert await refusal_of(token) is EventRefusal.INVALID_REQUEST


async def test_no_event_is_judged_by_a_clock_that_was_stepped() -> None:
    clock = EventHandClock()
    clock.unsettled = timedelta(seconds=40)

    with pytest.raises(Outage) as outage:
        await verifier(clock=clock)(security_event_token())

    assert outage.value.retry_after == timedelta(seconds=40)


# --- whatever is signed ---

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["format", "subject_type", "iss", "sub", "email", "id", "user", "tenant", "session", "identifiers"]
)
TEXTS = st.sampled_from(["iss_sub", "iss-sub", "email", "opaque", "complex", "aliases", USERS, "alice"])
IDENTIFIERS = st.dictionaries(
    NAMES, TEXTS | ANYTHING | st.dictionaries(NAMES, TEXTS | ANYTHING, max_size=4), max_size=5
)
EVENT_TYPES = st.sampled_from(
    [SESSION_REVOKED, ACCOUNT_DISABLED]
    + [f"https://schemas.openid.net/secevent/ssf/event-type/{name}" for name in ("verification", "stream-updated")]
)
MEMBERS = ["subject", "event_timestamp", "reason", "reason_admin", "state", "status", "credential_type"]
CONTENTS = st.dictionaries(st.sampled_from(MEMBERS), IDENTIFIERS | ANYTHING, max_size=4)


@given(event_type=EVENT_TYPES, content=CONTENTS, identifier=IDENTIFIERS | ANYTHING, toe=ANYTHING)
async def test_whatever_a_transmitter_signs_is_an_event_or_is_refused(
    event_type: str, content: Any, identifier: Any, toe: Any
) -> None:
    token = security_event_token(event_type, content, sub_id=identifier, toe=toe)

    event = await told(token)  # anything but a refusal would come again for ever

    if isinstance(event, SecurityEvent):
        assert event.subject_issuer == USERS
        assert 1 <= len(event.subject_id) <= 255
        assert event.event_time.timestamp() <= NOW
        assert event.reason.isprintable()


# --- changed on the way ---

SOUND = security_event_token()
EXPECTED_SUBJECT = "alice"


async def told(token: str) -> VerifiedEvent | None:
    """Returns what a token tells, or None when it is refused."""
    try:
        return await verifier()(token)
    except EventRefused:
        return None


@given(place=st.integers(0, len(SOUND) - 1), replacement=st.integers(0, 255))
async def test_no_byte_of_a_sound_event_can_be_changed_so_that_it_tells_another(place: int, replacement: int) -> None:
    changed = f"{SOUND[:place]}{chr(replacement)}{SOUND[place + 1 :]}"

    assert await told(changed) in ({None} if changed != SOUND else {await told(SOUND)})


@given(place=st.integers(0, len(SOUND) - 1), inserted=st.text(st.characters(max_codepoint=255), min_size=1, max_size=4))
async def test_nothing_can_be_put_into_a_sound_event(place: int, inserted: str) -> None:
    assert await told(f"{SOUND[:place]}{inserted}{SOUND[place:]}") is None


@given(start=st.integers(0, len(SOUND) - 1), length=st.integers(1, 64))
async def test_nothing_can_be_cut_out_of_a_sound_event(start: int, length: int) -> None:
    assert await told(SOUND[:start] + SOUND[start + length :]) is None


@given(data=st.data())
async def test_parts_of_two_sound_events_make_no_third(data: st.DataObject) -> None:
    other = security_event_token(ACCOUNT_DISABLED, {}, jti="set-2", sub_id={**ALICE, "sub": "bob"})
    parts = [
        data.draw(st.sampled_from([one, two])) for one, two in zip(SOUND.split("."), other.split("."), strict=True)
    ]
    mixed = ".".join(parts)

    event = await told(mixed)

    assert event is None if mixed not in {SOUND, other} else isinstance(event, SecurityEvent)


# --- webhooks ---


def webhook() -> WebhookVerifier:
    return WebhookVerifier(webhook_settings(), EventHandClock())


async def webhook_refusal(header: str | None, body: bytes) -> EventRefusal:
    with pytest.raises(EventRefused) as refused:
        await webhook()(UnverifiedWebhook(header, body))
    return refused.value.code


BODY = webhook_body()
GOOD = signed_header(BODY)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        f"t={NOW}",
        GOOD.partition(",")[2],
        GOOD.upper(),
        GOOD.replace("v1=", "v0="),
        f"{GOOD},",
        f"{GOOD},v0=00",
        f" {GOOD}",
        GOOD.replace(f"t={NOW}", f"t={NOW - 1}"),
        GOOD.replace(f"t={NOW}", f"t=0{NOW}"),
        GOOD.replace(f"t={NOW}", f"t={NOW},t={NOW}"),
        f"t={NOW},v1={hashlib.sha256(BODY).hexdigest()}",
        f"t={NOW},v1={hmac.new(WEBHOOK_SECRET.encode(), BODY, hashlib.sha256).hexdigest()}",
        f"t={NOW}," + ",".join(["v1=" + "0" * 64] * 5),
        signed_header(BODY, secret="f" * 32),
        signed_header(BODY, secret=""),
        signed_header(webhook_body(subject="bob")),
        signed_header(BODY, seconds=NOW - 301),
        signed_header(BODY, seconds=NOW + 301),
        signed_header(BODY, seconds=0),
    ],
)
async def test_a_webhook_without_a_fresh_signature_of_its_secret_is_refused(header: str | None) -> None:
    assert await webhook_refusal(header, BODY) is EventRefusal.AUTHENTICATION_FAILED


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (webhook_body(issuer="https://other-idp.example.com"), EventRefusal.ACCESS_DENIED),
        (webhook_body(event="account-deleted"), EventRefusal.INVALID_REQUEST),
        (webhook_body(event=["account-disabled"]), EventRefusal.INVALID_REQUEST),
        (webhook_body(id=""), EventRefusal.INVALID_REQUEST),
        (webhook_body(subject="al\nice"), EventRefusal.INVALID_REQUEST),
        (webhook_body(subject=ABSENT), EventRefusal.INVALID_REQUEST),
        (webhook_body(also="this"), EventRefusal.INVALID_REQUEST),
        (webhook_body(reason=7), EventRefusal.INVALID_REQUEST),
        (webhook_body(reason="x" * 1001), EventRefusal.INVALID_REQUEST),
        (webhook_body(time="2026-11-23T11:59:00"), EventRefusal.INVALID_REQUEST),
        (webhook_body(time="yesterday"), EventRefusal.INVALID_REQUEST),
        (webhook_body(time="2026-11-23T12:06:00Z"), EventRefusal.INVALID_REQUEST),
        (webhook_body(time="2026-11-15T12:00:00Z"), EventRefusal.INVALID_REQUEST),
        (webhook_body(time=NOW), EventRefusal.INVALID_REQUEST),
        (BODY.replace(b'"subject": "alice"', b'"subject": "alice", "subject": "bob"'), EventRefusal.INVALID_REQUEST),
        (b"[]", EventRefusal.INVALID_REQUEST),
        (b"\xff", EventRefusal.INVALID_REQUEST),
        (b"", EventRefusal.INVALID_REQUEST),
    ],
)
async def test_a_signed_webhook_that_says_what_it_may_not_or_unclearly_is_refused(
    body: bytes, code: EventRefusal
) -> None:
    assert await webhook_refusal(signed_header(body), body) is code


@given(place=st.integers(0, len(BODY) - 1), replacement=st.integers(0, 255))
async def test_no_byte_of_a_signed_webhook_can_be_changed(place: int, replacement: int) -> None:
    changed = BODY[:place] + bytes([replacement]) + BODY[place + 1 :]

    if changed != BODY:
        assert await webhook_refusal(GOOD, changed) is EventRefusal.AUTHENTICATION_FAILED


async def test_both_secrets_of_a_rotation_sign_and_a_third_does_not() -> None:
    settings = webhook_settings(secrets=(Secret(WEBHOOK_SECRET), Secret("n" * 32)))
    check = WebhookVerifier(settings, EventHandClock())

    old = await check(UnverifiedWebhook(GOOD, BODY))
    new = await check(UnverifiedWebhook(signed_header(BODY, secret="n" * 32), BODY))
    both = await check(UnverifiedWebhook(f"{GOOD},{signed_header(BODY, secret='n' * 32).partition(',')[2]}", BODY))

    assert old == new == both
    with pytest.raises(EventRefused):
        await check(UnverifiedWebhook(signed_header(BODY, secret="o" * 32), BODY))
