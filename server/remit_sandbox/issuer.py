"""A local OpenID Connect issuer over TLS, so that a laptop needs no account anywhere.

It vouches for the people of the sandbox without asking them for a password of their own: whoever holds the
sandbox's one password may be anybody in it. It is part of the sandbox only.
"""

import asyncio
import base64
import binascii
import hmac
import re
import secrets
import ssl
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from enum import Enum
from typing import Any, Final, Literal, Self

from aiohttp import web

from remit_sandbox import token_exchange
from remit_sandbox.certificates import KeyPair
from remit_sandbox.errors import SandboxError
from remit_sandbox.people import PEOPLE, Person
from remit_sandbox.sign_in import SignIns
from remit_sandbox.signing_keys import Algorithm, SigningKeys

HOST = "127.0.0.1"
AUDIENCE = "remit"
OPERATORS = "remit-operators"  # the client by which operators sign in, and the audience of their tokens
TOKEN_LIFETIME = timedelta(minutes=30)
_LARGEST_FORM = 4096
_CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_PASSWORD_USER = "sandbox"  # noqa: S105 (the user name that goes with the password)


class _Absent(Enum):
    ABSENT = "absent"


ABSENT: Final[Literal[_Absent.ABSENT]] = _Absent.ABSENT
"""Given as a claim's value, it leaves the claim out of the token."""


class LocalIssuer:
    """An issuer that lives as long as its `async with` block; its `url` is the `iss` of its tokens.

    `certificate` must be good for 127.0.0.1. `password` guards the token endpoint; a random one is made
    unless given. `clock` returns seconds since the epoch.
    """

    def __init__(
        self,
        certificate: KeyPair,
        *,
        port: int = 0,
        people: Iterable[Person] = PEOPLE,
        password: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.password: Final = password or secrets.token_urlsafe(24)
        self._certificate = certificate
        self._port = port
        self._people: Final[Mapping[str, Person]] = {person.subject: person for person in people}
        self._clock = clock
        self._keys: SigningKeys | None = None
        self._sign_ins = SignIns(lambda: self.url, self.password, self._people, self._of_a_sign_in, clock)
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        self._keys = await asyncio.to_thread(SigningKeys.generate)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._certificate.certificate_path, self._certificate.key_path)
        runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, self._port, ssl_context=context).start()
        except OSError as error:
            await runner.cleanup()
            raise SandboxError(f"the local issuer cannot listen on {HOST}:{self._port}: {error.strerror}") from error
        self._runner = runner
        self._port = int(runner.addresses[0][1])
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def url(self) -> str:
        """The issuer identifier, known once the issuer listens."""
        if not self._port:
            raise SandboxError("the local issuer has no address before it is started: use `async with`")
        return f"https://{HOST}:{self._port}"

    def token(
        self,
        subject: str,
        *,
        client_id: str,
        groups: Iterable[str] | None = None,
        audience: str | list[str] = AUDIENCE,
        lifetime: timedelta = TOKEN_LIFETIME,
        algorithm: Algorithm = "RS256",
        headers: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """Returns a person's token for use by the client `client_id` (its `azp`).

        Groups and email are those of the table of people unless given. Any further claim replaces the usual
        one, also `iss` or `exp`; ABSENT leaves it out.
        """
        person = self._people.get(subject, Person(subject, f"{subject}@example.test", ()))
        usual = {
            **self._common(subject, audience, lifetime),
            "azp": client_id,
            "auth_time": int(self._clock()),
            "email": person.email,
            "groups": list(person.groups if groups is None else groups),
        }
        return self._sign({**usual, **claims}, algorithm, headers)

    def agent_token(
        self,
        client_id: str,
        *,
        audience: str | list[str] = AUDIENCE,
        lifetime: timedelta = TOKEN_LIFETIME,
        algorithm: Algorithm = "RS256",
        headers: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """Returns an agent's own token, with which it authenticates itself; further claims as in `token`."""
        usual = {**self._common(client_id, audience, lifetime), "azp": client_id, "client_id": client_id}
        return self._sign({**usual, **claims}, algorithm, headers)

    def signed(self, claims: Mapping[str, Any]) -> str:
        """Returns a token with these claims and no others, as another issuer of its keys would write it."""
        return self._sign(claims, "RS256", None)

    def operator_token(self, subject: str, **more: Any) -> str:
        """Returns a person's token for the gateway's security side; further arguments as in `token`."""
        return self.token(subject, **{"client_id": OPERATORS, "audience": OPERATORS, **more})

    def _common(self, subject: str, audience: str | list[str], lifetime: timedelta) -> dict[str, Any]:
        now = int(self._clock())
        expiry = now + int(lifetime.total_seconds())
        return {
            "iss": self.url,
            "sub": subject,
            "aud": audience,
            "iat": now,
            "exp": expiry,
            "jti": str(uuid.uuid4()),
        }

    def _sign(self, claims: Mapping[str, Any], algorithm: Algorithm, headers: Mapping[str, Any] | None) -> str:
        if self._keys is None:
            raise SandboxError("the local issuer has no keys before it is started: use `async with`")
        present = {name: value for name, value in claims.items() if value is not ABSENT}
        return self._keys.sign(present, algorithm, headers or {})

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=_LARGEST_FORM)
        application.router.add_get("/.well-known/openid-configuration", self._serve_discovery)
        application.router.add_get("/jwks", self._serve_key_set)
        application.router.add_post("/token", self._serve_token)
        self._sign_ins.add_to(application)
        return application

    def _of_a_sign_in(self, user: str, client_id: str, nonce: str | None) -> Mapping[str, object]:
        """Returns an ID token for the client that the person signed in at, and an access token for the gateway."""
        sent = ABSENT if nonce is None else nonce
        return {
            "id_token": self.token(user, client_id=client_id, audience=client_id, nonce=sent),
            "access_token": self.token(user, client_id=client_id),
            "token_type": "Bearer",
            "expires_in": int(TOKEN_LIFETIME.total_seconds()),
        }

    async def _serve_discovery(self, _: web.Request) -> web.Response:
        document = {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/jwks",
            "token_endpoint": f"{self.url}/token",
            "response_types_supported": ["id_token", "code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256"],
            "claims_supported": ["sub", "email", "groups", "auth_time"],
            **self._sign_ins.metadata(),
        }
        return web.json_response(document, headers={"Cache-Control": "max-age=300"})

    async def _serve_key_set(self, _: web.Request) -> web.Response:
        if self._keys is None:
            raise web.HTTPServiceUnavailable
        return web.json_response(self._keys.key_set(), headers={"Cache-Control": "max-age=300"})

    async def _serve_token(self, request: web.Request) -> web.Response:
        """Answers a public client with the tokens of a sign-in, and whoever has the password with any."""
        sent = await request.post()
        if "grant_type" in sent:
            form = {name: value for name, value in sent.items() if isinstance(value, str)}
            if form["grant_type"] == token_exchange.GRANT:
                return self._exchanged(form, request.headers.get("Authorization", ""))
            return self._sign_ins.exchange(form)
        return await self._serve_any_token(request)

    def _exchanged(self, form: Mapping[str, str], authorization: str) -> web.Response:
        """Answers a server that holds a person's access token with one for another audience (RFC 8693)."""
        client_id = token_exchange.client_of(authorization, self.password)
        if client_id is None or self._keys is None:
            return _refusal(401, "invalid_client", "sign in as the client with the sandbox's password")
        person = token_exchange.person_of(form, issuer=self.url, key_set=self._keys.key_set())
        if person is None or person not in self._people:
            return _refusal(400, "invalid_grant", "that is no access token of a person of the sandbox")
        answer = {
            "access_token": self.token(person, client_id=client_id, audience=form.get("audience", AUDIENCE)),
            "issued_token_type": token_exchange.ACCESS_TOKEN,
            "token_type": "Bearer",
            "expires_in": int(TOKEN_LIFETIME.total_seconds()),
        }
        return web.json_response(answer, headers={"Cache-Control": "no-store"})

    async def _serve_any_token(self, request: web.Request) -> web.Response:
        """Answers with a person's token (`user`, `client_id`) or an agent's own (`client_id` alone)."""
        if not _carries(request.headers.get("Authorization", ""), self.password):
            challenge = {"WWW-Authenticate": 'Basic realm="remit sandbox"'}
            return _refusal(
                401, "invalid_client", f"sign in as {_PASSWORD_USER} with the sandbox's password", challenge
            )
        form = await request.post()
        values = {name: value for name, value in form.items() if isinstance(value, str)}
        client_id, user = values.get("client_id", ""), values.get("user")
        if len(values) != len(form) or not values.keys() <= {"client_id", "user"}:
            return _refusal(400, "invalid_request", "give `client_id` and `user` once each, and nothing else")
        if not _CLIENT_ID.fullmatch(client_id):
            return _refusal(400, "invalid_request", "`client_id` must be 1 to 64 letters, digits, dots, _ or -")
        if user is not None and user not in self._people:
            return _refusal(400, "invalid_grant", f"`user` must be one of: {', '.join(self._people)}")
        audience = OPERATORS if client_id == OPERATORS else AUDIENCE
        token = (
            self.agent_token(client_id) if user is None else self.token(user, client_id=client_id, audience=audience)
        )
        no_store = {"Cache-Control": "no-store"}
        if request.headers.get("Accept") == "text/plain":
            return web.Response(text=token, headers=no_store)
        answer = {
            "access_token" if user is None else "id_token": token,
            "token_type": "Bearer",
            "expires_in": int(TOKEN_LIFETIME.total_seconds()),
        }
        return web.json_response(answer, headers=no_store)


def _carries(authorization: str, password: str) -> bool:
    """Says whether the header is the Basic scheme (RFC 7617) with the sandbox's password."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        given = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return False
    return scheme.lower() == "basic" and hmac.compare_digest(given, f"{_PASSWORD_USER}:{password}".encode())


def _refusal(status: int, error: str, description: str, headers: Mapping[str, str] | None = None) -> web.Response:
    body = {"error": error, "error_description": description}
    return web.json_response(body, status=status, headers={"Cache-Control": "no-store", **(headers or {})})
