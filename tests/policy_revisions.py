"""Revisions that tests publish and activate in a gateway's database, as somebody beside the gateways does."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.databases import Place

from remit_sandbox.configuration import sample_policies
from remit_server.adapters.database.ledger import open_ledger
from remit_server.adapters.database.policies.revisions import DatabaseRevisions
from remit_server.adapters.policy.bundles.archive import archive_of_files
from remit_server.adapters.policy.bundles.bundle import bundle_of, stamp
from remit_server.adapters.policy.bundles.bundle_files import read_files
from remit_server.adapters.policy.bundles.facts import facts_of
from remit_server.adapters.system_clock import SystemClock
from remit_server.application.policy.ports import Activated, ActivationOrder, NewRevision
from remit_server.domain.policy_revision import RevisionSource

ISSUE = "remit/issue/issue.rego"


def sample_with(folder: Path, note: str, changes: Mapping[str, str] | None = None) -> Path:
    """Writes the sample policy with a comment that makes it another revision, and with files replaced."""
    shutil.copytree(sample_policies(), folder)
    for path, text in (changes or {}).items():
        (folder / path).write_text(text)
    rule = folder / ISSUE
    rule.write_text(f"{rule.read_text()}\n# {note}\n")
    stamp(folder)
    return folder


def revision_in(folder: Path) -> NewRevision:
    """Returns what is in a folder as it is published."""
    files = read_files(folder)
    return NewRevision(facts_of(files, bundle_of(files)), archive_of_files(files))


@dataclass
class Beside:
    """Somebody who publishes and activates in the database itself."""

    revisions: DatabaseRevisions

    async def publish(self, new: NewRevision) -> str:
        """Publishes and returns the digest."""
        published, _ = await self.revisions.publish(new, by="ada", source=RevisionSource.OFFLINE)
        return published.revision

    async def activate(self, revision: str, **more: Any) -> Activated:
        """Activates a revision."""
        return await self.revisions.activate(ActivationOrder(revision, by="ada", why="as reviewed", **more))


async def published_and_activated(place: Place, *folders: Path) -> list[str]:
    """Publishes and activates what is in each folder, one after the other; returns the digests."""
    done = []
    async with open_ledger(place, SystemClock()) as ledger:
        beside = Beside(DatabaseRevisions(ledger.store))
        for folder in folders:
            done.append(await beside.publish(revision_in(folder)))
            await beside.activate(done[-1])
    return done
