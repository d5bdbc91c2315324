"""The surroundings of a broker under attack: two identity providers over TLS, and the strict STS of two accounts.

The providers publish one key each, under the same key id: whoever keeps keys by that id alone takes one for the other.
"""

import json
import ssl
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from aiohttp import web
from tests.attack.black_box.broker import AUDIENCE, HOME, PARTNER, WORLD, Scene
from tests.background_loop import Background
from tests.fake_sts import FakeRole, FakeSts, Request
from tests.sts_log import LOG, Ceiling
from tests.token_forge import forge, key_set, rsa_jwk, rsa_key

from remit_sandbox.certificates import Authority

KEY_ID: Final = "key-1"
LIFETIME_SECONDS: Final = 1800


class Provider:
    """An OIDC provider: a discovery document and a key set."""

    def __init__(self, name: str) -> None:
        self.url = ""
        self._key = rsa_key(name=name)
        self._runner: web.AppRunner | None = None

    async def start(self, context: ssl.SSLContext) -> None:
        """Listens on a free port of loopback."""
        application = web.Application()
        application.router.add_get("/.well-known/openid-configuration", self._discovery)
        application.router.add_get("/keys", self._keys)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context).start()
        self.url = f"https://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Listens no longer."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _discovery(self, _: web.Request) -> web.Response:
        return web.json_response({"issuer": self.url, "jwks_uri": f"{self.url}/keys"})

    async def _keys(self, _: web.Request) -> web.Response:
        published = rsa_jwk(self._key, kid=KEY_ID, use="sig", alg="RS256")
        return web.Response(body=key_set(published), content_type="application/json")


@contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    """Starts everything, and ends it with the block."""
    authority = Authority.create(folder / "authority")
    pair = authority.issue_server(["localhost", "127.0.0.1"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate_path, pair.key_path)
    providers = {name: Provider(name) for name in (HOME, PARTNER)}
    sts = FakeSts(tuple(FakeRole(arn) for arn in WORLD.ceilings))
    with ExitStack() as stack:
        background = Background()
        stack.callback(background.stop)
        for provider in providers.values():
            background.run(provider.start(context))
            stack.callback(background.run, provider.stop())
        background.run(sts.__aenter__())
        stack.callback(lambda: background.run(sts.__aexit__(None, None, None)))

        def token(issuer: str, claims: Mapping[str, object]) -> str:
            now = int(time.time())
            usual = {"iss": providers[issuer].url, "aud": AUDIENCE, "iat": now, "exp": now + LIFETIME_SECONDS}
            payload = {**usual, "jti": str(uuid.uuid4()), **claims}
            return forge(payload, header={"kid": KEY_ID}, key=rsa_key(name=issuer))

        def sts_log() -> Sequence[Request]:
            return list(sts.requests)

        urls = {name: provider.url for name, provider in providers.items()}
        yield Scene(folder, authority, urls, sts.url, token, sts_log)


def ceiling_text(role: str) -> str:
    """Returns what the role itself allows, as IAM policy."""
    statements = [
        {"Effect": "Allow", "Action": action, "Resource": resource} for action, resource in WORLD.ceilings[role]
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def remember_ceilings() -> None:
    """Tells the log of invariant I3 what the running test's roles allow."""
    for role in WORLD.ceilings:
        LOG.configure(role, Ceiling(ceiling_text(role)))
