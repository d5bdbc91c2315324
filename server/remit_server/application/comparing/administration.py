"""Compares who may call the security side: asks both policies for every group and caller that rights name."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from remit_server.application.comparing.asking.asked import Asked
from remit_server.application.comparing.asking.askers import UNNAMED_ISSUER
from remit_server.application.comparing.asking.questions import operator_question
from remit_server.application.comparing.asking.touched import spread
from remit_server.application.comparing.judging.administration import admin_changes
from remit_server.application.comparing.values import Change, Doubt, DoubtKind, Right, Side
from remit_server.domain.errors import Outage

MOST_CALLERS: Final = 200
# What the API has; rights may name others, which are asked for, too.
RPCS: Final = frozenset(
    {
        *(f"GrantService.{name}" for name in ("GetGrant", "ListGrants", "WatchGrants", "RevokeGrants")),
        *(f"GrantService.{name}" for name in ("ListBlocks", "RemoveBlock")),
        *(f"ApprovalService.{name}" for name in ("ListApprovals", "GetApproval", "WatchApprovals", "DecideApproval")),
        *(f"PolicyService.{name}" for name in ("CheckRevision", "PublishRevision", "ListRevisions")),
        *(f"PolicyService.{name}" for name in ("ActivateRevision", "SimulateDecision", "ReplayRevision")),
        *(f"AuditService.{name}" for name in ("ListEvents", "WatchEvents", "VerifyChain")),
    }
)
_EVERYBODY: Final = {"kind": "revision", "id": "0" * 64, "issuer": "", "block": True}
_TARGETS: Final[Mapping[str, Mapping[str, Any]]] = {"GrantService.RevokeGrants": _EVERYBODY}
Who = tuple[str, tuple[str, str], str]
"""A group, or a caller's (issuer, id), and the issuer that vouches."""


async def compared_rights(
    before: Side, after: Side, asked: Asked, *, everywhere: bool
) -> tuple[list[Change], list[Doubt]]:
    """Returns every change in who may call what, and what could not be answered or was left out."""
    names = _names(before, after, everywhere=everywhere)
    kept = spread(names, MOST_CALLERS)
    doubts = []
    if len(kept) < len(names):
        text = f"{len(names) - len(kept):,} groups and callers of the security side were not asked about"
        doubts.append(Doubt(DoubtKind.LEFT_OUT, text))
    rpcs = sorted({*RPCS, *(rpc for side in (before, after) for right in side.rights for rpc in right.may)})
    changes: dict[Change, None] = {}
    for group, caller in kept:
        for who in _asking(group, caller, before, after):
            for rpc in rpcs:
                answers = await asked.administer(operator_question(*who, rpc, _TARGETS.get(rpc)))
                if answers is None:
                    continue
                then, now = answers
                if isinstance(then, Outage) or isinstance(now, Outage):
                    doubts.append(_unanswered(who))
                else:
                    changes.update(dict.fromkeys(admin_changes(_named(who), rpc, then, now)))
    return list(changes), list(dict.fromkeys(doubts))


def _names(before: Side, after: Side, *, everywhere: bool) -> list[tuple[str, tuple[str, str]]]:
    """Returns the groups and callers whose rights changed; all of them, and nobody, when rules may have."""

    def told(rights: tuple[Right, ...]) -> dict[tuple[str, tuple[str, str]], set[str]]:
        found: dict[tuple[str, tuple[str, str]], set[str]] = {}
        for right in rights:
            found.setdefault((right.group, right.caller), set()).add(right.told)
        return found

    then, now = told(before.rights), told(after.rights)
    names = {name for name in {*then, *now} if everywhere or then.get(name) != now.get(name)}
    return sorted({*names, *([("", ("", ""))] if everywhere else [])})


def _asking(group: str, caller: tuple[str, str], before: Side, after: Side) -> Iterator[Who]:
    """Yields who asks: a member of the group by each issuer that its rights name and by another, or the caller."""
    if caller[1]:
        yield "", caller, caller[0]
        return
    rights = [right for side in (before, after) for right in side.rights if right.group == group]
    for issuer in (*sorted({issuer for right in rights for issuer in right.issuers}), UNNAMED_ISSUER):
        yield group, ("", ""), issuer


def _named(who: Who) -> str:
    """Returns what people call who asks."""
    group, (_, name), issuer = who
    vouched = "" if issuer == UNNAMED_ISSUER else f" of {issuer}"
    if name:
        return f"{name}{vouched}"
    return f"group {group}{vouched}" if group else "somebody without a group"


def _unanswered(who: Who) -> Doubt:
    return Doubt(DoubtKind.UNANSWERED, f"{_named(who)}: a policy gave no decision on the security side")
