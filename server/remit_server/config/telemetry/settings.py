"""What is told of the gateway itself, as frozen settings."""

from dataclasses import dataclass, field

from remit_server.config.http_settings import HttpListenerSettings
from remit_server.domain.secret import Secret


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """Where the figures are told, and which token a scraper shows; None: whoever reaches the address sees them."""

    listener: HttpListenerSettings
    token: Secret | None = field(default=None, repr=False)
