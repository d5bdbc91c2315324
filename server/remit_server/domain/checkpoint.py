"""A point of the audit chain that is kept elsewhere: what stands up to there cannot be changed unseen."""

from dataclasses import dataclass
from datetime import datetime

from remit_server.domain.decision import canonical_json

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """So many records, the hash of the last of them, and when that was."""

    count: int
    head: str
    time: datetime

    def text(self, key: str) -> str:
        """Returns the one text that is signed; `key` is the fingerprint of the key that signs."""
        return canonical_json(
            {
                "format": FORMAT,
                "count": self.count,
                "head": self.head,
                "time": self.time.isoformat(timespec="microseconds"),
                "key": key,
            }
        )
