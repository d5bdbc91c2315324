"""Calls of the query protocol when the other side misbehaves; what honest AWS does is tested on ministack."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import botocore.session
import pytest
import pytest_asyncio
from aiohttp import web

from remit_server.adapters.aws.revoking.query import MAX_ANSWER_BYTES, CallFailed, QueryCalls, Service, ec2_of, iam_of
from remit_server.adapters.aws.sigv4 import AwsKeys
from remit_server.adapters.system_clock import SystemClock
from remit_server.domain.secret import Secret

SECRET, TOKEN = "never-shown-secret-access-key", "never-shown-session-token"
KEYS = AwsKeys("ASIAIOSFODNN7EXAMPLE", Secret(SECRET), Secret(TOKEN))
REGIONS = (
    "eu-central-1",
    "us-east-1",
    "cn-north-1",
    "us-gov-west-1",
    "us-iso-east-1",
    "us-isob-east-1",
    "eu-isoe-west-1",
    "us-isof-south-1",
    "eusc-de-east-1",
)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Endpoint:
    """An endpoint that answers as a test says."""

    def __init__(self) -> None:
        self.url = ""
        self.answer: Handler = self.nothing
        self.forms: list[dict[str, str]] = []

    async def nothing(self, _: web.Request) -> web.StreamResponse:
        return web.Response(text="<R><Done>yes</Done></R>")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.forms.append({name: str(value) for name, value in (await request.post()).items()})
        return await self.answer(request)


@pytest_asyncio.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    made = Endpoint()
    application = web.Application()
    application.router.add_post("/", made.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    made.url = f"http://{host}:{port}"
    yield made
    await runner.cleanup()


@pytest_asyncio.fixture
async def calls() -> AsyncIterator[QueryCalls]:
    made = QueryCalls(SystemClock())
    yield made
    await made.close()


async def failed(calls: QueryCalls, url: str, seconds: float = 10) -> CallFailed:
    with pytest.raises(CallFailed) as raised:
        await called(calls, url, seconds)
    return raised.value


async def called(calls: QueryCalls, url: str, seconds: float = 10, **parameters: str) -> str | None:
    service = Service("iam", "2010-05-08", url, "us-east-1")
    deadline = calls.clock.monotonic() + seconds
    return (await calls(service, "GetPolicy", parameters, KEYS, deadline=deadline)).one("Done")


def answering(text: str, status: int = 200) -> Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text, status=status)

    return answer


async def test_parameters_arrive_as_they_are(endpoint: Endpoint, calls: QueryCalls) -> None:
    text = '{"a": "b&c=d+e %41 \u00fc"}'

    assert await called(calls, endpoint.url, PolicyDocument=text) == "yes"

    assert endpoint.forms == [{"Action": "GetPolicy", "Version": "2010-05-08", "PolicyDocument": text}]


@pytest.mark.parametrize("wrapping", ["<ErrorResponse>{}</ErrorResponse>", "<Response><Errors>{}</Errors></Response>"])
async def test_an_error_has_awss_own_code(endpoint: Endpoint, calls: QueryCalls, wrapping: str) -> None:
    endpoint.answer = answering(wrapping.format("<Error><Code>Throttling</Code><Message>x</Message></Error>"), 400)

    failure = await failed(calls, endpoint.url)

    assert (failure.code, failure.status, failure.maybe_done) == ("Throttling", 400, False)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("", 200),
        ("not XML", 200),
        ("<a><b></a>", 200),
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', 200),
        ("<a>" * 20 + "</a>" * 20, 200),
        ("<\0a\0/\0>\0", 200),  # well-formed UTF-16
        ("<a>" + "<b/>" * 5000 + "</a>", 200),
        ("Bad Gateway", 502),
        ("<ErrorResponse><Error><Code>no code &#10; at all</Code></Error></ErrorResponse>", 500),
        ("<ErrorResponse><Error><Code>A</Code></Error><Error><Code>B</Code></Error></ErrorResponse>", 400),
        ("x" * (MAX_ANSWER_BYTES + 1), 200),
    ],
)
async def test_what_is_no_answer_of_awss_leaves_open_whether_it_was_done(
    endpoint: Endpoint, calls: QueryCalls, text: str, status: int
) -> None:
    endpoint.answer = answering(text, status)

    assert (await failed(calls, endpoint.url)).maybe_done


async def test_a_redirect_is_not_followed(endpoint: Endpoint, calls: QueryCalls) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": endpoint.url})

    endpoint.answer = answer

    assert (await failed(calls, endpoint.url)).maybe_done
    assert len(endpoint.forms) == 1


async def test_a_call_ends_with_its_deadline(endpoint: Endpoint, calls: QueryCalls) -> None:
    asked = asyncio.Event()

    async def answer(_: web.Request) -> web.StreamResponse:
        asked.set()
        await asyncio.sleep(60)
        raise AssertionError("the caller waited")

    endpoint.answer = answer

    assert (await failed(calls, endpoint.url, seconds=0.2)).maybe_done
    assert asked.is_set()


async def test_after_its_deadline_nothing_is_sent(endpoint: Endpoint, calls: QueryCalls) -> None:
    failure = await failed(calls, endpoint.url, seconds=0)

    assert not failure.maybe_done
    assert endpoint.forms == []


async def test_without_a_connection_nothing_was_done(calls: QueryCalls) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        failure = await failed(calls, f"http://127.0.0.1:{held.getsockname()[1]}")

    assert not failure.maybe_done


async def test_no_failure_shows_a_key(endpoint: Endpoint, calls: QueryCalls, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    endpoint.answer = answering(f"{SECRET} {TOKEN}", 500)

    shown = [repr(KEYS)]
    for url in (endpoint.url, "http://127.0.0.1:1"):
        failure = await failed(calls, url)
        shown += [repr(failure), str(failure), repr(failure.__cause__), repr(failure.__context__)]

    assert not [text for text in (*shown, caplog.text) if SECRET in text or TOKEN in text]


@pytest.mark.parametrize("region", REGIONS)
def test_iam_and_ec2_are_asked_where_botocore_asks_them(region: str) -> None:
    session = botocore.session.Session(session_vars={"profile": (None, None, None, None)})

    for service in (iam_of(region), ec2_of(region)):
        url, signed_for = place_that_botocore_asks(session, service.name, region)
        assert (service.url, service.region) == (url, signed_for)


def place_that_botocore_asks(session: botocore.session.Session, name: str, region: str) -> tuple[str, str]:
    """Returns URL and signing region of a call, which is not sent."""
    client: Any = session.create_client(name, region_name=region, aws_access_key_id="x", aws_secret_access_key="y")
    seen = []

    def before_send(request: object, **_: object) -> None:
        seen.append(getattr(request, "url", ""))
        raise StopIteration

    client.meta.events.register("before-send", before_send)
    signed_for = []
    client.meta.events.register("before-sign", lambda region_name, **_: signed_for.append(region_name))
    with pytest.raises(StopIteration):
        (client.get_user if name == "iam" else client.describe_regions)()
    return seen[0].rstrip("/"), signed_for[0]
