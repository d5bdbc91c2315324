"""Whose the revocation policies are: one ledger's, by the mark in their texts; another's is never written over."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from remit_server.application.revocation.ports import DenyOutbox, RevocationPolicies
from remit_server.application.revocation.texts import lines_of, mark_of

ONE_LEDGER: Final = (
    "two gateways with different databases would undo each other's denies. Give one of them a policy_prefix of its own "
    "([revocation]) and apply what `remit-server aws plan` then writes; or, when the other database is gone for good, "
    "put the policy back to the text of `remit-server aws plan`, which denies nobody: this gateway then takes it"
)

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Ownership:
    """Tells the policies of one account that this ledger may write from those of others, and alarms once for each."""

    account: str
    holder: str
    outbox: DenyOutbox
    policies: RevocationPolicies
    mark: str = ""
    _others: dict[int, str] = field(default_factory=dict)

    async def may_write(self, texts: Sequence[str | None], known: Mapping[int, str]) -> list[int]:
        """Returns the places of the policies that exist and are no other ledger's; `known` is what was in force.

        Alarms of those that are, and of those that somebody changed who left no mark.
        """
        if not self.mark:
            self.mark = await self.outbox.identity()
        ours = []
        for place, text in enumerate(texts):
            mark = "" if text is None else mark_of(text)
            if mark not in ("", self.mark):
                await self._alarm(place, mark)
                continue
            self._others.pop(place, None)
            if text is not None:
                ours.append(place)
                if not mark and (lines_of(text) is None or known.get(place, text) != text):
                    await self._warn(place)
        return ours

    def unmarked(self, texts: Sequence[str] | None) -> list[int]:
        """Returns the places of the texts that are nobody's yet, which may be taken."""
        return [place for place, text in enumerate(texts or ()) if mark_of(text) != self.mark]

    def others_only(self) -> str:
        """Returns why nothing can be written where every policy is another ledger's; empty where none is."""
        marks = ", ".join(sorted(set(self._others.values())))
        return f"the revocation policies belong to another database ({marks}): {ONE_LEDGER}" if marks else ""

    async def _alarm(self, place: int, mark: str) -> None:
        """Alarms of a policy of another ledger, unless that was done."""
        if self._others.get(place) == mark:
            return
        name = self.policies.name(self.account, place)
        _log.error(
            "AWS account %s: revocation policy %s carries the mark %s of another gateway's database (this one's: %s). "
            "It is not written, and what finds no room in the others works until its time guard: %s",
            self.account,
            name,
            mark,
            self.mark,
            ONE_LEDGER,
        )
        await self.outbox.foreign(self.account, self.holder, name, mark)
        self._others[place] = mark

    async def _warn(self, place: int) -> None:
        """Says that somebody else changed a policy that is this ledger's."""
        name = self.policies.name(self.account, place)
        _log.warning(
            "AWS account %s: revocation policy %s was changed by somebody else; it is written anew. See in CloudTrail "
            "who calls iam:CreatePolicyVersion, and take that right away",
            self.account,
            name,
        )
        await self.outbox.changed(self.account, self.holder, name)
