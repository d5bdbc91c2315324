"""What is read out of sound security event tokens."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.event_world import (
    ACCOUNT_DISABLED,
    ACCOUNT_ENABLED,
    ALICE,
    SESSION_REVOKED,
    STREAM,
    USERS,
    VERIFICATION,
    EventHandClock,
    security_event_token,
    transmitter,
    verifier,
)
from tests.token_forge import ABSENT, NOW

from remit_server.domain.security_event import (
    EventRefusal,
    EventRefused,
    IgnoredEvent,
    SecurityEvent,
    SecurityEventKind,
    StreamUpdated,
    StreamVerification,
)

NAMED = {"iss": USERS, "sub": "alice"}
SCHEMAS = "https://schemas.openid.net/secevent"


async def test_a_revoked_session_is_read_whole() -> None:
    token = security_event_token(event={"event_timestamp": NOW - 10, "reason_admin": {"en": "Landspeed violation"}})

    event = await verifier()(token)

    assert event == SecurityEvent(
        kind=SecurityEventKind.SESSION_REVOKED,
        subject_issuer=USERS,
        subject_id="alice",
        event_time=datetime.fromtimestamp(NOW - 10, UTC),
        source="ssf:acme",
        event_id="set-1",
        reason="Landspeed violation",
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("caep/event-type/session-revoked", SecurityEventKind.SESSION_REVOKED),
        ("caep/event-type/credential-change", SecurityEventKind.CREDENTIAL_CHANGE),
        ("risc/event-type/account-disabled", SecurityEventKind.ACCOUNT_DISABLED),
        ("risc/event-type/account-enabled", SecurityEventKind.ACCOUNT_ENABLED),
        ("risc/event-type/account-purged", SecurityEventKind.ACCOUNT_DISABLED),
        ("risc/event-type/credential-compromise", SecurityEventKind.CREDENTIAL_CHANGE),
        ("risc/event-type/sessions-revoked", SecurityEventKind.SESSION_REVOKED),
        ("oauth/event-type/tokens-revoked", SecurityEventKind.SESSION_REVOKED),
    ],
)
async def test_what_calls_for_an_act_is_told_by_its_kind(name: str, kind: SecurityEventKind) -> None:
    event = await verifier()(security_event_token(f"{SCHEMAS}/{name}", {}))

    assert isinstance(event, SecurityEvent)
    assert event.kind is kind


@pytest.mark.parametrize(
    "event_type",
    [
        f"{SCHEMAS}/caep/event-type/token-claims-change",
        f"{SCHEMAS}/caep/event-type/assurance-level-change",
        f"{SCHEMAS}/caep/event-type/device-compliance-change",
        f"{SCHEMAS}/caep/event-type/session-established",
        f"{SCHEMAS}/caep/event-type/session-presented",
        f"{SCHEMAS}/caep/event-type/risk-level-change",
        f"{SCHEMAS}/risc/event-type/identifier-changed",
        f"{SCHEMAS}/risc/event-type/identifier-recycled",
        f"{SCHEMAS}/risc/event-type/opt-in",
        f"{SCHEMAS}/risc/event-type/recovery-activated",
        f"{SCHEMAS}/caep/event-type/Session-Revoked",
        "urn:example:event",
    ],
)
async def test_any_other_event_changes_nothing_and_is_told(event_type: str) -> None:
    event = await verifier()(security_event_token(event_type, {}))

    assert event == IgnoredEvent("ssf:acme", "set-1", event_type, "its type calls for nothing here")


@pytest.mark.parametrize(
    ("claims", "event"),
    [
        ({"sub_id": {"format": "complex", "user": ALICE}}, {}),
        ({"sub_id": {"user": ALICE, "session": {"format": "opaque", "id": "s1"}}}, {}),
        ({"sub_id": {"user": ALICE, "device": {"format": "opaque", "id": "d1"}, "tenant": STREAM}}, {}),
        ({"sub_id": ABSENT}, {"subject": ALICE}),
        ({"sub_id": ABSENT}, {"subject": {"user": ALICE, "tenant": {"format": "opaque", "id": "00o1"}}}),
        ({"sub_id": ABSENT}, {"subject": {"subject_type": "iss-sub", "iss": USERS, "sub": "alice"}}),
        ({"sub_id": ABSENT}, {"subject": {"subject_type": "id_token_claims", **NAMED, "email": "a@acme.example"}}),
        ({"sub_id": ALICE}, {"subject": ALICE}),
    ],
)
async def test_the_user_is_found_wherever_the_drafts_and_the_standard_put_it(claims: Any, event: Any) -> None:
    found = await verifier()(security_event_token(SESSION_REVOKED, event, **claims))

    assert isinstance(found, SecurityEvent)
    assert (found.subject_issuer, found.subject_id) == (USERS, "alice")


@pytest.mark.parametrize(
    ("settings", "identifier", "subject"),
    [
        ({"subject_formats": frozenset({"email"})}, {"format": "email", "email": "a@acme.example"}, "a@acme.example"),
        ({"subject_formats": frozenset({"opaque"})}, {"format": "opaque", "id": "00u1"}, "00u1"),
        ({"subject_map": (("alice", "00u1"),)}, ALICE, "00u1"),
        ({"subject_map": (("bob", "00u2"),)}, ALICE, "alice"),
        (
            {"subject_formats": frozenset({"email"}), "subject_map": (("a@acme.example", "00u1"),)},
            {"format": "email", "email": "a@acme.example"},
            "00u1",
        ),
        (
            {"subject_issuer": "https://acme.okta.com"},
            {"format": "iss_sub", "iss": "https://acme.okta.com", "sub": "00u1"},
            "00u1",
        ),
        (
            {"tenants": frozenset({"00o1"})},
            {"user": ALICE, "tenant": {"format": "opaque", "id": "00o1"}},
            "alice",
        ),
    ],
)
async def test_a_subject_is_read_as_its_transmitter_is_configured(settings: Any, identifier: Any, subject: str) -> None:
    found = await verifier(transmitter(**settings))(security_event_token(sub_id=identifier))

    assert isinstance(found, SecurityEvent)
    assert (found.subject_issuer, found.subject_id) == (USERS, subject)


@pytest.mark.parametrize(
    ("settings", "identifier", "why"),
    [
        ({}, {"format": "email", "email": "a@acme.example"}, "format"),
        ({}, {"format": "opaque", "id": "alice"}, "format"),
        ({}, {"format": "phone_number", "phone_number": "+12065550100"}, "format"),
        ({}, {"format": "jwt_id", "iss": USERS, "jti": "t1"}, "format"),
        ({}, {"session": {"format": "opaque", "id": "s1"}}, "names no user"),
        ({"tenants": frozenset({"00o1"})}, ALICE, "names no tenant"),
        ({"tenants": frozenset({"00o1"})}, {"user": ALICE, "tenant": STREAM}, "not among `tenants`"),
    ],
)
async def test_an_event_about_nobody_known_by_such_a_name_changes_nothing_and_says_why(
    settings: Any, identifier: Any, why: str
) -> None:
    found = await verifier(transmitter(**settings))(security_event_token(sub_id=identifier))

    assert isinstance(found, IgnoredEvent)
    assert why in found.why


async def test_the_time_of_the_event_is_its_own_or_that_of_its_token() -> None:
    check = verifier()

    told = await check(security_event_token(event={"event_timestamp": NOW - 3600}))
    silent = await check(security_event_token(event={}))
    toe = await check(security_event_token(event={}, toe=NOW - 60))

    assert [one.event_time.timestamp() - NOW for one in (told, silent, toe) if isinstance(one, SecurityEvent)] == [
        -3600,
        -5,
        -60,
    ]


async def test_an_event_of_a_clock_that_runs_ahead_is_of_now() -> None:
    event = await verifier()(security_event_token(event={}, iat=NOW + 20))

    assert isinstance(event, SecurityEvent)
    assert event.event_time.timestamp() == NOW


@pytest.mark.parametrize("family", ["ssf", "sse", "risc"])
async def test_a_verification_event_is_told_with_its_state(family: str) -> None:
    event_type = f"{SCHEMAS}/{family}/event-type/verification"

    told = await verifier()(security_event_token(event_type, {"state": "s-1"}, sub_id=STREAM))
    unasked = await verifier()(security_event_token(event_type, {}, sub_id=ABSENT))

    assert told == StreamVerification("ssf:acme", "set-1", "s-1")
    assert unasked == StreamVerification("ssf:acme", "set-1", None)


async def test_a_change_of_the_stream_is_told() -> None:
    event = {"status": "paused", "reason": "License\x1b[31m ended"}

    told = await verifier()(security_event_token(f"{SCHEMAS}/ssf/event-type/stream-updated", event, sub_id=STREAM))

    assert told == StreamUpdated("ssf:acme", "set-1", "paused", "License?[31m ended")


@pytest.mark.parametrize("event_type", [ACCOUNT_DISABLED, ACCOUNT_ENABLED, VERIFICATION])
async def test_an_event_comes_late_but_not_after_its_memory(event_type: str) -> None:
    token, clock = security_event_token(event_type, {}), EventHandClock()
    check = verifier(clock=clock)
    clock.advance(days=6)

    assert isinstance(await check(token), SecurityEvent | StreamVerification)
    clock.advance(days=1, seconds=1)
    with pytest.raises(EventRefused, match="older than 7 days") as refused:
        await check(token)
    assert refused.value.code is EventRefusal.INVALID_REQUEST
