"""What each AWS account of a configuration has to hold: the one source of both templates."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from remit_server.adapters.aws.revoking.revoker import AccountPlace, RevocationNames, account_places
from remit_server.adapters.aws.setup.policies import (
    ByToken,
    Json,
    canary_rights,
    gateway_rights,
    revoker_rights,
    revoker_trust,
    role_trust,
)
from remit_server.application.revocation.texts import policy_text
from remit_server.domain.entitlement import AssumedBy, Role

CANARY_POLICY: Final = "remit-canary"
GATEWAY_POLICY: Final = "remit-gateway"
SHORTEST_MAX_SESSION: Final = 3_600  # of a role at AWS
LONGEST_INLINE: Final = 10_240  # characters of a role's inline policies together, white space excepted


@dataclass(frozen=True, slots=True)
class Given:
    """A value that whoever applies a template gives: `name` is that of the variable."""

    name: str
    what: str
    secret: bool = False


PROVIDER: Final = Given("oidc_provider", "The account's OIDC provider of the gateway's own issuer.")
GATEWAY: Final = Given("gateway_principal_arn", "The ARN of the gateway's own role or user.")


@dataclass(frozen=True, slots=True)
class RolePlan:
    """One Remit role. `ceiling` is its own policy, None where that is too long for an inline one."""

    name: str
    path: str
    trust: Json
    ceiling: Json | None
    max_session_seconds: int
    given: tuple[Given, ...]


@dataclass(frozen=True, slots=True)
class AccountPlan:
    """Everything of one account. `roles` come in the order of the configuration; canaries are of the first one.

    `given` are the values that are to be given, `issuer_url` is there where a role trusts the gateway's own issuer.
    """

    partition: str
    account: str
    names: RevocationNames
    policy_arns: tuple[str, ...]
    nothing: Json
    roles: tuple[RolePlan, ...]
    revoker_trust: Json
    revoker_rights: Json
    canary: Json
    given: tuple[Given, ...]
    issuer_url: str | None = None

    @property
    def policy_names(self) -> tuple[str, ...]:
        """The names of the revocation policies."""
        return tuple(arn.rpartition("/")[2] for arn in self.policy_arns)


@dataclass(frozen=True, slots=True)
class Plan:
    """The accounts in the order of their numbers, and what the gateway's own AWS identity is allowed.

    `gateway` is None where it needs none, because its tokens open every role.
    """

    accounts: tuple[AccountPlan, ...]
    gateway: Json | None


def plan_of(roles: Sequence[Role], names: RevocationNames, issuer_url: str | None = None) -> Plan:
    """Returns the plan of these roles, the same for the same configuration; `issuer_url` is the gateway's own issuer.

    Raises ValueError for a role that is opened by its tokens when there is no such issuer.
    """
    places = account_places(roles, names)
    accounts = tuple(
        _account(places[account], [role for role in roles if role.account == account], names, issuer_url)
        for account in sorted(places)
    )
    revokers = [place.revoker for place in places.values()]
    by_keys = _by_keys(roles)
    return Plan(accounts, gateway_rights(by_keys, _by_keys(revokers)) if by_keys else None)


def _by_keys(roles: Iterable[Role]) -> list[str]:
    """Returns the ARNs of the roles that the gateway opens with AWS keys of its own."""
    return [role.arn for role in roles if role.assumed_by is not AssumedBy.WEB_IDENTITY]


def _account(place: AccountPlace, roles: Sequence[Role], names: RevocationNames, issuer_url: str | None) -> AccountPlan:
    planned = tuple(_role(role, issuer_url) for role in roles)
    opened = (*roles, place.revoker)
    gateway = [GATEWAY] if _by_keys(opened) else []
    return AccountPlan(
        partition=place.partition,
        account=place.account,
        names=names,
        policy_arns=place.policy_arns,
        nothing=json.loads(policy_text([])),
        roles=planned,
        revoker_trust=revoker_trust(_opener(place.revoker, issuer_url)),
        revoker_rights=revoker_rights(place.policy_arns),
        canary=canary_rights(),
        given=tuple(dict.fromkeys([*gateway, *(one for role in planned for one in role.given)])),
        issuer_url=issuer_url if len(_by_keys(opened)) < len(opened) else None,
    )


def _opener(role: Role, issuer_url: str | None) -> Given | ByToken:
    """Returns whom the role trusts: the gateway's AWS identity, or its own issuer."""
    if role.assumed_by is not AssumedBy.WEB_IDENTITY:
        return GATEWAY
    if issuer_url is None:
        raise ValueError(f"{role.arn} is opened by tokens, and there is no own issuer")
    return ByToken(PROVIDER, issuer_url.removeprefix("https://"), role.web_identity_subject)


def _role(role: Role, issuer_url: str | None) -> RolePlan:
    path, _, name = role.arn.partition(":role/")[2].rpartition("/")
    external_id = Given(
        f"external_id_{identifier(name)}", f"What the gateway says as external id to {name}.", secret=True
    )
    given = (external_id,) if role.external_id is not None else ()
    text = role.ceiling.text
    return RolePlan(
        name=name,
        path=f"/{path}/" if path else "/",
        trust=role_trust(_opener(role, issuer_url), *given),
        ceiling=json.loads(text) if len(text) <= LONGEST_INLINE else None,
        max_session_seconds=max(SHORTEST_MAX_SESSION, int(role.max_session.total_seconds())),
        given=given,
    )


def identifier(name: str) -> str:
    """Returns the name as an identifier of Terraform: letters, digits and underscores, beginning with no digit."""
    plain = "".join(letter.lower() if letter.isascii() and letter.isalnum() else "_" for letter in name)
    return f"_{plain}" if plain[0].isdigit() else plain


def titled(name: str) -> str:
    """Returns the name as a logical id of CloudFormation: letters and digits."""
    return "".join(part[:1].upper() + part[1:] for part in identifier(name).split("_"))


def replaced(value: Any, references: dict[Given, Any]) -> Any:
    """Returns the JSON value with each given value replaced by what stands for it."""
    match value:
        case Given():
            return references[value]
        case dict():
            return {key: replaced(inner, references) for key, inner in value.items()}
        case list():
            return [replaced(inner, references) for inner in value]
        case _:
            return value
