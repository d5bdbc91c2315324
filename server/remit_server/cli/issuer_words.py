"""What `remit-server issuer keys` says: each key with its place in a rotation, and the next step."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from remit_server.adapters.issuer.keys import Keys, PublishedKey
from remit_server.adapters.issuer.signing_keys import PUBLISHED_BEFORE_USE
from remit_server.config.settings import OwnIssuerSettings

KEPT_AFTER_USE: Final = timedelta(hours=24)


def lines(settings: OwnIssuerSettings) -> list[str]:
    """Returns a line for each place that a key can have; raises OSError or ValueError when a file cannot be read."""
    keys = Keys.read(settings)
    places = (
        ("active", "signs", keys.active.published, settings.signing_key_file),
        ("next", "published, signs later", keys.coming, settings.next_signing_key_file),
        ("previous", "published, signed before", keys.previous, settings.previous_signing_key_file),
    )
    return [f"{name:<9} {_told(key, path, what)}" for name, what, key, path in places]


def _told(key: PublishedKey | None, path: Path | None, what: str) -> str:
    """Returns what is to be said of one place."""
    if path is None:
        return "no file is named for it"
    if key is None:
        return f"none: there is no {path}"
    return f"{key.key_id} ({key.algorithm}, {what}), {path} of {_time(_written(path))}"


def advice(settings: OwnIssuerSettings, now: datetime) -> Iterator[str]:
    """Yields the next steps. A key counts as published since its file was written, at the latest."""
    keys = Keys.read(settings)
    coming, previous = settings.next_signing_key_file, settings.previous_signing_key_file
    if coming is None or previous is None:
        yield "name next_signing_key_file and previous_signing_key_file in [issuer]: a rotation needs both"
        return
    if keys.previous is not None:
        ends = _written(previous) + KEPT_AFTER_USE
        yield f"{previous} may be removed" + ("" if now >= ends else f" from {_time(ends)} on")
    if keys.coming is None or keys.coming == keys.active.published:
        what = "there is none" if keys.coming is None else "it is the active one"
        if keys.coming is not None:
            yield f"remove {coming}"
        yield f"remit-server issuer keys --make {coming} makes the next key ({what}); it may sign 24 hours later"
        return
    ready = _written(coming) + PUBLISHED_BEFORE_USE
    if now < ready:
        yield f"wait until {_time(ready)}: until then not everybody may know the next key"
        return
    yield "to rotate, in this order, so that no key goes unpublished in between:"
    yield f"  install -m 600 {settings.signing_key_file} {previous}"
    yield f"  mv {coming} {settings.signing_key_file}"
    yield f"  remit-server issuer keys --make {coming}"
    yield "where the documents are exported files, export and publish them after that"


def _written(path: Path) -> datetime:
    """Returns when a file was written; raises OSError."""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _time(time: datetime) -> str:
    """Returns a time as people read it."""
    return f"{time:%Y-%m-%d %H:%M} UTC"
