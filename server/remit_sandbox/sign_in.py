"""The ways in which people sign in at the local issuer: authorization code with PKCE, and the device flow.

For public clients, with refresh tokens that rotate. Whoever has the sandbox's password may be anybody.
"""

import base64
import hashlib
import hmac
import html
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlencode

from aiohttp import web

T = TypeVar("T")
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
INTERVAL = 1  # seconds between two polls
CODE_LIFETIME = 60
DEVICE_LIFETIME = 600
_MOST_KEPT = 1000
_CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_LOOPBACK = re.compile(
    r"http://(?:127\.0\.0\.1|localhost|\[::1\]):[0-9]{1,5}/[A-Za-z0-9/_-]{0,64}", re.ASCII
)  # RFC 8252, 7.3
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_HEADERS = {"Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
_PAGE = """<!doctype html><title>remit sandbox</title><h1>Sign in to the sandbox</h1>
<form method="post">{code}<p><label>Who <input name="user"></label> (one of {people})
<p><label>The sandbox's password <input name="password" type="password"></label>
<p><button name="answer" value="allow">Allow</button> <button name="answer" value="deny">Deny</button></form>"""


MakeTokens = Callable[[str, str, str | None], Mapping[str, object]]
"""Makes the tokens of a sign-in for a user, a client and the nonce, if one was sent."""


@dataclass(slots=True)
class _Code:
    client_id: str
    redirect_uri: str
    challenge: str
    nonce: str | None
    user: str
    end: float


@dataclass(slots=True)
class _Device:
    client_id: str
    user_code: str
    end: float
    next_poll: float
    user: str | None = None
    is_denied: bool = False


@dataclass(slots=True)
class SignIns:
    """Keeps what is under way, in memory; `clock` returns seconds since the epoch."""

    url: Callable[[], str]
    password: str
    people: Iterable[str]
    tokens: MakeTokens
    clock: Callable[[], float]
    _codes: dict[str, _Code] = field(default_factory=dict)
    _devices: dict[str, _Device] = field(default_factory=dict)
    _refresh: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add_to(self, application: web.Application) -> None:
        """Adds the pages and endpoints."""
        application.router.add_get("/authorize", self._show_authorize)
        application.router.add_post("/authorize", self._authorize)
        application.router.add_post("/device_authorization", self._start_device)
        application.router.add_get("/device", self._show_device)
        application.router.add_post("/device", self._decide_device)

    def metadata(self) -> dict[str, object]:
        """Returns what the discovery document says of them."""
        return {
            "authorization_endpoint": f"{self.url()}/authorize",
            "device_authorization_endpoint": f"{self.url()}/device_authorization",
            "grant_types_supported": ["authorization_code", "refresh_token", DEVICE_GRANT],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "authorization_response_iss_parameter_supported": True,
        }

    def exchange(self, form: Mapping[str, str]) -> web.Response:
        """Answers a public client at the token endpoint."""
        match form.get("grant_type"):
            case "authorization_code":
                return self._exchange_code(form)
            case "refresh_token":
                return self._exchange_refresh_token(form)
            case grant if grant == DEVICE_GRANT:
                return self._exchange_device_code(form)
            case _:
                return _error("unsupported_grant_type")

    async def _show_authorize(self, request: web.Request) -> web.Response:
        self._check_authorize(request.query)
        return self._page()

    async def _authorize(self, request: web.Request) -> web.Response:
        query = request.query
        self._check_authorize(query)
        user = await self._user(request)
        answer = {"state": query.get("state", ""), "iss": self.url()}
        if user is None:
            answer["error"] = "access_denied"
        else:
            answer["code"] = _kept(
                self._codes,
                _Code(
                    query["client_id"], query["redirect_uri"], query["code_challenge"], query.get("nonce"), user,
                    self.clock() + CODE_LIFETIME,
                ),
            )  # fmt: skip
        raise web.HTTPFound(f"{query['redirect_uri']}?{urlencode(answer)}", headers=_HEADERS)

    def _check_authorize(self, query: Mapping[str, str]) -> None:
        """Refuses, without a redirect, what is no request of a public client on this machine."""
        is_good = (
            query.get("response_type") == "code"
            and query.get("code_challenge_method") == "S256"
            and _CLIENT_ID.fullmatch(query.get("client_id", ""))
            and _LOOPBACK.fullmatch(query.get("redirect_uri", ""))
            and _CHALLENGE.fullmatch(query.get("code_challenge", ""))
        )
        if not is_good:
            raise web.HTTPBadRequest(text="a code with PKCE (S256) for a client with a loopback redirect, or nothing")

    async def _user(self, request: web.Request) -> str | None:
        """Returns who allows it, None for a deny; refuses another password and an unknown person."""
        form = await request.post()
        password, user = form.get("password"), form.get("user")
        if not isinstance(password, str) or not hmac.compare_digest(password.encode(), self.password.encode()):
            raise web.HTTPForbidden(text="that is not the sandbox's password")
        if form.get("answer") == "deny":
            return None
        if not isinstance(user, str) or user not in self.people:
            raise web.HTTPForbidden(text=f"there are {', '.join(self.people)}")
        return user

    def _page(self, code: str | None = None) -> web.Response:
        entered = "" if code is None else f'<p><label>Code <input name="user_code" value="{html.escape(code)}"></label>'
        text = _PAGE.format(code=entered, people=", ".join(self.people))
        return web.Response(text=text, content_type="text/html", headers=_HEADERS)

    async def _start_device(self, request: web.Request) -> web.Response:
        form = await request.post()
        client_id = form.get("client_id")
        if not isinstance(client_id, str) or not _CLIENT_ID.fullmatch(client_id):
            return _error("invalid_client")
        user_code = "-".join("".join(secrets.choice("BCDFGHJKLMNPQRSTVWXZ") for _ in range(4)) for _ in range(2))
        now = self.clock()
        device_code = _kept(self._devices, _Device(client_id, user_code, now + DEVICE_LIFETIME, now))
        answer = {
            "device_code": device_code,
            "user_code": user_code,
            "verification_uri": f"{self.url()}/device",
            "verification_uri_complete": f"{self.url()}/device?user_code={user_code}",
            "expires_in": DEVICE_LIFETIME,
            "interval": INTERVAL,
        }
        return web.json_response(answer, headers=_HEADERS)

    async def _show_device(self, request: web.Request) -> web.Response:
        return self._page(request.query.get("user_code", ""))

    async def _decide_device(self, request: web.Request) -> web.Response:
        user = await self._user(request)
        code = (await request.post()).get("user_code")
        device = next((one for one in self._devices.values() if one.user_code == code and one.end > self.clock()), None)
        if device is None:
            raise web.HTTPForbidden(text="there is no such code, or no longer")
        device.user, device.is_denied = user, user is None
        return web.Response(text="go back to your terminal", headers=_HEADERS)

    def _exchange_code(self, form: Mapping[str, str]) -> web.Response:
        code = self._codes.pop(form.get("code", ""), None)
        verifier = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        is_good = (
            code is not None
            and code.end > self.clock()
            and (code.client_id, code.redirect_uri) == (form.get("client_id"), form.get("redirect_uri"))
            and code.challenge == base64.urlsafe_b64encode(verifier).rstrip(b"=").decode()
        )
        return self._given(code.user, code.client_id, code.nonce) if code and is_good else _error("invalid_grant")

    def _exchange_device_code(self, form: Mapping[str, str]) -> web.Response:
        key, now = form.get("device_code", ""), self.clock()
        device = self._devices.get(key)
        if device is None or device.client_id != form.get("client_id"):
            return _error("invalid_grant")
        if device.end <= now or device.is_denied or device.user is not None:
            del self._devices[key]
        if device.end <= now:
            return _error("expired_token")
        if device.is_denied:
            return _error("access_denied")
        if device.user is not None:
            return self._given(device.user, device.client_id, None)
        is_hasty, device.next_poll = now < device.next_poll, now + INTERVAL * 0.9
        return _error("slow_down" if is_hasty else "authorization_pending")

    def _exchange_refresh_token(self, form: Mapping[str, str]) -> web.Response:
        owner = self._refresh.get(form.get("refresh_token", ""))
        if owner is None or owner[1] != form.get("client_id"):
            return _error("invalid_grant")
        del self._refresh[form["refresh_token"]]  # it rotates
        return self._given(*owner, None)

    def _given(self, user: str, client_id: str, nonce: str | None) -> web.Response:
        refresh_token = _kept(self._refresh, (user, client_id))
        return web.json_response(
            {**self.tokens(user, client_id, nonce), "refresh_token": refresh_token}, headers=_HEADERS
        )


def _kept(where: dict[str, T], value: T) -> str:
    """Keeps a value under a secret name, instead of the oldest where there are too many; returns the name."""
    name = secrets.token_urlsafe(32)
    where[name] = value
    while len(where) > _MOST_KEPT:
        del where[next(iter(where))]
    return name


def _error(code: str) -> web.Response:
    return web.json_response({"error": code}, status=400, headers=_HEADERS)
