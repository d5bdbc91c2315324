"""A strict STS on loopback: it exists because the local AWS checks less than AWS does, and cannot fail on command.

It speaks the query protocol over real HTTP, verifies every signature with botocore, keeps a log of every request, and
can be told to throttle, break, hang, reset after the work is done, or answer rubbish.
"""

import asyncio
import secrets
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from aiohttp import web
from tests.fake_sts_rules import (
    Refused,
    check_names,
    check_policy,
    check_transitive,
    duration_of,
    packed_percent,
    tags_of,
    verify_signature,
)
from tests.fake_sts_tokens import FakeProvider, as_parameters, verified_claims
from tests.sts_log import LOG

ACCESS_KEY_ID: Final = "AKIAFAKEGATEWAY00001"
SECRET_ACCESS_KEY: Final = "made-up-gateway-secret-for-the-fake-sts"
NAMESPACE: Final = "https://sts.amazonaws.com/doc/2011-06-15/"
STRAIGHT: Final = "x-straight-from-a-test"
"""A header by which a test says that it sends a bad order by itself, to see it refused: nothing else excuses one."""

FULL_PERCENT: Final = 100
ACTIONS: Final = frozenset({"AssumeRole", "AssumeRoleWithWebIdentity"})
TRUSTED: Final = frozenset({"sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"})
FEDERATED: Final = frozenset({"sts:AssumeRoleWithWebIdentity", "sts:TagSession", "sts:SetSourceIdentity"})


@dataclass(frozen=True, slots=True)
class FakeRole:
    """A role of the fake account. `chained` limits sessions to an hour whatever `max_session_seconds` says.

    `trusts` are the actions that its trust policy allows the gateway; it also wants a source identity. With `subject`
    it trusts tokens of the account's OIDC provider with that `sub`, and nobody who signs with keys.
    """

    arn: str
    max_session_seconds: int = 3600
    chained: bool = True
    external_id: str | None = None
    trusts: Collection[str] = TRUSTED
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class Issued:
    """A session that the fake made; whether anyone heard of it is another matter."""

    access_key_id: str
    secret_access_key: str
    session_token: str
    expire_time: datetime


@dataclass(slots=True)
class Request:
    """One request as it came, header names in lower case.

    `outcome` is the error code, `issued`, or the name of the fault that it met; `refused` is for what the fake itself
    found wrong with it.
    """

    form: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    tags: Mapping[str, str] = field(default_factory=dict)
    outcome: str = "unanswered"
    refused: bool = False
    issued: Issued | None = None

    @property
    def policy(self) -> str:
        """The session policy exactly as it was sent."""
        return self.form.get("Policy", "")


Fault = Callable[["FakeSts", web.Request, Request], Awaitable[web.StreamResponse]]


class FakeSts:
    """One STS endpoint. `plan(*faults)` sets what happens to the next requests, a fault each; then it behaves again.

    `provider` is the account's OIDC provider, of which each token is verified,
    `inherited` are transitive tags of the caller's own session, `expired_tokens` session tokens whose time is over,
    `disabled_regions` regions that the account has switched off. Every request goes to the log of invariant I3.
    """

    def __init__(
        self,
        roles: tuple[FakeRole, ...],
        *,
        keys: Mapping[str, str] | None = None,
        packed_percent: Callable[[Request], int] = lambda request: packed_percent(request.policy, request.tags),
        inherited: Collection[str] = (),
        expired_tokens: Collection[str] = (),
        disabled_regions: Collection[str] = (),
        tls: ssl.SSLContext | None = None,
        provider: FakeProvider | None = None,
    ) -> None:
        self.provider = provider
        self.roles = {role.arn: role for role in roles}
        self.keys = dict(keys or {ACCESS_KEY_ID: SECRET_ACCESS_KEY})
        self.packed_percent = packed_percent
        self.inherited, self.expired_tokens, self.disabled_regions = inherited, expired_tokens, disabled_regions
        self.tls = tls
        self.requests: list[Request] = []
        self.url = ""
        self.released = asyncio.Event()
        self.arrived = asyncio.Condition()
        self._faults: deque[Fault] = deque()
        self._runner: web.AppRunner | None = None

    @property
    def issued(self) -> list[Issued]:
        """Every session it made, heard of or not."""
        return [request.issued for request in self.requests if request.issued is not None]

    def plan(self, *faults: Fault) -> None:
        """Sets what happens to the next requests, in their order."""
        self._faults.extend(faults)

    async def wait_for_requests(self, count: int) -> None:
        """Returns once that many requests have come."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: len(self.requests) >= count)

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=1 << 20)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self.tls)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"{'https' if self.tls else 'http'}://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, http: web.Request) -> web.StreamResponse:
        body = await http.read()
        form = dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True))
        request = Request(form, {name.lower(): value for name, value in http.headers.items()}, body)
        self.requests.append(request)
        async with self.arrived:
            self.arrived.notify_all()
        try:
            if self._faults:
                return await self._faults.popleft()(self, http, request)
            return self.answer(http, request)
        finally:
            straight = STRAIGHT in request.headers and request.refused
            LOG.note(form, outcome=request.outcome, deliberate=straight)

    def answer(self, http: web.Request, request: Request) -> web.Response:
        """Does what STS would do."""
        try:
            answer = self._assume_role(http, request)
        except Refused as refused:
            request.outcome, request.refused = refused.code, True
            return error(refused.status, refused.code, refused.message)
        request.outcome = "issued"
        return xml(200, answer)

    def _assume_role(self, http: web.Request, request: Request) -> str:
        form = request.form
        if http.method != "POST" or http.path != "/" or http.query_string:
            raise Refused(404, "UnknownOperationException", "no such thing")
        if len(parse_qsl(request.body.decode("utf-8"), keep_blank_values=True)) != len(form):
            raise Refused(400, "MalformedInput", "A parameter stands twice")
        check_policy(form)
        action = form.get("Action")
        if action == "AssumeRoleWithWebIdentity" and "authorization" not in request.headers:
            claims = verified_claims(form, self.provider)
            form = as_parameters(form, claims)
        else:
            claims = {}
            self._check_signed(request)
        if action not in ACTIONS or form.get("Version") != "2011-06-15":
            raise Refused(400, "InvalidAction", "Could not find operation")
        check_names(form)
        request.tags = tags_of(form)
        check_transitive(form, request.tags, self.inherited)
        role = self._role(form, claims.get("sub"))
        chained = role.chained and role.subject is None
        duration = duration_of(form, longest=role.max_session_seconds, chained=chained)
        percent = self.packed_percent(request)
        if percent > FULL_PERCENT:
            message = f"Packed size of session tags consumes {percent}% of allotted space."
            raise Refused(400, "PackedPolicyTooLarge", message)
        request.issued = _make(duration)
        return _success(form, request.issued, percent, claims)

    def _check_signed(self, request: Request) -> None:
        """Verifies the signature of a call, and what its keys may do; raises Refused."""
        region = verify_signature(url=f"{self.url}/", headers=request.headers, body=request.body, keys=self.keys)
        if request.headers.get("x-amz-security-token") in self.expired_tokens:
            raise Refused(403, "ExpiredToken", "The security token included in the request is expired")
        if region in self.disabled_regions:
            raise Refused(403, "RegionDisabledException", f"STS is not activated in this region for account: {region}")

    def _role(self, form: Mapping[str, str], subject: str | None) -> FakeRole:
        """Returns the role that the caller may assume; a wrong external id is the same answer as an unknown role."""
        role = self.roles.get(form.get("RoleArn", ""))
        needed = {f"sts:{form['Action']}"} | ({"sts:TagSession"} if "Tags.member.1.Key" in form else set())
        needed |= {"sts:SetSourceIdentity"} if "SourceIdentity" in form else set()
        trusted = role is not None and role.external_id in (None, form.get("ExternalId")) and needed <= set(role.trusts)
        trusted = trusted and role is not None and role.subject == subject
        if role is None or not trusted or "SourceIdentity" not in form:
            raise Refused(403, "AccessDenied", "User: gateway is not authorized to perform: sts:AssumeRole on resource")
        return role


def _make(duration: int) -> Issued:
    key = "ASIA" + "".join(secrets.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") for _ in range(16))
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=duration)
    return Issued(key, secrets.token_urlsafe(30), secrets.token_urlsafe(200), end)


def _success(form: Mapping[str, str], issued: Issued, percent: int, claims: Mapping[str, Any]) -> str:
    _, partition, _, _, account, name = form["RoleArn"].split(":", 5)
    role, session = name.rsplit("/", 1)[-1], form["RoleSessionName"]
    action, about = form["Action"], ""
    if claims:
        provider = f"arn:{partition}:iam::{account}:oidc-provider/{claims['iss'].removeprefix('https://')}"
        about = (
            f"<SubjectFromWebIdentityToken>{escape(claims['sub'])}</SubjectFromWebIdentityToken>"
            f"<Audience>{escape(claims['aud'])}</Audience><Provider>{escape(provider)}</Provider>"
        )
    return (
        f'<{action}Response xmlns="{NAMESPACE}"><{action}Result>{about}'
        f"<AssumedRoleUser><AssumedRoleId>AROAFAKE:{escape(session)}</AssumedRoleId>"
        f"<Arn>arn:{partition}:sts::{account}:assumed-role/{role}/{escape(session)}</Arn></AssumedRoleUser>"
        f"<Credentials><AccessKeyId>{issued.access_key_id}</AccessKeyId>"
        f"<SecretAccessKey>{issued.secret_access_key}</SecretAccessKey>"
        f"<SessionToken>{issued.session_token}</SessionToken>"
        f"<Expiration>{issued.expire_time:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials>"
        f"<SourceIdentity>{escape(form['SourceIdentity'])}</SourceIdentity>"
        f"<PackedPolicySize>{percent}</PackedPolicySize></{action}Result>"
        "<ResponseMetadata><RequestId>c6104cbe-af31-11e0-8154-cbc7ccf896c7</RequestId></ResponseMetadata>"
        f"</{action}Response>"
    )


def xml(status: int, body: str) -> web.Response:
    """Returns an answer of STS's kind."""
    headers = {"x-amzn-RequestId": "c6104cbe-af31-11e0-8154-cbc7ccf896c7"}
    return web.Response(status=status, body=body.encode(), content_type="text/xml", headers=headers)


def error(status: int, code: str, message: str) -> web.Response:
    """Returns an error answer in STS's words."""
    return xml(
        status,
        f'<ErrorResponse xmlns="{NAMESPACE}"><Error><Type>Sender</Type><Code>{code}</Code>'
        f"<Message>{escape(message)}</Message></Error><RequestId>c6104cbe</RequestId></ErrorResponse>",
    )


def refusing(status: int, code: str, message: str = "as planned") -> Fault:
    """Answers with this error, having made nothing."""

    async def fault(_sts: FakeSts, _http: web.Request, request: Request) -> web.StreamResponse:
        request.outcome = code
        return error(status, code, message)

    return fault


def answering(status: int, body: str | bytes) -> Fault:
    """Answers with these bytes, having made nothing."""

    async def fault(_sts: FakeSts, _http: web.Request, request: Request) -> web.StreamResponse:
        request.outcome = f"planned {status}"
        return web.Response(status=status, body=body, headers={"Content-Type": "text/xml"})

    return fault


def rewriting(old: str, new: str) -> Fault:
    """Does the work and changes one text in the answer, as a broken or hostile endpoint would."""

    async def fault(sts: FakeSts, http: web.Request, request: Request) -> web.StreamResponse:
        answer = sts.answer(http, request)
        text = answer.text or ""
        assert old in text, "the planned change must apply"
        return web.Response(status=answer.status, body=text.replace(old, new).encode(), content_type="text/xml")

    return fault


throttling: Final = refusing(400, "Throttling", "Rate exceeded")


async def hanging(sts: FakeSts, http: web.Request, request: Request) -> web.StreamResponse:
    """Does the work, and answers nothing until `released` is set."""
    sts.answer(http, request)
    request.outcome = "hung"
    await sts.released.wait()
    return web.Response(status=500)


async def answering_late(sts: FakeSts, http: web.Request, request: Request) -> web.StreamResponse:
    """Does the work, and answers as it should once `released` is set."""
    answer = sts.answer(http, request)
    await sts.released.wait()
    return answer


async def mislabelled(sts: FakeSts, http: web.Request, request: Request) -> web.StreamResponse:
    """Does the work, and calls the right answer a web page."""
    answer = sts.answer(http, request)
    return web.Response(status=answer.status, body=answer.body, content_type="text/html")


async def resetting_before_the_work(_sts: FakeSts, http: web.Request, request: Request) -> web.StreamResponse:
    """Breaks the connection off having made nothing, which the other side cannot tell from the next one."""
    request.outcome = "reset"
    assert http.transport is not None
    http.transport.abort()
    return web.Response()


async def resetting_after_the_work(sts: FakeSts, http: web.Request, request: Request) -> web.StreamResponse:
    """Does the work and breaks the connection off: nobody learns of the credentials."""
    sts.answer(http, request)
    request.outcome = "reset"
    assert http.transport is not None
    http.transport.abort()
    return web.Response()


async def stopping_halfway(sts: FakeSts, http: web.Request, request: Request) -> web.StreamResponse:
    """Does the work and sends half of the answer."""
    whole = sts.answer(http, request).body
    assert isinstance(whole, bytes)
    response = web.StreamResponse(status=200, headers={"Content-Length": str(len(whole))})
    await response.prepare(http)
    await response.write(whole[: len(whole) // 2])
    request.outcome = "half"
    assert http.transport is not None
    http.transport.abort()
    return response
