"""The frozen values of a configuration. `loading.py` makes them out of `remit.toml`; nothing else does."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from remit_server.config.approval_settings import ApprovalSettings, NotificationSettings
from remit_server.config.checkpoint_settings import CheckpointSettings
from remit_server.config.event_settings import EventSettings
from remit_server.config.http_settings import HttpListenerSettings
from remit_server.config.identity_settings import AgentSettings, Binding, ClaimProfile, IssuerSettings
from remit_server.config.policy_settings import BundleServerSettings, BundleSigningSettings
from remit_server.config.revocation_settings import RevocationSettings
from remit_server.config.telemetry.settings import MetricsSettings, TracingSettings
from remit_server.domain.entitlement import Role
from remit_server.domain.secret import Secret
from remit_server.iam import ActionPattern

__all__ = [
    "AgentSettings",
    "AwsSettings",
    "Binding",
    "ClaimProfile",
    "EventSettings",
    "HttpListenerSettings",
    "IssuerSettings",
    "LimitSettings",
    "ListenerSettings",
    "OpaSettings",
    "OwnIssuerSettings",
    "PolicySettings",
    "RevocationSettings",
    "Settings",
]


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """One TLS listener. With `client_ca_file` a client certificate is required (`listen.mtls`)."""

    address: str
    certificate_file: Path
    key_file: Path
    client_ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class OwnIssuerSettings:
    """The gateway as an OIDC issuer. The next and the previous key's file may be absent: then there is no such key."""

    url: str
    signing_key_file: Path
    next_signing_key_file: Path | None = None
    previous_signing_key_file: Path | None = None

    @property
    def key_files(self) -> tuple[Path, ...]:
        """Every file that may hold a key, the active one's first."""
        files = (self.signing_key_file, self.next_signing_key_file, self.previous_signing_key_file)
        return tuple(file for file in files if file is not None)


@dataclass(frozen=True, slots=True)
class OpaSettings:
    """How the OPA server is reached, and where it pulls the bundle from.

    `url` is `https://host:port`, `http://` of a loopback host and port, or `unix://` and a path. `token` is shown to
    OPA, `bundle_token` is what OPA must show. Without `bundle_key_pair` the bundle is served on loopback only.
    """

    url: str
    bundle_address: str
    ca_file: Path | None = None
    token: Secret | None = field(default=None, repr=False)
    bundle_token: Secret | None = field(default=None, repr=False)
    bundle_key_pair: tuple[Path, Path] | None = None
    bundle_signing_key: Path | None = None
    connections: int = 32
    start_timeout: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """Where the bundle is, which engine decides by it, and how that is bounded: with `opa` an OPA server.

    The bundle is in the folder `bundle`, which is looked at again after each `follow` (None: only at the start), or
    comes from `server`: one of the two is there. `keep_warm` revisions that were active before stay loaded, so that
    going back to them takes no time.
    """

    bundle: Path | None
    workers: int = 1
    decision_timeout: timedelta = timedelta(milliseconds=250)
    queue: int = 256
    opa: OpaSettings | None = None
    server: BundleServerSettings | None = None
    follow: timedelta | None = None
    signing: BundleSigningSettings = field(default_factory=BundleSigningSettings)
    keep_warm: int = 1


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
    requests_per_minute_per_subject: int = 180
    operator_requests_per_minute: int = 300
    concurrent_calls: int = 512
    concurrent_calls_per_actor: int = 128
    streams: int = 1024
    streams_per_actor: int = 256
    connections: int = 4096
    delegation_depth: int = 3


@dataclass(frozen=True, slots=True)
class Settings:
    """A whole, consistent configuration.

    `digest` covers all of it, `ceilings_digest` the roles and the forbidden floor. `administrators` are names of
    operators (`<alias>:<subject>` or a SPIFFE ID).
    """

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
    http: HttpListenerSettings | None = None
    administrators: frozenset[str] = frozenset()
    events: EventSettings = field(default_factory=EventSettings)
    approvals: ApprovalSettings = field(default_factory=ApprovalSettings)
    notifications: tuple[NotificationSettings, ...] = ()
    database_password_file: Path | None = None
    own_issuer: OwnIssuerSettings | None = None
    revocation: RevocationSettings | None = None
    checkpoints: CheckpointSettings | None = None
    audit_keep: timedelta = timedelta(days=90)
    metrics: MetricsSettings | None = None
    tracing: TracingSettings | None = None
