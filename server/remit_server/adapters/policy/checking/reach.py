"""Entitlements that nobody can use, or that add nothing, as far as the catalogue alone can tell."""

import re
import zoneinfo
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from remit_server.adapters.policy.checking.places import Catalogue, Told
from remit_server.adapters.policy.checking.proofs import Proofs
from remit_server.adapters.strict_fields import Where

_LABEL: Final = re.compile(r"[a-z0-9_-]{1,63}")  # protos/remit/v1/types.proto, TaskIntent.labels
_LABEL_VALUE: Final = 256
_SURELY: Final = frozenset({"Europe/Berlin", "America/New_York", "Asia/Tokyo"})
_MOST_COMPARED: Final = 40  # entitlements of one group, role and set of agents that are held against each other


def reach_findings(catalogue: Catalogue) -> Iterator[Told]:
    """Yields labels that no task carries and lifetimes that are never given."""
    for name, entry in catalogue.entitlements.items():
        where: Where = ("entitlements", name)
        for label, value in entry.get("task_labels", {}).items():
            if not _LABEL.fullmatch(label) or len(value) > _LABEL_VALUE:
                yield (*where, "task_labels", label), "no task can carry this label", _LABELS, "impossible-label"
        if entry["max_credential_seconds"] > entry["max_task_seconds"]:
            problem = f"is {entry['max_credential_seconds']}, and the task ends after {entry['max_task_seconds']}"
            yield (
                (*where, "max_credential_seconds"),
                problem,
                f"Write at most {entry['max_task_seconds']}",
                "cut-lifetime",
            )
        approval = entry.get("approval") or {}
        if approval.get("by") == "subject" and (approval["groups"] or approval["min_approvers"] > 1):
            yield (
                (*where, "approval"),
                "is by the subject alone, and asks for more all the same",
                _ALONE,
                "ignored-approvers",
            )
        zone = entry.get("hours", {}).get("time_zone", "UTC")
        if not is_time_zone(zone):
            yield (
                (*where, "hours", "time_zone"),
                f"there is no time zone {zone}",
                "Write one such as Europe/Berlin",
                "unknown-time-zone",
            )


_ALONE: Final = "Write by: others, or leave groups empty and min_approvers at 1"
_LABELS: Final = "Keys are [a-z0-9_-]{1,63}, values up to 256 characters"


def is_time_zone(name: str) -> bool:
    """Says whether the IANA database has a zone; where this machine has no such database, every name is one."""
    known = _time_zones()
    return name == "UTC" or not known >= _SURELY or name in known


@cache
def _time_zones() -> frozenset[str]:
    """Returns the zones that this machine knows."""
    return frozenset(zoneinfo.available_timezones())


def shadowed_findings(catalogue: Catalogue, proofs: Proofs) -> Iterator[Told]:
    """Yields entitlements that another one covers wholly: for the same people and agents, no shorter, no stricter.

    Only those of one group, role and set of agents are compared, and at most so many of them.
    """
    groups_of: dict[str, set[str]] = defaultdict(set)
    for group, names in catalogue.by_group.items():
        for name in names:
            groups_of[name].add(group)
    alike: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for name, entry in catalogue.entitlements.items():
        if groups_of[name]:
            alike[entry["role_arn"], tuple(sorted(entry["actors"])), min(groups_of[name])].append(name)
    for names in alike.values():
        few = {name: proofs.named(catalogue.entitlements[name]["permissions"]) for name in names[:_MOST_COMPARED]}
        for name in few if len(few) > 1 else ():
            other = _covering(name, few, catalogue, groups_of, proofs)
            if other is not None:
                problem = f"{other} gives the same people and agents all of it"
                yield ("entitlements", name), problem, "Take one of them out", "shadowed-entitlement"


def _covering(
    name: str, few: Mapping[str, str], catalogue: Catalogue, groups_of: Mapping[str, set[str]], proofs: Proofs
) -> str | None:
    """Returns the first entitlement that covers this one; of two equal ones only the later is covered."""
    entry = catalogue.entitlements[name]
    for other, permissions in few.items():
        if other == name or not proofs.within(few[name], permissions) or not groups_of[name] <= groups_of[other]:
            continue
        theirs = catalogue.entitlements[other]
        if not _no_stricter(theirs, entry):
            continue
        same = few[name] == permissions and groups_of[name] == groups_of[other] and _no_stricter(entry, theirs)
        if not (same and other > name):
            return other
    return None


_SAME: Final = ("kind", "approval", "bind", "task_labels", "issuers", "hours")


def _no_stricter(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Says whether one entitlement may be used whenever the other may, as easily and as long."""
    if one.get("kind", "standard") != other.get("kind", "standard"):
        return False
    free = all(one.get(key) in (None, {}) or one.get(key) == other.get(key) for key in _SAME[1:])
    long = all(one[key] >= other[key] for key in ("max_credential_seconds", "max_task_seconds"))
    return free and long and (one.get("offline_renewal", False) or not other.get("offline_renewal", False))
