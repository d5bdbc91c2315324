"""STS throttles, breaks, hangs and lies: what is retried, what is believed, what the caller hears."""

import asyncio
import ssl
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.fake_sts import (
    FakeRole,
    FakeSts,
    answering,
    answering_late,
    hanging,
    mislabelled,
    refusing,
    resetting_after_the_work,
    resetting_before_the_work,
    rewriting,
    stopping_halfway,
    throttling,
)
from tests.sts_orders import CLOCK, REPORTS_ARN, an_order, calling

from remit_sandbox.certificates import Authority
from remit_server.adapters.aws.sts_protocol import MAX_ANSWER_BYTES, MalformedAnswer, error_code, read_xml
from remit_server.domain.errors import Outage, Reason


async def test_throttling_is_retried_with_jitter_and_then_rate_limited() -> None:
    async with calling() as call:
        call.sts.plan(*[throttling] * 4)
        with pytest.raises(Outage) as raised:
            await call()

    assert raised.value.reason is Reason.RATE_LIMITED
    assert raised.value.retry_after is not None
    assert raised.value.credentials_may_exist is False
    assert len(call.sts.requests) == 4
    assert call.pauses.seconds == [0.1, 0.2, 0.4]


async def test_the_jitter_takes_the_whole_range() -> None:
    jitter = iter([0.0, 0.5, 0.25])

    async with calling(adapter={"jitter": lambda: next(jitter)}) as call:
        call.sts.plan(*[throttling] * 3)
        await call()

    assert call.pauses.seconds == [0.0, 0.1, 0.1]


@pytest.mark.parametrize(
    "fault",
    [
        throttling,
        refusing(429, "TooManyRequestsException"),
        answering(429, "slow down"),
        refusing(503, "ServiceUnavailable"),
        refusing(500, "InternalFailure"),
        answering(502, "<html>bad gateway</html>"),
        resetting_before_the_work,
        resetting_after_the_work,
        stopping_halfway,
    ],
)
async def test_every_retry_sends_the_very_same_order(fault: Any) -> None:
    async with calling() as call:
        call.sts.plan(fault, fault)
        session = await call()

    assert len({request.body for request in call.sts.requests}) == 1
    assert len(call.sts.requests) == 3
    assert session.credentials.access_key_id == call.sts.issued[-1].access_key_id


@pytest.mark.parametrize(
    ("fault", "may_exist"),
    [
        (throttling, False),
        (refusing(429, "TooManyRequestsException"), False),
        (answering(429, "from a proxy"), True),
        (refusing(503, "ServiceUnavailable"), False),
        (answering(503, "from a proxy"), True),
        (refusing(500, "InternalFailure"), True),
        (resetting_before_the_work, True),
        (resetting_after_the_work, True),
        (stopping_halfway, True),
    ],
)
async def test_after_the_last_try_the_caller_hears_whether_credentials_may_exist(fault: Any, may_exist: bool) -> None:
    async with calling() as call:
        call.sts.plan(*[fault] * 4)
        with pytest.raises(Outage) as raised:
            await call()

    assert len(call.sts.requests) == 4
    assert raised.value.credentials_may_exist is may_exist
    assert may_exist or call.sts.issued == []


async def test_doubt_once_raised_stays() -> None:
    async with calling() as call:
        call.sts.plan(resetting_after_the_work, throttling, throttling, throttling)
        with pytest.raises(Outage) as raised:
            await call()

    assert raised.value.reason is Reason.RATE_LIMITED
    assert raised.value.credentials_may_exist is True


async def test_a_refusal_after_doubt_is_an_outage_because_a_refusal_promises_that_nothing_exists() -> None:
    async with calling() as call:
        call.sts.plan(resetting_after_the_work, refusing(400, "PackedPolicyTooLarge"))
        with pytest.raises(Outage) as raised:
            await call()

    assert raised.value.credentials_may_exist is True


class HandClock:
    """Tells the real time, and a monotonic one that only pauses move: a machine may be as busy as it likes."""

    def __init__(self) -> None:
        self.seconds = CLOCK.monotonic()

    def now(self) -> datetime:
        return CLOCK.now()

    def monotonic(self) -> float:
        return self.seconds

    async def pause(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.mark.parametrize(("room", "attempts"), [(10.0, 4), (4.0, 3), (2.0, 2), (0.5, 1)])
async def test_no_retry_begins_after_the_deadline(room: float, attempts: int) -> None:
    clock = HandClock()
    options = {"clock": clock, "pause": clock.pause, "jitter": lambda: 10.0}  # pauses of 1, 2 and 4 seconds

    async with calling(adapter=options) as call:
        call.sts.plan(*[throttling] * 4)
        with pytest.raises(Outage) as raised:
            await call.adapter(an_order(), deadline=clock.monotonic() + room)

    assert raised.value.reason is Reason.RATE_LIMITED
    assert len(call.sts.requests) == attempts


async def test_a_call_without_time_left_is_not_sent() -> None:
    async with calling() as call:
        with pytest.raises(Outage) as raised:
            await call(within=-1.0)

    assert raised.value.credentials_may_exist is False
    assert call.sts.requests == []


async def test_a_hanging_sts_is_left_at_the_deadline_with_credentials_in_doubt() -> None:
    async with calling() as call:
        call.sts.plan(hanging)
        with pytest.raises(Outage) as raised:
            await call(within=0.3)

    assert raised.value.reason is Reason.STS_UNAVAILABLE
    assert raised.value.credentials_may_exist is True
    assert len(call.sts.issued) == 1


async def test_an_attempt_ends_at_its_own_timeout_and_another_follows() -> None:
    async with calling(timeout=timedelta(seconds=0.2)) as call:
        call.sts.plan(hanging)
        session = await call()

    assert session.credentials.access_key_id == call.sts.issued[-1].access_key_id
    assert len(call.sts.requests) == 2


async def test_a_late_answer_inside_the_deadline_is_the_answer() -> None:
    async with calling() as call:
        call.sts.plan(answering_late)
        waiting = asyncio.create_task(call())
        await call.sts.wait_for_requests(1)
        call.sts.released.set()
        session = await waiting

    assert [issued.access_key_id for issued in call.sts.issued] == [session.credentials.access_key_id]


async def test_an_answer_is_judged_by_what_it_says_not_by_what_it_is_called() -> None:
    async with calling() as call:
        call.sts.plan(mislabelled)
        session = await call()

    assert session.credentials.access_key_id == call.sts.issued[-1].access_key_id
    assert len(call.sts.requests) == 1


async def test_an_endpoint_that_is_not_there_made_no_credentials() -> None:
    async with FakeSts(()) as gone:
        url = gone.url

    async with calling(endpoint_url=url) as call:
        with pytest.raises(Outage) as raised:
            await call()

    assert raised.value.reason is Reason.STS_UNAVAILABLE
    assert raised.value.credentials_may_exist is False
    assert len(call.pauses.seconds) == 3


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("assumed-role/remit-reports/", "assumed-role/remit-admin/"),
        (":sts::111122223333:", ":sts::444455556666:"),
        ("/mfzwizltoqytamrtgq2tmnzyheydcmrt</Arn>", "/another-session</Arn>"),
        ("<AccessKeyId>ASIA", "<AccessKeyId>asia-"),
        ("<SecretAccessKey>", "<SecretAccessKey>\n"),
        ("<SessionToken>", "<SessionToken>\u2028"),
        ("</Credentials>", "</Credentials><Credentials></Credentials>"),
        ("<Expiration>2", "<Expiration>3"),
        ("<Expiration>20", "<Expiration>19"),
        ("Z</Expiration>", "</Expiration>"),
        ("Z</Expiration>", "+00:00</Expiration>"),
        ("<PackedPolicySize>", "<PackedPolicySize>9999"),
        ("<PackedPolicySize>", "<PackedPolicySize>-"),
        ("acme.alice", "acme.mallory"),
        ("AssumeRoleResult", "GetSessionTokenResult"),
        ("<AssumeRoleResponse", '<!DOCTYPE a [<!ENTITY x "y">]><AssumeRoleResponse'),
        ("</AssumeRoleResponse>", ""),
    ],
)
async def test_an_answer_that_is_not_to_this_order_is_never_used(old: str, new: str) -> None:
    async with calling() as call:
        call.sts.plan(rewriting(old, new))
        with pytest.raises(Outage) as raised:
            await call()

    assert raised.value.reason is Reason.STS_UNAVAILABLE
    assert raised.value.credentials_may_exist is True
    assert len(call.sts.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0",
        b"{}",
        b"<a>" * 1000,
        "<?xml version='1.0' encoding='utf-16'?><a/>".encode("utf-16"),
        b"<a/>" + b"x" * 70_000,
    ],
)
async def test_rubbish_with_a_200_is_an_outage(body: bytes) -> None:
    async with calling() as call:
        call.sts.plan(answering(200, body))
        with pytest.raises(Outage) as raised:
            await call()

    assert raised.value.credentials_may_exist is True


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_an_answer_in_another_encoding_is_not_read_however_well_formed_it_is(encoding: str) -> None:
    answer = "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"

    assert error_code(answer.encode()) == "AccessDenied"
    assert error_code(answer.encode(encoding)) is None


@pytest.mark.parametrize("status", [201, 301, 307, 400, 403, 404, 418])
async def test_an_answer_in_nobodys_words_is_an_outage_with_credentials_in_doubt(status: int) -> None:
    async with calling() as call:
        call.sts.plan(answering(status, "not from STS"))
        with pytest.raises(Outage) as raised:
            await call()

    assert raised.value.credentials_may_exist is True
    assert len(call.sts.requests) == 1


async def test_a_redirect_is_not_followed() -> None:
    async def elsewhere(sts: FakeSts, _http: web.Request, _request: Any) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": f"{sts.url}/elsewhere"})

    async with calling() as call:
        call.sts.plan(elsewhere)
        with pytest.raises(Outage):
            await call()

    assert len(call.sts.requests) == 1


def test_entities_are_refused_before_they_grow() -> None:
    bomb = b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><a>&b;</a>'

    with pytest.raises(MalformedAnswer):
        read_xml(bomb)


def test_an_external_entity_is_refused_before_it_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("fetched")
    fetching = f'<!DOCTYPE a [<!ENTITY x SYSTEM "file://{tmp_path}/secret">]><a>&x;</a>'.encode()

    with pytest.raises(MalformedAnswer):
        read_xml(fetching)


def test_an_answer_over_the_limit_is_not_parsed() -> None:
    with pytest.raises(MalformedAnswer, match="too long"):
        read_xml(b"<a>" + b" " * MAX_ANSWER_BYTES + b"</a>")


def test_an_element_that_stands_twice_is_refused() -> None:
    with pytest.raises(MalformedAnswer):
        read_xml(b"<a><b>one</b><b>two</b></a>")


async def test_an_endpoint_whose_certificate_is_not_trusted_gets_nothing(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "trusted")
    stranger = Authority.create(tmp_path / "stranger")
    pair = stranger.issue_server(("localhost", "127.0.0.1"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate_path, pair.key_path)

    async with FakeSts((FakeRole(REPORTS_ARN),), tls=context) as sts:
        async with calling(endpoint_url=sts.url, ca_file=authority.bundle_path) as call:
            with pytest.raises(Outage, match=r"aws\.ca_file") as raised:
                await call()
        async with calling(endpoint_url=sts.url, ca_file=stranger.bundle_path) as call:
            await call()

    assert raised.value.credentials_may_exist is False
    assert len(sts.requests) == 1
