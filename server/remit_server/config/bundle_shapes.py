"""The tables of where bundles come from: the bundle server, and whose signature a bundle must bear."""

from remit_server.config.table_shape import Table, key


class BundleServerTable(Table):
    """`[policy.bundle_server]`: the server that is asked for the bundle."""

    url: str | None = key(
        "The bundle's URL: https, or http on this machine.", 'url = "https://bundles.internal/remit.tar.gz"', None
    )
    ca_file: str | None = key("The authorities (PEM) of that address.", 'ca_file = "tls/bundles-ca.pem"', None)
    token_file: str | None = key("The file with the token that is shown to it.", 'token_file = "secrets/bundles"', None)
    private_network: bool = key("Whether it may be in a private network.", "private_network = true", default=False)
    poll_seconds: int = key(
        "How often it is asked, unless it lets clients wait.", "poll_seconds = 30", 30, ge=1, le=300
    )
    max_age_seconds: int = key(
        "For how long a policy decides without its confirmation; 0: for ever.",
        "max_age_seconds = 86400",
        86_400,
        ge=0,
        le=30 * 86_400,
    )


class BundleSigningTable(Table):
    """`[policy.signing]`: whose signature a bundle must bear, from the server or in the folder."""

    keys: dict[str, str] = key(
        "Public keys (PEM files) by the ids that signatures name them by.",
        'keys = { ci-2026 = "keys/bundles-ci-2026.pub.pem" }',
        {},
    )
    scope: str = key("What signatures must be for, exactly.", 'scope = "production"', "")
    required: bool | None = key(
        "Whether a bundle must be signed; absent: yes from a server, no in a folder.", "required = true", None
    )
    valid_days: int = key(
        "For how many days after it was built a bundle may be adopted; 0: for ever.",
        "valid_days = 90",
        0,
        ge=0,
        le=3650,
    )
