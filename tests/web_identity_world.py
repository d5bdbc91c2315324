"""A gateway's own issuer in a folder, and the adapter that asks the fake STS with its tokens."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fake_sts import FEDERATED, FakeRole, FakeSts
from tests.fake_sts_tokens import FakeProvider
from tests.signing_key_files import Key, put_key
from tests.sts_log import LOG, Ceiling
from tests.sts_orders import CLOCK, Pauses, a_role, an_order, settings_for
from tests.token_forge import ec_key, rsa_key

from remit_server.adapters.aws.sts_calls import StsCalls
from remit_server.adapters.aws.web_identity import WebIdentitySts
from remit_server.adapters.issuer.signing_keys import SigningKeys
from remit_server.adapters.system_clock import system_entropy
from remit_server.config.settings import OwnIssuerSettings
from remit_server.domain.credentials import SessionOrder, StsSession
from remit_server.domain.entitlement import AssumedBy, Role

URL = "https://remit.acme.example"
DISCOVERY, KEY_SET = "/.well-known/openid-configuration", "/.well-known/jwks.json"


@dataclass(frozen=True)
class IssuerFolder:
    """The key files of an issuer; made with the active key alone."""

    folder: Path
    url: str = URL

    @classmethod
    def create(cls, folder: Path, key: Key | None = None, url: str = URL) -> "IssuerFolder":
        made = cls(folder, url)
        put_key(made.active, key or ec_key())
        return made

    @property
    def active(self) -> Path:
        return self.folder / "active.pem"

    @property
    def coming(self) -> Path:
        return self.folder / "next.pem"

    @property
    def previous(self) -> Path:
        return self.folder / "previous.pem"

    @property
    def settings(self) -> OwnIssuerSettings:
        return OwnIssuerSettings(self.url, self.active, self.coming, self.previous)

    def keys(self) -> SigningKeys:
        return SigningKeys.read(self.settings)


def key_ids(keys: SigningKeys) -> set[str]:
    """Returns the ids of the published keys."""
    return {key["kid"] for key in json.loads(keys.documents[KEY_SET]())["keys"]}


def a_web_role(**changes: Any) -> Role:
    """Returns the role of the reports, which trusts the gateway's issuer."""
    return a_role(**{"assumed_by": AssumedBy.WEB_IDENTITY, **changes})


def a_fake_role(role: Role, **changes: Any) -> FakeRole:
    """Returns the role at the fake STS, whose trust policy pins the role's own subject."""
    return FakeRole(role.arn, **{"trusts": FEDERATED, "subject": role.web_identity_subject, **changes})


@dataclass(slots=True)
class Presenter:
    """The adapter at the fake STS."""

    sts: FakeSts
    adapter: WebIdentitySts
    keys: SigningKeys
    pauses: Pauses

    async def __call__(self, order: SessionOrder | None = None, *, within: float = 10.0) -> StsSession:
        """Places the order with a deadline that many seconds away."""
        return await self.adapter(order or an_order(a_web_role()), deadline=CLOCK.monotonic() + within)


@asynccontextmanager
async def presenting(
    folder: Path,
    *roles: Role,
    key: Key | None = None,
    fake: dict[str, Any] | None = None,
    fake_roles: tuple[FakeRole, ...] | None = None,
    clock: Any = CLOCK,
    **changes: Any,
) -> AsyncIterator[Presenter]:
    """Runs a fake STS whose account has the issuer as its provider, and the adapter that calls it."""
    keys = IssuerFolder.create(folder, key or rsa_key()).keys()
    known = roles or (a_web_role(),)
    for role in known:
        LOG.configure(role.arn, Ceiling(role.ceiling.text, tuple(str(action) for action in role.reopened)))
    provider = FakeProvider(URL, keys.documents[KEY_SET])
    fakes = tuple(a_fake_role(role) for role in known) if fake_roles is None else fake_roles
    async with FakeSts(fakes, **{"provider": provider, **(fake or {})}) as sts:
        pauses = Pauses()
        calls = StsCalls(settings_for(sts.url, **changes), clock=CLOCK, pause=pauses, jitter=lambda: 1.0)
        adapter = WebIdentitySts(known, keys, clock=clock, entropy=system_entropy, calls=calls)
        try:
            yield Presenter(sts, adapter, keys, pauses)
        finally:
            await calls.close()
