"""Finds where a rollback that names no revision goes to: further back at each, and never to what was gone back from."""

from collections.abc import Sequence
from typing import Final

from remit_server.application.policy.ports import Revisions
from remit_server.domain.errors import Denied, Reason
from remit_server.domain.policy_revision import Activation

MOST_LOOKED_BACK: Final = 100
NOWHERE: Final = (
    "there is no revision to go back to: none was active before this one that nobody went back from and that is not "
    "blocked. Name one (`remit-server policy list` shows them)"
)


def standing(past: Sequence[Activation]) -> list[str]:
    """Returns the revisions that were active and that nobody went back from, the active one last.

    To activate a revision again that stands is to go back from every one after it. `past` is newest first.
    """
    stood: list[str] = []
    for one in reversed(past):
        if one.revision in stood:
            del stood[stood.index(one.revision) + 1 :]
        else:
            stood.append(one.revision)
    return stood


async def one_before(revisions: Revisions) -> tuple[str, str]:
    """Returns the active revision and where a rollback goes to from it, empty for none; raises Outage."""
    stood = standing(await revisions.activations(None, limit=MOST_LOOKED_BACK))
    blocks = await revisions.blocks(stood)
    back = [revision for revision in stood[:-1] if revision not in blocks]
    return stood[-1] if stood else "", back[-1] if back else ""


def nowhere() -> Denied:
    """Returns what is told where there is no revision to go back to."""
    return Denied(Reason.REVISION_REFUSED, NOWHERE)
