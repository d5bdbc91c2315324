"""Replays where the ledger, or a copy of it, can be read: no gateway is asked."""

import asyncio
import re
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from remit_server.adapters.database.reading.history import DatabaseHistory
from remit_server.adapters.database.reading.own_reader import OwnReader, own_reader
from remit_server.adapters.database.reading.published import published_archive
from remit_server.adapters.policy.bundles.archive import MAX_ARCHIVE_BYTES, archive_of_files
from remit_server.adapters.policy.bundles.bundle_files import read_files
from remit_server.adapters.replaying.team import OpenTeam, cores
from remit_server.application.planning.ceilings import kept_ceilings
from remit_server.application.policy.replaying.report import Report
from remit_server.application.policy.replaying.running import Run
from remit_server.cli.policy.replaying.progress import Told
from remit_server.cli.policy.replaying.wanted import Wanted
from remit_server.config.loading import load
from remit_server.domain.decision import KeptText

_DIGITS: Final = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True, slots=True)
class LocalReplayer:
    """Reads a ledger."""

    database: str
    password_file: Path | None

    def __call__(self, wanted: Wanted, /) -> Report:
        """Returns the report; raises RemitError, ValueError or OSError when it cannot be made."""
        return asyncio.run(self._replayed(wanted))

    async def _replayed(self, wanted: Wanted) -> Report:
        given, told = _ceilings(wanted.config), Told(quiet=wanted.quiet)
        async with own_reader(self.database, password_file=self.password_file) as reader:
            archive = await _candidate(wanted.against, reader)
            async with OpenTeam(wanted.jobs or cores())(archive, given=given) as team:
                run = Run(DatabaseHistory(reader), team, given_ceilings=given is not None)
                async with aclosing(run(wanted.since, most=wanted.most)) as outcomes:
                    async for outcome in outcomes:
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
