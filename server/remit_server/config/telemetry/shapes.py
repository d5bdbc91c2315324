"""The tables of what is told of the gateway itself: its figures, its traces."""

from remit_server.config.http_shapes import HttpListenerTable
from remit_server.config.table_shape import key


class MetricsListenerTable(HttpListenerTable):
    """`[listen.metrics]`: the gateway's own figures, at /metrics."""

    address: str = key("Where to listen.", 'address = "127.0.0.1:9464"')
    token_file: str | None = key(
        "The file with the token that a scraper shows; required off loopback.",
        'token_file = "secrets/metrics-token"',
        None,
    )
