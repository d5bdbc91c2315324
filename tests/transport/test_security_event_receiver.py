"""The receiver over HTTP: what is acknowledged, what is refused in which words, and that all of it is recorded."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest
from tests.event_world import (
    ACCOUNT_DISABLED,
    ALICE,
    STREAM,
    VERIFICATION,
    Front,
    listening_receiver,
    security_event_token,
    signed_header,
    transmitter,
    webhook_body,
)

from remit_server.config.event_settings import UserName
from remit_server.domain.audit import Who
from remit_server.domain.audit_events import (
    EventStreamUpdated,
    EventStreamVerified,
    SecurityEventIgnored,
    SecurityEventReceived,
    SecurityEventsRefused,
)
from remit_server.domain.secret import Secret
from remit_server.domain.security_event import SecurityEventKind, awaited_states
from remit_server.transport.http.security_events import MOST_AT_A_TIME

SET = {"Content-Type": "application/secevent+jwt"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    async with listening_receiver() as running:
        yield running


async def post(
    front: Front, path: str, body: Any, headers: Mapping[str, str]
) -> tuple[int, dict[str, Any] | None, Mapping[str, str]]:
    """Sends one request; returns status, body and headers of the answer."""
    async with aiohttp.ClientSession() as session, session.post(front.url + path, data=body, headers=headers) as answer:
        text = await answer.text()
        return answer.status, json.loads(text) if text else None, answer.headers


async def push(front: Front, token: str, **headers: str) -> tuple[int, dict[str, Any] | None]:
    status, body, _ = await post(front, "/ssf/acme", token.encode("latin-1"), {**SET, **headers})
    return status, body


async def call(front: Front, body: bytes, signature: str | None = None) -> int:
    header = {"Remit-Signature": signed_header(body) if signature is None else signature}
    status, _, _ = await post(front, "/webhooks/hr", body, {**JSON, **header})
    return status


async def test_a_sound_event_is_obeyed_recorded_and_then_acknowledged_with_nothing(front: Front) -> None:
    answer = await push(front, security_event_token(ACCOUNT_DISABLED, {"reason": "hijacking"}))

    assert answer == (202, None)
    (event,) = front.memory.revoked
    assert (event.kind, event.subject_id, event.reason) == (SecurityEventKind.ACCOUNT_DISABLED, "alice", "hijacking")
    (record,) = front.memory.records
    assert isinstance(record, SecurityEventReceived)
    assert (record.who, record.event_id) == (Who(subject_issuer=event.subject_issuer, subject_id="alice"), "set-1")


async def test_an_event_that_comes_again_is_acknowledged_does_nothing_and_is_counted(front: Front) -> None:
    token = security_event_token()
    first, *others = [await push(front, token) for _ in range(4)]
    await front.counts.write()

    assert {first, *others} == {(202, None)}
    assert len(front.memory.revoked) == 1
    refused = [one for one in front.memory.records if isinstance(one, SecurityEventsRefused)]
    assert [(one.source, one.peer, one.reason, one.count) for one in refused] == [
        ("ssf:acme", "127.0.0.1", "repeated", 3)
    ]


async def test_an_event_that_could_not_be_made_durable_is_not_acknowledged_and_is_taken_later(front: Front) -> None:
    token = security_event_token()
    front.memory.is_down = True
    status, body, headers = await post(front, "/ssf/acme", token, SET)
    front.memory.is_down = False

    again = await push(front, token)

    assert (status, body) == (503, None)
    assert int(headers["Retry-After"]) >= 1
    assert again == (202, None)
    assert len(front.memory.revoked) == 1


async def test_a_user_that_is_called_by_another_claim_is_found_under_every_sub_they_had() -> None:
    by_claim = transmitter(named_by=UserName.SOURCE_CLAIM, users_alias="okta", subject_map=(("x", "00u1"),))
    async with listening_receiver(by_claim) as front:
        front.memory.names["okta.00u1"] = ["alice@acme.example", "alice@old.example"]
        known = security_event_token(ACCOUNT_DISABLED, {}, sub_id={**ALICE, "sub": "00u1"})
        answers = [await push(front, known) for _ in range(2)]
        mapped = await push(front, security_event_token(jti="set-2", sub_id={**ALICE, "sub": "x"}))
        unknown = await push(front, security_event_token(jti="set-3", sub_id={**ALICE, "sub": "00u2"}))
        front.memory.names |= {"okta.00u1": ["somebody-new"], "okta.00u2": ["bob"]}
        again = [await push(front, known)]
        again += [await push(front, security_event_token(jti="set-3", sub_id={**ALICE, "sub": "00u2"}))]
        endless = await push(front, security_event_token(jti="set-4", sub_id={**ALICE, "sub": "0" * 64}))

    assert {*answers, *again, mapped, unknown, endless} == {(202, None)}
    assert [event.subject_id for event in front.memory.revoked] == ["alice@acme.example", "alice@old.example"] * 2
    ignored = [record.why for record in front.memory.records if isinstance(record, SecurityEventIgnored)]
    assert ignored == [
        "nobody has had a grant under the name it gives",
        "its subject's name is too long for a SourceIdentity",
    ]


async def test_an_event_of_no_consequence_is_acknowledged_and_recorded_once(front: Front) -> None:
    token = security_event_token("https://schemas.openid.net/secevent/caep/event-type/risk-level-change", {})

    answers = [await push(front, token) for _ in range(2)]

    assert answers == [(202, None)] * 2
    (record,) = front.memory.records
    assert isinstance(record, SecurityEventIgnored)
    assert front.memory.revoked == []


async def test_a_verification_event_with_our_state_is_acknowledged_and_with_another_refused(front: Front) -> None:
    front.memory.known.add((awaited_states("ssf:acme"), "state-1"))

    ours = await push(front, security_event_token(VERIFICATION, {"state": "state-1"}, jti="v1", sub_id=STREAM))
    other = await push(front, security_event_token(VERIFICATION, {"state": "state-2"}, jti="v2", sub_id=STREAM))
    again = await push(front, security_event_token(VERIFICATION, {"state": "state-2"}, jti="v3", sub_id=STREAM))
    unasked = await push(front, security_event_token(VERIFICATION, {}, jti="v4", sub_id=STREAM))

    assert ours == unasked == (202, None)
    assert [(status, (body or {})["err"]) for status, body in (other, again)] == [(400, "invalid_state")] * 2
    verified = [one for one in front.memory.records if isinstance(one, EventStreamVerified)]
    assert [(one.event_id, one.requested) for one in verified] == [("v1", True), ("v4", False)]


async def test_a_stream_that_is_paused_is_told_loudly_and_recorded(
    front: Front, caplog: pytest.LogCaptureFixture
) -> None:
    updated = "https://schemas.openid.net/secevent/ssf/event-type/stream-updated"

    answer = await push(front, security_event_token(updated, {"status": "paused"}, sub_id=STREAM))

    assert answer == (202, None)
    assert [one.status for one in front.memory.records if isinstance(one, EventStreamUpdated)] == ["paused"]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "its stream is paused" in caplog.text


@pytest.mark.parametrize(
    ("token", "error"),
    [
        ("no token", "invalid_request"),
        (security_event_token(iss="https://evil.example.com"), "invalid_issuer"),
        (security_event_token(aud="https://evil.example.com"), "invalid_audience"),
        (security_event_token(header={"kid": "stranger"}), "invalid_key"),
        (security_event_token()[:-8] + "AAAAAAAA", "authentication_failed"),
        (security_event_token(sub_id={"format": "iss_sub", "iss": "https://b.example", "sub": "b"}), "access_denied"),
        ("\xff\xfe", "invalid_request"),
    ],
)
async def test_a_refusal_is_told_in_the_words_of_rfc_8935_and_never_repeats_the_token(
    front: Front, token: str, error: str
) -> None:
    status, body, headers = await post(front, "/ssf/acme", token.encode("latin-1"), SET)

    assert (status, headers["Content-Type"]) == (400, "application/json; charset=utf-8")
    assert headers["Content-Language"] == "en"
    assert body is not None
    assert body.keys() == {"err", "description"}
    assert body["err"] == error
    assert token not in body["description"]
    assert front.memory.revoked == []


async def test_refused_events_are_counted_and_logged_once_a_minute_however_many_come(
    front: Front, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        await push(front, security_event_token(aud="https://evil.example.com"))
    await front.counts.write()

    (record,) = front.memory.records
    assert isinstance(record, SecurityEventsRefused)
    assert (record.reason, record.count) == ("invalid_audience", 5)
    assert len([one for one in caplog.records if "invalid_audience" in one.getMessage()]) == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json"}, 415),
        ({"Content-Type": "application/jwt"}, 415),
        ({"Content-Type": "application/secevent+jwt", "Content-Encoding": "gzip"}, 415),
    ],
)
async def test_only_a_plain_body_of_the_right_type_is_read(front: Front, headers: dict[str, str], status: int) -> None:
    body: bytes = security_event_token().encode()
    if "Content-Encoding" in headers:
        body = gzip.compress(body)

    answer, _, _ = await post(front, "/ssf/acme", body, headers)

    assert answer == status
    assert front.memory.revoked == []


@pytest.mark.parametrize("path", ["/ssf/acme", "/webhooks/hr"])
async def test_a_body_that_is_too_long_is_left(front: Front, path: str) -> None:
    headers = SET if path == "/ssf/acme" else JSON

    status, _, _ = await post(front, path, b"a" * 100_000, headers)

    assert status == 413


async def test_a_body_that_does_not_come_is_waited_for_a_few_seconds_only(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remit_server.transport.http.security_events.READ_SECONDS", 0.1)
    host, _, port = front.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))

    writer.write(b"POST /ssf/acme HTTP/1.1\r\nHost: x\r\nContent-Type: application/secevent+jwt\r\n")
    writer.write(b"Content-Length: 100\r\n\r\nabc")
    status = await reader.readline()
    writer.close()

    assert b" 408 " in status


@pytest.mark.parametrize("path", ["/ssf/other", "/webhooks/other", "/ssf/%61cme%00"])
async def test_there_is_no_stream_or_webhook_but_those_configured(front: Front, path: str) -> None:
    status, _, _ = await post(front, path, security_event_token(), SET)

    assert status == 404
    assert front.memory.revoked == []


async def test_a_get_is_no_event(front: Front) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{front.url}/ssf/acme") as answer:
        assert answer.status == 405


@pytest.mark.parametrize("shown", [None, "", "Bearer wrong", "right-secret", "bearer right-secret"])
async def test_a_push_must_show_what_was_given_to_its_transmitter(shown: str | None) -> None:
    secured = transmitter(authorization=(Secret("Bearer old-secret"), Secret("Bearer right-secret")))
    async with listening_receiver(secured) as front:
        headers = {} if shown is None else {"Authorization": shown}
        status, body = await push(front, security_event_token(), **headers)
        right = [
            await push(front, security_event_token(jti=secret), Authorization=f"Bearer {secret}")
            for secret in ("old-secret", "right-secret")
        ]

    assert (status, (body or {})["err"]) == (401, "authentication_failed")
    assert right == [(202, None)] * 2


async def test_two_authorization_headers_are_none() -> None:
    secured = transmitter(authorization=(Secret("Bearer right-secret"),))
    async with listening_receiver(secured) as strict, aiohttp.ClientSession() as session:
        headers = [("Authorization", "Bearer right-secret"), ("Authorization", "Bearer right-secret"), *SET.items()]
        async with session.post(f"{strict.url}/ssf/acme", data=security_event_token(), headers=headers) as answer:
            assert answer.status == 401


async def test_a_sender_has_so_many_events_a_minute() -> None:
    async with listening_receiver(per_minute=2) as front:
        pushed = [await push(front, security_event_token(jti=f"set-{number}")) for number in range(3)]
        front.clock.advance(seconds=30)
        later = await push(front, security_event_token(jti="set-9"))

    assert [status for status, _ in pushed] == [202, 202, 429]
    assert later == (202, None)


async def test_strangers_at_the_same_address_take_no_calls_of_who_shows_the_secret() -> None:
    secured = transmitter(authorization=(Secret("Bearer right-secret"),))
    async with listening_receiver(secured, per_minute=2) as front:
        strangers = [await push(front, security_event_token(), Authorization="Bearer guess") for _ in range(3)]
        known = await push(front, security_event_token(), Authorization="Bearer right-secret")

    assert [status for status, _ in strangers] == [401, 401, 429]
    assert known == (202, None)


async def test_slow_strangers_take_no_places_of_who_shows_the_secret() -> None:
    secured = transmitter(authorization=(Secret("Bearer right-secret"),))
    async with listening_receiver(secured) as front:
        host, port = front.url.removeprefix("http://").split(":")
        lines = ("POST /webhooks/hr HTTP/1.1", f"Host: {host}", "Content-Type: application/json", "Content-Length: 9")
        head = "\r\n".join([*lines, "", ""])
        slow = [await asyncio.open_connection(host, int(port)) for _ in range(MOST_AT_A_TIME)]
        for _, writer in slow:
            writer.write(head.encode())
            await writer.drain()
        refused = 0
        for _ in range(100):  # the last of them may not have been heard yet
            refused = refused if refused == 503 else await call(front, webhook_body())
        known = await push(front, security_event_token(), Authorization="Bearer right-secret")
        for _, writer in slow:
            writer.close()

    assert (refused, known) == (503, (202, None))


async def test_a_signed_webhook_is_obeyed_once(front: Front) -> None:
    body = webhook_body()

    answers = [await call(front, body) for _ in range(2)]

    assert answers == [202, 202]
    (event,) = front.memory.revoked
    assert (event.kind, event.source, event.event_id) == (SecurityEventKind.ACCOUNT_DISABLED, "webhook:hr", "call-1")
    assert event.reason == "left the company"


async def test_a_webhook_that_is_not_signed_is_refused(front: Front) -> None:
    body = webhook_body()

    statuses = [await call(front, body, header) for header in ("", "t=1", signed_header(webhook_body(subject="bob")))]

    assert statuses == [400, 400, 400]
    assert front.memory.revoked == []


async def test_two_signatures_in_two_headers_are_none(front: Front) -> None:
    body = webhook_body()
    headers = [("Remit-Signature", signed_header(body)), ("Remit-Signature", signed_header(body)), *JSON.items()]
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{front.url}/webhooks/hr", data=body, headers=headers) as answer,
    ):
        assert answer.status == 400

    assert front.memory.revoked == []
