"""The HTTP listeners, as frozen settings."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class HttpListenerSettings:
    """An HTTP listener. Without `key_pair` (certificate chain, private key) it is on loopback.

    `name` is its place in the configuration.
    """

    address: str
    key_pair: tuple[Path, Path] | None = None
    name: str = "listen.http"
