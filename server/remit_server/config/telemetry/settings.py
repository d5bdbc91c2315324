"""What is told of the gateway itself, as frozen settings."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from remit_server.config.http_settings import HttpListenerSettings
from remit_server.domain.secret import Secret


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """Where the figures are told, and which token a scraper shows; None: whoever reaches the address sees them."""

    listener: HttpListenerSettings
    token: Secret | None = field(default=None, repr=False)


class Callers(StrEnum):
    """What becomes of the trace that a caller names as its own."""

    LINK = "link"
    PARENT = "parent"


@dataclass(frozen=True, slots=True)
class TracingSettings:
    """Where traces go (OTLP over HTTP, the collector's base URL), and which share of calls is traced."""

    endpoint: str
    ca_file: Path | None = None
    token: Secret | None = field(default=None, repr=False)
    share: float = 0.05
    callers: Callers = Callers.LINK
