"""The frozen values of a configuration. `loading.py` makes them out of `remit.toml`; nothing else does."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from remit_server.domain.entitlement import Role
from remit_server.domain.secret import Secret
from remit_server.iam import ActionPattern


class ClaimProfile(StrEnum):
    """Which vendor's token shapes an issuer has."""

    GENERIC = "generic"
    OKTA = "okta"
    ENTRA = "entra"
    GITLAB_CI = "gitlab_ci"


class Binding(StrEnum):
    """Whether a subject token must name its presenter."""

    REQUIRED = "required"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class IssuerSettings:
    """One trusted OIDC issuer and everything its tokens must be.

    `key_set_url` None means discovery at `<issuer>/.well-known/openid-configuration`; hosts of both must be in `allowed_hosts`.
    `subjects` says whether its tokens are accepted as subject tokens, `actors` whether as agents' own bearer tokens.
    `token_type` is the header's `typ` (RFC 8725 3.11), compared case-insensitively; "JWT" also accepts its absence.
    `carries_actor` names the claim that is the actor when this issuer's one token proves both.
    `group_claim`, `source_claim`: where groups and the SourceIdentity's id stand. `kept_claims`: what policies may read.
    `group_map` maps the issuer's group values to the policy's names (empty: as they are).
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
    group_claim: str = "groups"
    group_map: tuple[tuple[str, str], ...] = ()
    source_claim: str = "sub"
    source_identity_hashed: bool = False
    kept_claims: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """One agent: how it proves itself (a SPIFFE ID, or issuer and subject) and whose user tokens it may present."""

    agent: str
    spiffe_id: str | None = None
    issuer: str | None = None
    subject: str | None = None
    client_ids: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """One TLS listener. With `client_ca_file` a client certificate is required (`listen.mtls`)."""

    address: str
    certificate_file: Path
    key_file: Path
    client_ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """Where the bundle is and how the embedded engine is bounded."""

    bundle: Path
    workers: int = 1
    decision_timeout: timedelta = timedelta(milliseconds=250)
    queue: int = 256


@dataclass(frozen=True, slots=True)
class AwsSettings:
    """How STS is reached. `endpoint_url` is only for AWS-compatible endpoints; https unless its host is loopback.

    Credentials None means the ambient chain (environment, profile, container, instance) through botocore.
    """

    region: str
    endpoint_url: str | None = None
    ca_file: Path | None = None
    access_key_id: str | None = None
    secret_access_key: Secret | None = field(default=None, repr=False)
    session_token: Secret | None = field(default=None, repr=False)
    requests_per_second: float = 50.0
    burst: int = 100
    max_in_flight: int = 64
    timeout: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """Bounds on what callers may ask of one gateway process."""

    requests_per_minute: int = 120
    previews_per_minute: int = 60
    concurrent_calls: int = 512


@dataclass(frozen=True, slots=True)
class Settings:
    """A whole, consistent configuration; `digest` covers the file, `ceilings_digest` the roles and the forbidden floor."""

    listeners: tuple[ListenerSettings, ...]
    issuers: tuple[IssuerSettings, ...]
    agents: tuple[AgentSettings, ...]
    roles: tuple[Role, ...]
    forbidden_extra: tuple[ActionPattern, ...]
    policy: PolicySettings
    aws: AwsSettings
    database_url: str
    spiffe_trust_domains: frozenset[str]
    limits: LimitSettings
    reflection: bool
    digest: str
    ceilings_digest: str
