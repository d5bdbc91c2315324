"""The tables of `remit.toml` as they stand in the file: every key, what it is, and how it is written.

What spans keys or needs the disk is checked afterwards. `docs/configuration.md` lists the same keys.
"""

from typing import Final, Literal

from remit_server.config.approval_shapes import ApprovalTable, NotificationTable
from remit_server.config.audit_shapes import AuditTable
from remit_server.config.bundle_shapes import BundleServerTable, BundleSigningTable
from remit_server.config.checkpoint_settings import CheckpointTable
from remit_server.config.event_shapes import EVENT_LISTS
from remit_server.config.http_shapes import HttpListenerTable, OwnIssuerTable
from remit_server.config.revocation_shapes import RevocationTable
from remit_server.config.table_shape import Table
from remit_server.config.table_shape import key as _key
from remit_server.config.telemetry.shapes import MetricsListenerTable, TracingTable


class ListenerTable(Table):
    """`[listen.bearer]`: agents that authenticate by a token of their own."""

    address: str = _key("Where to listen.", 'address = "0.0.0.0:8444"')
    certificate_file: str = _key("The server's certificate chain (PEM).", 'certificate_file = "tls/server.pem"')
    key_file: str = _key("The certificate's private key (PEM, not encrypted).", 'key_file = "tls/server.key"')


class MutualListenerTable(ListenerTable):
    """`[listen.mtls]`: agents that authenticate by an X509-SVID."""

    client_ca_file: str = _key("The authorities (PEM) that sign agents' SVIDs.", 'client_ca_file = "tls/agents-ca.pem"')
    trust_domains: list[str] = _key(
        "The SPIFFE trust domain whose agents are taken: one.", 'trust_domains = ["acme.example"]', min_length=1
    )


class ListenTable(Table):
    """`[listen]`: at least one of the listeners for agents, mtls and bearer."""

    mtls: MutualListenerTable | None = _key("The listener for client certificates.", "[listen.mtls]", None)
    bearer: ListenerTable | None = _key("The listener for bearer tokens.", "[listen.bearer]", None)
    http: HttpListenerTable | None = _key("The listener for HTTP.", "[listen.http]", None)
    metrics: MetricsListenerTable | None = _key("The listener for the gateway's figures.", "[listen.metrics]", None)
    reflection: bool = _key("Whether gRPC reflection is served.", "reflection = false", default=False)


class IssuerTable(Table):
    """`[[issuers]]`: one trusted OIDC issuer and everything its tokens must be."""

    issuer: str = _key("The `iss` of its tokens, exactly.", 'issuer = "https://login.acme.example"')
    alias: str = _key("Its short name in SourceIdentity and in agents' ids.", 'alias = "acme"')
    audience: str = _key("The one `aud` its tokens must have.", 'audience = "remit"')
    algorithms: list[str] = _key("The signature algorithms it uses.", 'algorithms = ["RS256"]')
    profile: Literal["generic", "okta", "entra", "google", "gitlab_ci", "github_actions", "gitpod", "kubernetes"] = (
        _key("Whose token shapes it has.", 'profile = "okta"', "generic")
    )
    tenants: list[str] = _key(
        "Whose tokens are taken of an issuer that signs for everybody.", 'tenants = ["acme.example"]', []
    )
    events: list[str] = _key(
        "What may have started a GitHub workflow; empty: push, schedule, workflow_dispatch and release.",
        'events = ["push"]',
        [],
    )
    token_type: str = _key("The header's `typ`.", 'token_type = "at+jwt"', "JWT")
    max_lifetime_seconds: int = _key("The longest exp - iat.", "max_lifetime_seconds = 3600", 3600, ge=1, le=86_400)
    leeway_seconds: int = _key("How far its clock may differ.", "leeway_seconds = 30", 30, ge=0, le=30)
    subjects: bool = _key("Whether users' tokens are taken from it.", "subjects = true", default=True)
    actors: bool = _key("Whether agents' own tokens are taken from it.", "actors = false", default=False)
    binding: Literal["required", "none"] = _key(
        "Whether a user's token must name its presenter.", 'binding = "required"', "required"
    )
    carries_actor: str | None = _key("The claim that is the actor.", 'carries_actor = "project_path"', None)
    single_use: bool = _key("Whether a token's jti opens one task only.", "single_use = false", default=False)
    bind_expiry: bool = _key("Whether credentials end with the token.", "bind_expiry = false", default=False)
    key_set_url: str | None = _key(
        "Where its keys are; absent: discovery.", 'key_set_url = "https://login.acme.example/keys"', None
    )
    allowed_hosts: list[str] = _key(
        "Further hosts its keys may come from.", 'allowed_hosts = ["keys.acme.example"]', []
    )
    ca_file: str | None = _key("The authorities (PEM) of its TLS certificate.", 'ca_file = "tls/issuer-ca.pem"', None)
    private_network: bool = _key(
        "Whether its hosts may have addresses of a private network.", "private_network = false", default=False
    )
    key_set_max_age_seconds: int = _key(
        "How long keys are used unasked.", "key_set_max_age_seconds = 600", 600, ge=60, le=3600
    )
    key_set_stale_limit_seconds: int = _key(
        "How long keys are used when asking fails.", "key_set_stale_limit_seconds = 14400", 14_400, ge=60, le=86_400
    )
    group_claim: str = _key("The claim that holds the groups.", 'group_claim = "groups"', "groups")
    group_map: dict[str, str] = _key(
        "The issuer's groups and their names in policies.", 'group_map = { "00g1" = "analysts" }', {}
    )
    group_members: dict[str, list[str]] = _key(
        "The groups of Google's users, and who is in each.",
        'group_members = { "analysts" = ["alice@acme.example"] }',
        {},
    )
    source_claim: str = _key("The claim that names a person in CloudTrail.", 'source_claim = "email"', "sub")
    source_identity: Literal["readable", "hash"] = _key(
        "Whether CloudTrail shows that claim or a hash.", 'source_identity = "hash"', "readable"
    )
    kept_claims: list[str] = _key("The claims that policies may read.", 'kept_claims = ["department"]', [])
    operator_audience: str | None = _key(
        "The `aud` of tokens for the security side; absent: no operators.",
        'operator_audience = "remit-operators"',
        None,
    )


class AgentTable(Table):
    """`[[agents]]`: one agent, how it proves itself, and whose user tokens it may present."""

    id: str = _key(
        "The operator's name for it. Policies and records call it by its SPIFFE ID, or by `<issuer alias>:<subject>`.",
        'id = "copilot"',
    )
    spiffe_id: str | None = _key("The SPIFFE ID of its SVID.", 'spiffe_id = "spiffe://acme.example/copilot"', None)
    issuer: str | None = _key("The issuer of its own token.", 'issuer = "https://login.acme.example"', None)
    subject: str | None = _key("The `sub` of its own token.", 'subject = "copilot-service"', None)
    client_ids: list[str] = _key(
        "The OIDC clients, `<issuer alias>:<client id>`, whose user tokens it may present.",
        'client_ids = ["acme:copilot"]',
        [],
    )


class RoleTable(Table):
    """`[[roles]]`: one AWS role that sessions may be opened of."""

    arn: str = _key("Its ARN.", 'arn = "arn:aws:iam::111122223333:role/remit-reports"')
    ceiling_file: str = _key("A copy of the role's own policy (JSON).", 'ceiling_file = "ceilings/remit-reports.json"')
    region: str | None = _key("Whose STS endpoint is used; absent: aws.region.", 'region = "eu-central-1"', None)
    assumed_by: Literal["role_chaining", "user", "web_identity"] = _key(
        "What the gateway is to AWS.", 'assumed_by = "user"', "role_chaining"
    )
    max_session_seconds: int = _key(
        "The role's MaxSessionDuration.", "max_session_seconds = 3600", 3600, ge=900, le=43_200
    )
    external_id_file: str | None = _key(
        "The file with the external id its trust policy asks for.", 'external_id_file = "secrets/external-id"', None
    )
    reopened: list[str] = _key(
        "Actions of the floor's lasting part that it may issue.", 'reopened = ["ecr:GetAuthorizationToken"]', []
    )


class AdministratorTable(Table):
    """`[administrators]`: who may always revoke, see who is blocked, and verify the audit trail."""

    principals: list[str] = _key(
        "Operators, `<issuer alias>:<subject>` or a SPIFFE ID each.", 'principals = ["acme:00u1abcd"]', []
    )


class OpaTable(Table):
    """`[policy.opa]`: the OPA server that decides, and how it gets the bundle."""

    url: str = _key(
        "Where OPA answers: https, or on this machine http or a unix socket.",
        'url = "https://opa.internal:8181"',
        "http://127.0.0.1:8181",
    )
    ca_file: str | None = _key("The authorities (PEM) of that address.", 'ca_file = "tls/opa-ca.pem"', None)
    token_file: str | None = _key(
        "The file with the token that the gateway shows to OPA.", 'token_file = "secrets/opa-token"', None
    )
    connections: int = _key("Questions that OPA is asked at a time.", "connections = 32", 32, ge=1, le=256)
    bundle_address: str = _key(
        "Where the gateway serves the bundle to OPA.", 'bundle_address = "127.0.0.1:8182"', "127.0.0.1:8182"
    )
    bundle_token_file: str | None = _key(
        "The file with the token that OPA shows to the gateway.",
        'bundle_token_file = "secrets/opa-bundle-token"',
        None,
    )
    bundle_certificate_file: str | None = _key(
        "The certificate chain (PEM) with which the bundle is served.",
        'bundle_certificate_file = "tls/server.pem"',
        None,
    )
    bundle_key_file: str | None = _key(
        "The certificate's private key (PEM, not encrypted).", 'bundle_key_file = "tls/server.key"', None
    )
    bundle_signing_key_file: str | None = _key(
        "The private key (PEM, RSA or P-256) with which the bundle is signed.",
        'bundle_signing_key_file = "secrets/bundle-signing.key"',
        None,
    )
    start_timeout_seconds: int = _key(
        "How long a start waits for OPA to pull the bundle.", "start_timeout_seconds = 10", 10, ge=1, le=300
    )


class PolicyTable(Table):
    """`[policy]`: the bundle, the engine that decides by it, and its bounds."""

    bundle: str | None = _key("The folder of the policy bundle.", 'bundle = "policies"', None)
    follow_seconds: int = _key(
        "How often the folder is looked at for changes; 0: only at the start.", "follow_seconds = 5", 0, ge=0, le=3600
    )
    bundle_server: BundleServerTable | None = _key("The server of bundles.", "[policy.bundle_server]", None)
    signing: BundleSigningTable | None = _key("Whose signature a bundle must bear.", "[policy.signing]", None)
    engine: Literal["embedded", "opa"] = _key("What evaluates it.", 'engine = "opa"', "embedded")
    opa: OpaTable | None = _key("The OPA server.", "[policy.opa]", None)
    workers: int = _key("How many embedded engines decide side by side.", "workers = 2", 1, ge=1, le=64)
    decision_timeout_milliseconds: int = _key(
        "How long a decision may take.", "decision_timeout_milliseconds = 250", 250, ge=10, le=5000
    )
    queue: int = _key("How many decisions may wait.", "queue = 256", 256, ge=1, le=10_000)
    keep_warm: int = _key("How many earlier revisions stay loaded to go back to.", "keep_warm = 1", 1, ge=0, le=4)


class AwsTable(Table):
    """`[aws]`: how STS is reached, and the gateway's own keys where the platform gives it none."""

    region: str = _key("The region of the STS endpoint.", 'region = "eu-central-1"')
    endpoint_url: str | None = _key(
        "Another endpoint than AWS's.", 'endpoint_url = "https://sts.internal.example"', None
    )
    ca_file: str | None = _key("The authorities (PEM) of that endpoint.", 'ca_file = "tls/sts-ca.pem"', None)
    access_key_id: str | None = _key("The gateway's own access key id.", 'access_key_id = "AKIA..."', None)
    secret_access_key_file: str | None = _key(
        "The file with its secret access key.", 'secret_access_key_file = "secrets/aws-secret-access-key"', None
    )
    session_token_file: str | None = _key(
        "The file with its session token, if any.", 'session_token_file = "secrets/aws-session-token"', None
    )
    requests_per_second: float = _key(
        "STS calls a second, per account and region.", "requests_per_second = 50.0", 50.0, ge=0.1, le=600
    )
    burst: int = _key("STS calls at once after a pause, likewise.", "burst = 100", 100, ge=1, le=1000)
    max_in_flight: int = _key("STS calls that may run at a time.", "max_in_flight = 64", 64, ge=1, le=1024)
    timeout_seconds: float = _key("How long one try of a call may take.", "timeout_seconds = 10.0", 10.0, ge=0.5, le=15)


class DatabaseTable(Table):
    """`[database]`: where tasks, grants and the audit trail are."""

    url: str = _key("The ledger.", 'url = "sqlite:////var/lib/remit/remit.db"')
    password_file: str | None = _key(
        "The file with the password of a PostgreSQL role.", 'password_file = "secrets/database-password"', None
    )


class LimitTable(Table):
    """`[limits]`: what callers may ask of one gateway process."""

    requests_per_minute: int = _key("Calls a minute, per actor.", "requests_per_minute = 120", 120, ge=1, le=100_000)
    previews_per_minute: int = _key("Previews a minute, per actor.", "previews_per_minute = 60", 60, ge=1, le=100_000)
    requests_per_minute_per_subject: int = _key(
        "Calls a minute with one user's token, per actor: no user takes all of an agent's calls.",
        "requests_per_minute_per_subject = 180",
        180,
        ge=1,
        le=100_000,
    )
    operator_requests_per_minute: int = _key(
        "Calls a minute, per operator.", "operator_requests_per_minute = 300", 300, ge=1, le=100_000
    )
    concurrent_calls: int = _key("Calls that may run at a time.", "concurrent_calls = 512", 512, ge=1, le=20_000)
    concurrent_calls_per_actor: int = _key(
        "Calls that may run at a time, per actor.", "concurrent_calls_per_actor = 128", 128, ge=1, le=20_000
    )
    streams: int = _key("Watched tasks and other streams at a time.", "streams = 1024", 1024, ge=1, le=20_000)
    streams_per_actor: int = _key("Streams at a time, per actor.", "streams_per_actor = 256", 256, ge=1, le=20_000)
    connections: int = _key(
        "Connections at a time, per listener; more are closed as they come.",
        "connections = 4096",
        4096,
        ge=1,
        le=100_000,
    )
    delegation_depth: int = _key(
        "How many tasks may stand above a task that agents hand on; 0: nobody hands on.",
        "delegation_depth = 3",
        3,
        ge=0,
        le=10,
    )


class ForbiddenTable(Table):
    """`[forbidden]`: what is never issued, beside the floor that cannot be shortened."""

    actions: list[str] = _key("Further actions that are never issued.", 'actions = ["dynamodb:DeleteTable"]', [])


TABLES: Final[dict[str, type[Table]]] = {
    "listen": ListenTable,
    "issuer": OwnIssuerTable,
    "policy": PolicyTable,
    "aws": AwsTable,
    "database": DatabaseTable,
    "limits": LimitTable,
    "forbidden": ForbiddenTable,
    "administrators": AdministratorTable,
    "approvals": ApprovalTable,
    "audit": AuditTable,
    "revocation": RevocationTable,
    "checkpoints": CheckpointTable,
    "tracing": TracingTable,
}
LISTS: Final[dict[str, type[Table]]] = {
    "issuers": IssuerTable,
    "agents": AgentTable,
    "roles": RoleTable,
    **EVENT_LISTS,
    "notifications": NotificationTable,
}
OPTIONAL: Final = frozenset(
    {
        "limits",
        "forbidden",
        "agents",
        "administrators",
        "approvals",
        "notifications",
        "revocation",
        "checkpoints",
        "audit",
        "tracing",
    }
    | EVENT_LISTS.keys()
)
SECRETS: Final = {
    "aws.secret_access_key": "aws.secret_access_key_file",
    "aws.session_token": "aws.session_token_file",
    "roles.external_id": "roles.external_id_file",
    "database.password": "database.password_file",
}
