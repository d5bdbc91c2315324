"""Replays where the ledger, or a copy of it, can be read: no gateway is asked."""

import re
from datetime import datetime
from pathlib import Path
from typing import Final

from remit_server.adapters.database.reading.history import DatabaseHistory
from remit_server.adapters.database.reading.own_reader import OwnReader, own_reader
from remit_server.adapters.database.reading.published import published_archive
from remit_server.adapters.policy.archive import MAX_ARCHIVE_BYTES, archive_of_files
from remit_server.adapters.policy.bundle_files import read_files
from remit_server.adapters.replaying.team import OpenTeam, cores
from remit_server.application.planning.ceilings import kept_ceilings
from remit_server.application.policy.replaying.report import Report
from remit_server.application.policy.replaying.running import Run
from remit_server.cli.policy.replaying.progress import Told
from remit_server.config.loading import load
from remit_server.domain.decision import KeptText

_DIGITS: Final = re.compile(r"[0-9a-f]{8,64}")


async def replay_locally(
    against: str,
    database: str,
    password_file: Path | None,
    since: datetime,
    *,
    most: int,
    config: Path | None,
    jobs: int | None,
    told: Told,
) -> Report:
    """Returns the report; raises RemitError, ValueError or OSError when it cannot be made."""
    given = _ceilings(config)
    async with own_reader(database, password_file=password_file) as reader:
        archive = await _candidate(against, reader)
        async with OpenTeam(jobs or cores())(archive, given=given) as team:
            run = Run(DatabaseHistory(reader), team, given_ceilings=given is not None)
            async for outcome in run(since, most=most):
                if isinstance(outcome, Report):
                    told.done()
                    return outcome
                told(outcome)
    raise AssertionError("a replay ends with its report")


async def _candidate(against: str, reader: OwnReader) -> bytes:
    """Returns the archive of a candidate: of a folder, as it is in a file, or as it was published."""
    archive = _from_files(against, Path(against))
    if archive is not None:
        return archive
    if not _DIGITS.fullmatch(against):
        raise ValueError(f"{against} is no folder, no file, and not 8 or more digits of a revision")
    return await published_archive(reader, against)


def _from_files(against: str, path: Path) -> bytes | None:
    """Returns the archive of a folder or a file; None where there is neither."""
    if path.is_dir():
        return archive_of_files(read_files(path))
    if not path.is_file():
        return None
    if path.stat().st_size > MAX_ARCHIVE_BYTES:
        raise ValueError(f"{against} has over {MAX_ARCHIVE_BYTES:,} bytes: it is no bundle")
    return path.read_bytes()


def _ceilings(config: Path | None) -> KeptText | None:
    """Returns the ceilings of a configuration; raises ConfigurationError."""
    if config is None:
        return None
    settings = load(config)
    return kept_ceilings(settings.roles, [str(action) for action in settings.forbidden_extra])
