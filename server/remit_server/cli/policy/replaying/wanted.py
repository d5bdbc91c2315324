"""What a replay is asked for, wherever the history is."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be replayed; `config` and `jobs` are for a ledger that is read here."""

    against: str
    since: datetime
    now: datetime
    most: int
    config: Path | None
    jobs: int | None
    quiet: bool
