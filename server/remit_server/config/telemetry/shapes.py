"""The tables of what is told of the gateway itself: its figures, its traces."""

from typing import Literal

from remit_server.config.http_shapes import HttpListenerTable
from remit_server.config.table_shape import Table, key


class MetricsListenerTable(HttpListenerTable):
    """`[listen.metrics]`: the gateway's own figures, at /metrics."""

    address: str = key("Where to listen.", 'address = "127.0.0.1:9464"')
    token_file: str | None = key(
        "The file with the token that a scraper shows; required off loopback.",
        'token_file = "secrets/metrics-token"',
        None,
    )


class TracingTable(Table):
    """`[tracing]`: where the gateway's traces go."""

    endpoint: str = key("The base URL of a collector that takes OTLP over HTTP.", 'endpoint = "http://127.0.0.1:4318"')
    ca_file: str | None = key("The authorities (PEM) of its TLS certificate.", 'ca_file = "tls/collector-ca.pem"', None)
    token_file: str | None = key(
        "The file with the bearer token that it asks for.", 'token_file = "secrets/collector-token"', None
    )
    share: float = key("Which share of calls is traced.", "share = 0.05", 0.05, gt=0, le=1)
    callers: Literal["link", "parent"] = key(
        "Whether a call's trace links to the one that its caller names, or goes on in it.", 'callers = "link"', "link"
    )
