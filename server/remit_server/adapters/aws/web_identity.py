"""Asks AWS STS for sessions as an OIDC issuer (the port `AssumeRole`): no AWS keys, and no role chaining."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from remit_server.adapters.aws.sigv4 import FORM
from remit_server.adapters.aws.sts_calls import StsCalls
from remit_server.adapters.aws.sts_failures import Failure
from remit_server.adapters.aws.sts_protocol import MalformedAnswer, encoded, order_form, read_xml, session_in
from remit_server.adapters.aws.web_identity_failures import web_identity_refused
from remit_server.adapters.aws.web_identity_token import AUDIENCE, Signer, token_for
from remit_server.application.ports import AssumeRole, Clock, Entropy
from remit_server.domain.aws_names import role_arn_of
from remit_server.domain.credentials import SessionOrder, StsSession
from remit_server.domain.entitlement import AssumedBy, Role

_RESULT: Final = "AssumeRoleWithWebIdentityResponse/AssumeRoleWithWebIdentityResult"
_TOKEN_ID_BYTES: Final = 16


class Issuer(Protocol):
    """The gateway as an OIDC issuer."""

    @property
    def url(self) -> str:
        """Its `iss`."""
        ...

    @property
    def active(self) -> Signer:
        """The key that signs now."""
        ...


class WebIdentitySts:
    """Implements `AssumeRole` for the roles that trust the gateway's own issuer, and for no others."""

    def __init__(
        self, roles: Iterable[Role], issuer: Issuer, *, clock: Clock, entropy: Entropy, calls: StsCalls
    ) -> None:
        self._roles = {role.arn: role for role in roles if role.assumed_by is AssumedBy.WEB_IDENTITY}
        self._issuer = issuer
        self._clock = clock
        self._entropy = entropy
        self._calls = calls

    async def __call__(self, order: SessionOrder, /, *, deadline: float) -> StsSession:
        """Returns the session; see the port for what it raises.

        Raises ValueError, before anything is sent, for an order that must not be sent.
        """
        if self._roles.get(order.role.arn) != order.role:
            # NOTE: the last gate before AWS trusts nobody about which role (8-threats.md A5).
            raise ValueError("not a role of this gateway's configuration that is assumed by web identity")
        form = order_form("AssumeRoleWithWebIdentity", order)
        token = await token_for(
            order,
            issuer=self._issuer.url,
            signer=self._issuer.active,
            now=self._clock.now(),
            token_id=self._entropy(_TOKEN_ID_BYTES).hex(),
        )
        body = encoded([*form, ("WebIdentityToken", token.reveal())])
        return await self._calls(_Presented(order, self._issuer.url, body), deadline=deadline)


@dataclass(frozen=True, slots=True)
class _Presented:
    """An order that is asked for by presenting a token; the one token, which outlives every attempt."""

    order: SessionOrder
    issuer: str
    body: bytes = field(repr=False)

    async def headers(self, url: str, deadline: float) -> dict[str, str]:
        """Returns the headers of an unsigned call."""
        del url, deadline
        return {"content-type": FORM}

    def session(self, answer: bytes, now: datetime) -> StsSession:
        """Returns the session that the answer proves; raises MalformedAnswer, also where it is about another token."""
        texts = read_xml(answer)
        role = role_arn_of(self.order.role.arn)
        host = self.issuer.removeprefix("https://")
        # STS API reference: the value of `iss`; seen at AWS is the ARN of IAM's provider.
        providers = {self.issuer, f"arn:{role.partition}:iam::{role.account}:oidc-provider/{host}"}
        if texts.get(f"{_RESULT}/SubjectFromWebIdentityToken") != self.order.role.web_identity_subject:
            raise MalformedAnswer("it is about another subject")
        if texts.get(f"{_RESULT}/Provider") not in providers:
            raise MalformedAnswer("it is about another provider")
        if texts.get(f"{_RESULT}/Audience", AUDIENCE) != AUDIENCE:
            raise MalformedAnswer("it is about another audience")
        return session_in(texts, _RESULT, self.order, now)

    def refused(self, status: int, code: str | None) -> Failure:
        """Returns what a refusal of the token or the order means."""
        return web_identity_refused(status, code)

    def may_help(self, failure: Failure) -> bool:
        """Returns False: there is nothing else to present."""
        del failure
        return False


@dataclass(frozen=True, slots=True)
class ByRole:
    """Implements `AssumeRole`: each role's sessions are asked for in the way that its configuration names."""

    signed: AssumeRole
    presented: AssumeRole

    async def __call__(self, order: SessionOrder, /, *, deadline: float) -> StsSession:
        """Returns the session; see the port for what it raises."""
        is_presented = order.role.assumed_by is AssumedBy.WEB_IDENTITY
        return await (self.presented if is_presented else self.signed)(order, deadline=deadline)
