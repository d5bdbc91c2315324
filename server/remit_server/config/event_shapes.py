"""The tables of those who tell the gateway about users: `[[transmitters]]`, `[[webhooks]]`, `[[status_polls]]`."""

from typing import Final, Literal

from remit_server.config.table_shape import Table, key


class TransmitterTable(Table):
    """`[[transmitters]]`: a transmitter of Shared Signals: what its events must be, and how they come."""

    alias: str = key("Its short name, and the end of the path it pushes to: `/ssf/<alias>`.", 'alias = "acme"')
    issuer: str = key("The `iss` of its events, exactly.", 'issuer = "https://acme.okta.com"')
    audience: str = key("The one `aud` its events must have.", 'audience = "https://remit.acme.example"')
    algorithms: list[str] = key("The signature algorithms it uses.", 'algorithms = ["RS256"]')
    users_of: str = key("The alias of the issuer of whose users it may speak.", 'users_of = "acme"')
    subject_issuer: str | None = key(
        "How its events write that issuer; absent: as its tokens do.", 'subject_issuer = "https://acme.okta.com"', None
    )
    subject_formats: list[str] = key(
        "The kinds of names it may call a user by: iss_sub, email, opaque.",
        'subject_formats = ["iss_sub"]',
        ["iss_sub"],
    )
    subject_map: dict[str, str] = key(
        "Its names of users and the `sub` of their tokens, where the two differ.",
        'subject_map = { "00u1abcd" = "alice@acme.example" }',
        {},
    )
    named_by: Literal["sub", "source_claim"] = key(
        "Which claim of users' tokens its names are: `sub`, or the issuer's `source_claim`.",
        'named_by = "source_claim"',
        "sub",
    )
    tenants: list[str] = key("The tenants of which an event must name one.", 'tenants = ["00o1abcd"]', [])
    token_type: Literal["secevent+jwt", "JWT"] = key(
        "The header's `typ`.", 'token_type = "secevent+jwt"', "secevent+jwt"
    )
    leeway_seconds: int = key("How far its clock may differ.", "leeway_seconds = 30", 30, ge=0, le=30)
    key_set_url: str | None = key(
        "Where its keys are; absent: as its configuration says.", 'key_set_url = "https://acme.okta.com/keys"', None
    )
    configuration_url: str | None = key(
        "Where its configuration is; absent: at `/.well-known/ssf-configuration`.",
        'configuration_url = "https://acme.okta.com/.well-known/ssf-configuration"',
        None,
    )
    allowed_hosts: list[str] = key(
        "Further hosts its keys and endpoints may be on.", 'allowed_hosts = ["keys.acme.example"]', []
    )
    ca_file: str | None = key("The authorities (PEM) of its TLS certificate.", 'ca_file = "tls/issuer-ca.pem"', None)
    private_network: bool = key(
        "Whether its hosts may have addresses of a private network.", "private_network = false", default=False
    )
    delivery: Literal["push", "poll"] = key("How its events come.", 'delivery = "push"', "push")
    authorization_files: list[str] = key(
        "The files with the bearer token that a push must show: one, two during a rotation.",
        'authorization_files = ["secrets/ssf-acme"]',
        [],
    )
    events_per_minute: int = key(
        "Pushes a minute, per sender's address.", "events_per_minute = 600", 600, ge=1, le=100_000
    )
    receiver_url: str | None = key(
        "Where it is told to push to.", 'receiver_url = "https://remit.acme.example/ssf/acme"', None
    )
    access_token_file: str | None = key(
        "The file with the token that the gateway shows to it, read anew for each call.",
        'access_token_file = "secrets/ssf-acme-access-token"',
        None,
    )
    poll_url: str | None = key("Where its events are fetched.", 'poll_url = "https://acme.okta.com/poll"', None)
    poll_max_events: int = key("Events of one poll.", "poll_max_events = 50", 50, ge=1, le=500)
    poll_wait_seconds: int = key("How long one poll waits.", "poll_wait_seconds = 30", 30, ge=5, le=120)


class WebhookTable(Table):
    """`[[webhooks]]`: a sender of plain signed events, for what does not speak Shared Signals."""

    name: str = key("Its name, and the end of its path: `/webhooks/<name>`.", 'name = "hr"')
    secret_files: list[str] = key(
        "The files with the secret it signs with: one, two during a rotation.", 'secret_files = ["secrets/webhook-hr"]'
    )
    users_of: list[str] = key("The aliases of the issuers of whose users it may speak.", 'users_of = ["acme"]')
    events_per_minute: int = key(
        "Calls a minute, per sender's address.", "events_per_minute = 600", 600, ge=1, le=100_000
    )


class StatusPollTable(Table):
    """`[[status_polls]]`: an identity provider without a transmitter, asked about users for whom agents work."""

    alias: str = key("Its short name in records.", 'alias = "directory"')
    users_of: str = key("The alias of the issuer whose users are asked about.", 'users_of = "acme"')
    url: str = key("What is asked, with {subject} once.", 'url = "https://acme.okta.com/api/v1/users/{subject}"')
    named_by: Literal["sub", "source_claim"] = key(
        "Which claim of users' tokens {subject} is: `sub`, or the issuer's `source_claim`.",
        'named_by = "source_claim"',
        "sub",
    )
    token_file: str = key(
        "The file with the bearer token it is asked with, read anew each time.",
        'token_file = "secrets/directory-token"',
    )
    status_pointer: str | None = key(
        "Where the answer tells the status (JSON pointer).", 'status_pointer = "/status"', None
    )
    active_values: list[str] = key("The values there of an active account.", 'active_values = ["ACTIVE"]', [])
    missing: Literal["error", "disabled"] = key("What a 404 means.", 'missing = "disabled"', "error")
    probe_subject: str | None = key(
        "An account that always exists, asked first where a 404 means disabled.", 'probe_subject = "probe"', None
    )
    every_seconds: int = key("How often everybody is asked about.", "every_seconds = 60", 60, ge=10, le=3600)
    requests_per_second: float = key("How fast, at most.", "requests_per_second = 5.0", 5.0, ge=0.1, le=100)
    ca_file: str | None = key("The authorities (PEM) of its TLS certificate.", 'ca_file = "tls/issuer-ca.pem"', None)
    private_network: bool = key(
        "Whether its host may have an address of a private network.", "private_network = false", default=False
    )


EVENT_LISTS: Final[dict[str, type[Table]]] = {
    "transmitters": TransmitterTable,
    "webhooks": WebhookTable,
    "status_polls": StatusPollTable,
}
