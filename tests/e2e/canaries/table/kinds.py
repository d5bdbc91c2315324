"""Every kind of secret that the product ever holds: where it comes from, and in which journeys it is looked for."""

from dataclasses import dataclass
from enum import Enum
from typing import Final


class When(Enum):
    """In which runs a journey has a kind of secret."""

    NEVER = ""
    EACH = "each run"
    EXTENDED = "extended"


class Side(Enum):
    """Whose secret it is, which says where it cannot come at all."""

    CALL = "a call"  # it passes through the gateway with a call, or is given by it
    OPERATOR = "an operator"
    GATEWAY = "the gateway"
    MACHINE = "a machine"


EACH, EXTENDED, NEVER = When.EACH, When.EXTENDED, When.NEVER


def is_due(when: When, *, is_extended: bool) -> bool:
    """Says whether a journey has it in such a run."""
    return when is When.EACH or (is_extended and when is When.EXTENDED)


@dataclass(frozen=True)
class Kind:
    """A kind of secret, as the journeys note it: whose it is, in what it comes, and when the journeys have it.

    `found` are keys of configurations, fields of the API, and members of code that hold it.
    """

    name: str
    side: Side
    found: tuple[str, ...]
    first: When = NEVER
    second: When = NEVER
    abroad: bool = False


def _kind(name: str, side: Side, *found: str, first: When = NEVER, second: When = NEVER, abroad: bool = False) -> Kind:
    return Kind(name, side, found, first, second, abroad)


KINDS: Final = (
    _kind(
        "a user's token",
        Side.CALL,
        "IssueCredentialsRequest.subject_token",
        "PreviewCredentialsRequest.subject_token",
        "RenewCredentialsRequest.subject_token",
        "GetCallerIdentityRequest.subject_token",
        "client: subject.token",
        first=EACH,
        second=EACH,
        abroad=True,
    ),
    _kind(
        "an agent's token",
        Side.CALL,
        "header: authorization",
        "client: gateway.bearer_token",
        first=EACH,
        second=EACH,
        abroad=True,
    ),
    _kind("an operator's token", Side.OPERATOR, "header: authorization", first=EACH, second=EXTENDED),
    _kind("a canary", Side.CALL, "a text that is no token, given as one", first=EACH, second=EACH, abroad=True),
    _kind("a secret access key", Side.CALL, "AwsCredentials.secret_access_key", first=EACH, second=EACH, abroad=True),
    _kind("a session token", Side.CALL, "AwsCredentials.session_token", first=EACH, second=EACH, abroad=True),
    _kind("an agent's key", Side.MACHINE, "client: gateway.key_file", first=EACH, second=EACH, abroad=True),
    _kind("the gateway's AWS key", Side.GATEWAY, "aws.secret_access_key_file", first=EACH, second=EACH),
    _kind("a session token of the gateway's own", Side.GATEWAY, "aws.session_token_file", second=EACH),
    _kind("an external id", Side.GATEWAY, "roles.external_id_file", first=EACH),
    _kind(
        "a server's key",
        Side.GATEWAY,
        "listen.mtls.key_file",
        "listen.bearer.key_file",
        "listen.http.key_file",
        "listen.metrics.key_file",
        "policy.opa.bundle_key_file",
        first=EACH,
        second=EACH,
    ),
    _kind("a scraper's token", Side.GATEWAY, "listen.metrics.token_file", first=EACH, second=EACH),
    _kind("a collector's token", Side.GATEWAY, "tracing.token_file", first=EACH),
    _kind("a transmitter's authorization", Side.GATEWAY, "transmitters.authorization_files", first=EACH),
    _kind("a sender's secret", Side.GATEWAY, "webhooks.secret_files", first=EACH),
    _kind("a webhook's secret", Side.GATEWAY, "notifications.secret_file", first=EACH),
    _kind("the secret part of a webhook's address", Side.GATEWAY, "notifications.url_file", second=EACH),
    _kind("a token shown to a transmitter", Side.GATEWAY, "transmitters.access_token_file", second=EACH),
    _kind("a token shown to a directory", Side.GATEWAY, "status_polls.token_file", second=EACH),
    _kind("a database's password", Side.GATEWAY, "database.password_file", second=EACH),
    _kind("a key that signs checkpoints", Side.GATEWAY, "checkpoints.signing_key_file", second=EACH),
    _kind("a token shown where checkpoints are kept", Side.GATEWAY, "checkpoints.token_file", second=EACH),
    _kind(
        "a token between the gateway and OPA",
        Side.GATEWAY,
        "policy.opa.token_file",
        "policy.opa.bundle_token_file",
        second=EACH,
    ),
    _kind("a key that signs bundles for OPA", Side.GATEWAY, "policy.opa.bundle_signing_key_file", second=EACH),
    _kind("a token shown to the bundle server", Side.GATEWAY, "policy.bundle_server.token_file", second=EACH),
    _kind("the active key of the gateway's own issuer", Side.GATEWAY, "issuer.signing_key_file", second=EACH),
    _kind("the next key of the gateway's own issuer", Side.GATEWAY, "issuer.next_signing_key_file", second=EACH),
    _kind(
        "the previous key of the gateway's own issuer", Side.GATEWAY, "issuer.previous_signing_key_file", second=EACH
    ),
    _kind("a token of the gateway's own issuer", Side.GATEWAY, "WebIdentityToken", second=EACH),
    _kind("a signing key", Side.OPERATOR, "remit-server policy sign --key", first=EXTENDED),
    _kind("a token of the identity provider", Side.MACHINE, "SignIn.token", "MCP: access token", first=EXTENDED),
    _kind("an authorization code", Side.MACHINE, "remit login, [mcp.confirm.login]", first=EXTENDED),
    _kind("a PKCE verifier", Side.MACHINE, "remit login, [mcp.confirm.login]", first=EXTENDED),
    _kind("a device code", Side.MACHINE, "remit login --device", first=EXTENDED),
    _kind("a refresh token", Side.MACHINE, "SignIn.refresh_token", first=EXTENDED),
    _kind(
        "a container endpoint's token",
        Side.MACHINE,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "remit serve-container --token-file",
        first=EXTENDED,
    ),
    _kind(
        "a client's secret at the identity provider",
        Side.MACHINE,
        "mcp.exchange.client_secret_file of a client",
        first=EXTENDED,
    ),
    _kind("a confirmation's form token", Side.MACHINE, "the page of [mcp.confirm]", first=EXTENDED),
)
# Keys of the configuration that are named like secrets and are none, or hold none of their own.
NO_SECRETS: Final = {
    "aws.access_key_id": "names a key: it is in every request that AWS logs",
    "issuers.key_set_url": "where public keys are",
    "issuers.key_set_max_age_seconds": "a time",
    "issuers.key_set_stale_limit_seconds": "a time",
    "issuers.token_type": "the name of a kind of token",
    "transmitters.key_set_url": "where public keys are",
    "transmitters.token_type": "the name of a kind of token",
    "policy.signing.keys": "files of public keys",
}
# Fields that are redacted in the API and are no secret.
REDACTED: Final = {"AwsCredentials.access_key_id": "names a key; records have it, so that AWS's log can be matched"}
