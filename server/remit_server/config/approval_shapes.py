"""The tables of approvals: `[approvals]` and `[[notifications]]`."""

from typing import Literal

from remit_server.config.table_shape import Table, key


class ApprovalTable(Table):
    """`[approvals]`: how long people are waited for."""

    lapse_seconds: int = key(
        "How long an approval waits for people at most.", "lapse_seconds = 3600", 3600, ge=60, le=604_800
    )


class NotificationTable(Table):
    """`[[notifications]]`: a receiver that is told of approvals, break-glass and revokes."""

    name: str = key("Its name in records.", 'name = "approvers"')
    url: str | None = key("Where it is told (https).", 'url = "https://chat.acme.example/remit"', None)
    url_file: str | None = key(
        "The file with that URL, where it is a secret itself.", 'url_file = "secrets/slack-url"', None
    )
    format: Literal["json", "slack"] = key("How it is told.", 'format = "json"', "json")
    secret_file: str | None = key(
        "The file with the secret that signs what is sent; needed for json.",
        'secret_file = "secrets/notifications"',
        None,
    )
    kinds: list[str] = key(
        "What it is told of; empty: everything.", 'kinds = ["approval_asked", "break_glass_issued"]', []
    )
    with_session_policy: bool = key(
        "Whether it is told the session policy.", "with_session_policy = false", default=False
    )
    ca_file: str | None = key("The authorities (PEM) of its TLS certificate.", 'ca_file = "tls/issuer-ca.pem"', None)
    private_network: bool = key(
        "Whether its host may have an address of a private network.", "private_network = false", default=False
    )
