"""The tables of the HTTP listener and of the gateway's own issuer."""

from remit_server.config.table_shape import Table, key


class HttpListenerTable(Table):
    """`[listen.http]`: what is fetched over HTTP: the issuer's documents."""

    address: str = key("Where to listen.", 'address = "0.0.0.0:8445"')
    certificate_file: str | None = key(
        "The server's certificate chain (PEM); without it plain HTTP, on loopback only.",
        'certificate_file = "tls/server.pem"',
        None,
    )
    key_file: str | None = key(
        "The certificate's private key (PEM, not encrypted).", 'key_file = "tls/server.key"', None
    )


class OwnIssuerTable(Table):
    """`[issuer]`: the gateway as an OIDC issuer of its own, for roles with `assumed_by = "web_identity"`."""

    url: str = key(
        "Its `iss`, as IAM's OIDC provider has it: https, no slash at the end.", 'url = "https://remit.acme.example"'
    )
    signing_key_file: str = key(
        "The private key (PEM, RSA or P-256) that signs.", 'signing_key_file = "secrets/issuer/active.pem"'
    )
    next_signing_key_file: str | None = key(
        "The key that will sign next; it is published already.",
        'next_signing_key_file = "secrets/issuer/next.pem"',
        None,
    )
    previous_signing_key_file: str | None = key(
        "The key that signed before; it is published still.",
        'previous_signing_key_file = "secrets/issuer/previous.pem"',
        None,
    )
