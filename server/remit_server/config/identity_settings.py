"""Whose word the gateway takes: the frozen values of `[[issuers]]` and `[[agents]]`, which cannot exist wrong."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from remit_server.config.identity_profiles import ClaimProfile, profile_mistakes
from remit_server.config.identity_rules import (
    InvalidSettings,
    algorithm_mistakes,
    client_alias,
    is_alias,
    is_claim_name,
    is_host,
    is_plain_text,
    url_mistake,
)
from remit_server.domain.spiffe_id import spiffe_id_of

__all__ = ["AgentSettings", "Binding", "ClaimProfile", "IssuerSettings"]

MAX_LEEWAY = timedelta(seconds=30)
LONGEST_TOKEN_LIFETIME = timedelta(hours=24)
LONGEST_KEY_STALENESS = timedelta(hours=24)


class Binding(StrEnum):
    """Whether a subject token must name its presenter."""

    REQUIRED = "required"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class IssuerSettings:
    """One trusted OIDC issuer and everything its tokens must be; raises InvalidSettings with every mistake at once.

    `key_set_url` None means discovery at `<issuer>/.well-known/openid-configuration`. Every URL that keys come from,
    also the `jwks_uri` that discovery names, must have its host in `allowed_hosts` (host names or IP addresses, no
    port). A loopback host is reached only when it is listed, a private address only with `private_network`, a
    link-local one never. `key_set_max_age` is how long keys are used without asking again, `key_set_stale_limit` how
    long when asking fails. `subjects` says whether its tokens are accepted as subject tokens, `actors` whether as
    agents' own bearer tokens. `token_type` is the header's `typ` (RFC 8725 3.11), compared case-insensitively; "JWT"
    also accepts its absence. `carries_actor` names the claim that is the actor when this issuer's one token proves
    both. `group_claim`, `source_claim`: where groups and the SourceIdentity's id stand. `kept_claims`: what policies
    may read. `group_map` maps the issuer's group values to the policy's names (empty: as they are; otherwise a group
    that it does not name is dropped). `tenants` are those for whom an issuer that signs for everybody is believed,
    `group_members` the groups of people whose tokens carry none, `events` what may have started a workflow (empty: the
    profile's own choice); which profile takes which is in `identity_profiles`. `operator_audience` is the `aud` of
    tokens for the security side; None: it has no operators.
    """

    issuer: str
    alias: str
    audience: str
    algorithms: tuple[str, ...]
    profile: ClaimProfile = ClaimProfile.GENERIC
    token_type: str = "JWT"  # noqa: S105 - the header's `typ`
    max_lifetime: timedelta = timedelta(hours=1)
    leeway: timedelta = timedelta(seconds=30)
    subjects: bool = True
    actors: bool = False
    binding: Binding = Binding.REQUIRED
    carries_actor: str | None = None
    single_use: bool = False
    bind_expiry: bool = False
    key_set_url: str | None = None
    allowed_hosts: frozenset[str] = frozenset()
    ca_file: Path | None = None
    private_network: bool = False
    key_set_max_age: timedelta = timedelta(minutes=10)
    key_set_stale_limit: timedelta = timedelta(hours=4)
    group_claim: str = "groups"
    group_map: tuple[tuple[str, str], ...] = ()
    tenants: frozenset[str] = frozenset()
    group_members: tuple[tuple[str, tuple[str, ...]], ...] = ()
    events: tuple[str, ...] = ()
    source_claim: str = "sub"
    source_identity_hashed: bool = False
    kept_claims: tuple[str, ...] = ()
    operator_audience: str | None = None

    def __post_init__(self) -> None:
        mistakes = (
            *_name_mistakes(self),
            *algorithm_mistakes(self.algorithms),
            *_time_mistakes(self),
            *_use_mistakes(self),
            *_host_mistakes(self),
            *_claim_mistakes(self),
            *profile_mistakes(self),
        )
        if mistakes:
            raise InvalidSettings(mistakes)


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """One agent: how it proves itself (a SPIFFE ID, or issuer and subject) and whose user tokens it may present.

    For an issuer that carries the actor, `subject` is the value of that claim. `client_ids` are those OIDC clients,
    `<issuer alias>:<client id>` each, of which it may present user tokens. Raises InvalidSettings with every mistake at
    once.
    """

    agent: str
    spiffe_id: str | None = None
    issuer: str | None = None
    subject: str | None = None
    client_ids: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        mistakes = tuple(_agent_mistakes(self))
        if mistakes:
            raise InvalidSettings(mistakes)


def _name_mistakes(settings: IssuerSettings) -> Iterator[tuple[str, str]]:
    """Yields what is wrong with how the issuer and the gateway are named."""
    if wrong := url_mistake(settings.issuer):
        yield "issuer", wrong
    if not is_alias(settings.alias):
        yield "alias", "must be 1 to 20 of a-z, 0-9 and -, and not `spiffe`"
    if not is_plain_text(settings.audience):
        yield "audience", "must be 1 to 255 printable ASCII characters"
    if not is_claim_name(settings.token_type):
        yield "token_type", "must be a token type such as `JWT` or `at+jwt`"


def _time_mistakes(settings: IssuerSettings) -> Iterator[tuple[str, str]]:
    """Yields the durations that are out of their bounds."""
    nothing = timedelta(0)
    if not nothing <= settings.leeway <= MAX_LEEWAY:
        yield "leeway", "must be between 0 and 30 seconds"
    if not nothing < settings.max_lifetime <= LONGEST_TOKEN_LIFETIME:
        yield "max_lifetime", "must be more than 0 and at most 24 hours"
    if not timedelta(minutes=1) <= settings.key_set_max_age <= timedelta(hours=1):
        yield "key_set_max_age", "must be between 1 minute and 1 hour"
    if not settings.key_set_max_age <= settings.key_set_stale_limit <= LONGEST_KEY_STALENESS:
        yield "key_set_stale_limit", "must be at least key_set_max_age and at most 24 hours"


def _use_mistakes(settings: IssuerSettings) -> Iterator[tuple[str, str]]:
    """Yields contradictions about what the issuer's tokens are for."""
    if not (settings.subjects or settings.actors or settings.carries_actor or settings.operator_audience):
        yield "subjects", "this issuer's tokens are accepted for nothing: set subjects, actors or carries_actor"
    if settings.operator_audience is not None and not is_plain_text(settings.operator_audience):
        yield "operator_audience", "must be 1 to 255 printable ASCII characters"
    if settings.actors and settings.carries_actor:
        yield "actors", "carries_actor already makes its tokens the agents' own: leave actors out"
    if settings.carries_actor is not None and not is_claim_name(settings.carries_actor):
        yield "carries_actor", "must be the name of a claim"


def _host_mistakes(settings: IssuerSettings) -> Iterator[tuple[str, str]]:
    """Yields what is wrong with where the keys come from."""
    if not settings.allowed_hosts:
        yield "allowed_hosts", "must name the host that the issuer's keys come from"
    if not all(is_host(host) for host in settings.allowed_hosts):
        yield "allowed_hosts", "must be host names in lower case or IP addresses, without a port"
    if settings.key_set_url is None:
        if url_mistake(settings.issuer, settings.allowed_hosts) and not url_mistake(settings.issuer):
            yield "allowed_hosts", "must name the issuer's own host, where discovery is, unless key_set_url is given"
    elif wrong := url_mistake(settings.key_set_url, settings.allowed_hosts):
        yield "key_set_url", wrong


def _claim_mistakes(settings: IssuerSettings) -> Iterator[tuple[str, str]]:
    """Yields claim names and group names that cannot be."""
    for field, name in (("group_claim", settings.group_claim), ("source_claim", settings.source_claim)):
        if not is_claim_name(name):
            yield field, "must be the name of a claim: 1 to 255 printable ASCII characters without spaces"
    if not all(is_claim_name(name) for name in settings.kept_claims):
        yield "kept_claims", "must be names of claims: 1 to 255 printable ASCII characters without spaces"
    if len(set(settings.kept_claims)) != len(settings.kept_claims):
        yield "kept_claims", "names a claim twice"
    if len(dict(settings.group_map)) != len(settings.group_map):
        yield "group_map", "maps a group twice"


def _agent_mistakes(settings: AgentSettings) -> Iterator[tuple[str, str]]:
    """Yields what is wrong with an agent: it proves itself in exactly one way."""
    if not is_plain_text(settings.agent):
        yield "id", "must be 1 to 255 printable ASCII characters"
    if (settings.issuer is None) != (settings.subject is None):
        yield "subject", "issuer and subject belong together"
    if (settings.spiffe_id is None) == (settings.issuer is None):
        yield "spiffe_id", "an agent proves itself either by spiffe_id or by issuer and subject"
    if settings.spiffe_id is not None:
        try:
            spiffe_id_of(settings.spiffe_id)
        except ValueError as wrong:
            yield "spiffe_id", str(wrong)
    if settings.subject is not None and not is_plain_text(settings.subject):
        yield "subject", "must be 1 to 255 printable ASCII characters"
    if not all(client_alias(client) for client in settings.client_ids):
        yield "client_ids", "must each be `<issuer alias>:<client id>`, such as `acme:copilot-web`"
