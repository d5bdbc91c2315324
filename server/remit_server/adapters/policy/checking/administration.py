"""The administration catalogue: rights that are spelled as no rule reads them, and RPCs that no service has."""

import difflib
import re
from collections.abc import Iterator
from typing import Any, Final

from remit_server.adapters.policy.checking.places import Told
from remit_server.adapters.strict_fields import Malformed, Where, items, mapping, members, text, texts

# The security side's RPCs; a test holds them to the protos.
RPCS: Final = (
    *(f"GrantService.{name}" for name in ("GetGrant", "ListGrants", "RevokeGrants", "WatchGrants")),
    *(f"GrantService.{name}" for name in ("ListBlocks", "RemoveBlock")),
    *(f"ApprovalService.{name}" for name in ("ListApprovals", "GetApproval", "DecideApproval", "WatchApprovals")),
    *(f"PolicyService.{name}" for name in ("CheckRevision", "PublishRevision", "ListRevisions", "ActivateRevision")),
    *(f"PolicyService.{name}" for name in ("GetRevision", "DownloadRevision", "SimulateDecision", "ReplayRevision")),
    *(f"PolicyService.{name}" for name in ("StartShadow", "StopShadow", "GetShadow")),
    *(f"AuditService.{name}" for name in ("ListEvents", "WatchEvents", "VerifyChain")),
)
_RPC: Final = re.compile(r"[A-Z][A-Za-z]+Service\.[A-Z][A-Za-z]+")
_NAME: Final = re.compile(r"[\x21-\x7e]+")
_SCOPES: Final = frozenset({"accounts", "roles", "actors", "subject_issuers"})
_MOST: Final = 100_000


def administration_findings(value: Any) -> Iterator[Told]:
    """Yields what is wrong in the administration catalogue; nothing where there is none."""
    if value is None:
        return
    try:
        raw = members(value, (), required=frozenset({"by_group", "by_caller"}))
        rights = [*_rights(raw["by_group"], ("by_group",))]
        for issuer, callers in mapping(raw["by_caller"], ("by_caller",), most=_MOST).items():
            rights += _rights(callers, ("by_caller", issuer))
    except Malformed as wrong:
        yield wrong.where, wrong.rule, _SHAPE, "administration-shape"
        return
    for right, where in rights:
        try:
            _check_right(right, where)
        except Malformed as wrong:
            yield wrong.where, wrong.rule, _SHAPE, "administration-shape"
        else:
            yield from _unknown_rpcs(right, where)


_SHAPE: Final = "See schemas/administration.json"


def _rights(value: Any, where: Where) -> Iterator[tuple[Any, Where]]:
    """Yields every right of a mapping of lists of rights."""
    for name, listed in mapping(value, where, most=_MOST).items():
        for place, right in enumerate(items(listed, (*where, name), least=1, most=1_000)):
            yield right, (*where, name, place)


def _check_right(value: Any, where: Where) -> None:
    """Raises Malformed unless the value is a right."""
    raw = members(value, where, required=frozenset({"may", "visible"}), optional=frozenset({"issuers"}))
    texts(raw["may"], (*where, "may"), _RPC, "an RPC such as GrantService.ListGrants", most=1_000)
    if "issuers" in raw:
        texts(raw["issuers"], (*where, "issuers"), _NAME, "an issuer", most=1_000)
    visible, place = raw["visible"], (*where, "visible")
    if isinstance(visible, str):
        text(visible, place, _WORD, "all, own, or a list")
        return
    for number, sight in enumerate(items(visible, place, least=1, most=32)):
        _check_sight(sight, (*place, number))


_WORD: Final = re.compile(r"all|own")


def _check_sight(value: Any, where: Where) -> None:
    """Raises Malformed unless the value says which grants are seen."""
    if value == "own":
        return
    raw = members(value, where, required=frozenset(), optional=_SCOPES)
    if not raw:
        raise Malformed(where, "must name accounts, roles, actors or subject_issuers")
    for key, listed in raw.items():
        texts(listed, (*where, key), _NAME, "a name", most=256)


def _unknown_rpcs(right: dict[str, Any], where: Where) -> Iterator[Told]:
    """Yields the RPCs of a right that no service has."""
    for place, rpc in enumerate(right["may"]):
        if rpc not in RPCS:
            near = difflib.get_close_matches(rpc, RPCS, 1)
            mend = f"Did you mean {near[0]}?" if near else "Correct the name"
            yield (*where, "may", place), f"no service has an RPC {rpc}", mend, "unknown-rpc"
