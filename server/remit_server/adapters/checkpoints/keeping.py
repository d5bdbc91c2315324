"""Where signed checkpoints go: the end of a file, or a place that takes them by https."""

import asyncio
import errno
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from remit_server.adapters.checkpoints.signing import CheckpointSigner
from remit_server.adapters.identity.https_fetch import FetchFailed, HttpsFetch
from remit_server.application.oversight.keep_checkpoints import Undelivered
from remit_server.config.checkpoint_settings import CheckpointSettings
from remit_server.domain.checkpoint import Checkpoint
from remit_server.domain.secret import Secret

DEADLINE_SECONDS: Final = 5.0
MAX_ANSWER_BYTES: Final = 64 * 1024
_TAKEN: Final = range(200, 300)


@dataclass(frozen=True, slots=True)
class CheckpointFile:
    """Adds checkpoints to a file (implements `Keep`); each is on disk before the next thing happens."""

    signer: CheckpointSigner
    path: Path

    async def __call__(self, checkpoint: Checkpoint, /) -> None:
        """Returns once the line is on disk; raises Undelivered."""
        try:
            await asyncio.to_thread(self._add, self.signer.line(checkpoint))
        except OSError as error:
            raise Undelivered(f"{self.path} cannot be written: {error.strerror}") from error

    def _add(self, line: str) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(descriptor)
            whole = f"{line}\n".encode()
            written = os.write(descriptor, whole)  # by one write, and nobody else's until it is on disk or taken back
            if written < len(whole):
                # NOTE: the disk is full. A part of a line would be read as a checkpoint that somebody has changed.
                os.ftruncate(descriptor, os.lseek(descriptor, 0, os.SEEK_END) - written)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Keeps other gateways from adding to a file until it is closed; raises OSError when one of them does so now."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BlockingIOError(errno.EWOULDBLOCK, "another process holds its lock") from None


@dataclass(frozen=True, slots=True)
class CheckpointReceiver:
    """Sends checkpoints by https (implements `Keep`); anything but 2xx is no delivery, a redirect too."""

    signer: CheckpointSigner
    url: str
    token: Secret | None
    fetch: HttpsFetch

    async def __call__(self, checkpoint: Checkpoint, /) -> None:
        """Returns once the receiver took it; raises Undelivered."""
        headers = {"Content-Type": "application/json"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token.reveal()}"
        body = self.signer.line(checkpoint).encode()
        try:
            answer = await self.fetch.exchange("POST", self.url, body=body, headers=headers)
        except FetchFailed as failed:
            raise Undelivered(str(failed)) from failed
        if answer.status not in _TAKEN:
            raise Undelivered(f"the receiver answered with HTTP status {answer.status}")


@dataclass(frozen=True, slots=True)
class EveryPlace:
    """Keeps a checkpoint in every place (implements `Keep`); where one fails, all are tried again."""

    places: tuple[CheckpointFile | CheckpointReceiver, ...]

    async def __call__(self, checkpoint: Checkpoint, /) -> None:
        """Returns once all have it; raises Undelivered."""
        for keep in self.places:
            await keep(checkpoint)


def keeper_of(settings: CheckpointSettings) -> EveryPlace:
    """Returns where checkpoints are kept; raises OSError and KeyRefused for a key that cannot be used."""
    signer = CheckpointSigner.of(settings.signing_key_file)
    places: list[CheckpointFile | CheckpointReceiver] = []
    if settings.file is not None:
        places.append(CheckpointFile(signer, settings.file))
    if settings.url is not None:
        fetch = HttpsFetch(
            hosts=[urlsplit(settings.url).hostname or ""],
            ca_file=settings.ca_file,
            private_network=settings.private_network,
            deadline_seconds=DEADLINE_SECONDS,
            max_bytes=MAX_ANSWER_BYTES,
        )
        places.append(CheckpointReceiver(signer, settings.url, settings.token, fetch))
    return EveryPlace(tuple(places))
