"""Reads the catalogue out of a bundle's data: checks every entitlement, builds the capabilities intents may name."""

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from remit_server.adapters.policy.bundles.capability_json import capability
from remit_server.adapters.policy.bundles.entitlement_json import DECIDED, ENTITLEMENT_ID, ROLE_ARN, entitlement
from remit_server.adapters.policy.findings import Finding
from remit_server.adapters.strict_fields import TEXT, Malformed, Where, items, mapping, members, spelled, text, texts
from remit_server.domain.capability import CapabilityTemplate

MAX_ENTITLEMENTS: Final = 200_000
MAX_CAPABILITIES: Final = 1_000
_ENTITLEMENTS: Final = "remit/catalog/entitlements"
_CAPABILITIES: Final = "remit/catalog/capabilities"
_OPTIONAL: Final = frozenset({"kind", "approval", "bind", "offline_renewal"})
_DEFAULTS: Final = {"kind": "standard", "approval": None, "bind": None, "offline_renewal": False}
_WHO: Final = frozenset({"description", "actors"})
_WHO_OPTIONAL: Final = frozenset({"issuers", "task_labels", "hours"})
_DAYS: Final = re.compile(r"Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday")
_CLOCK: Final = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_ZONE: Final = re.compile(r"UTC|[A-Z][A-Za-z]+(/[A-Za-z_+-]+){1,2}")

Lines = Mapping[tuple[str | int, ...], int]


class Contradiction(Malformed):
    """Parts of the catalogue that are right by themselves do not fit each other; `rule_id` names the rule."""

    def __init__(self, where: Where, rule: str, rule_id: str, mend: str = "") -> None:
        super().__init__(where, rule)
        self.rule_id = rule_id
        self.mend = mend


def read_catalogue(
    tree: Mapping[str, Any], lines: Mapping[str, tuple[str, Lines]]
) -> tuple[dict[str, CapabilityTemplate], list[Finding]]:
    """Returns the capabilities by name, and a finding for every fault of the catalogue.

    `tree` is the bundle's data; `lines` tells per data folder the file it came from and where its values start.
    """
    catalog = tree.get("remit", {}).get("catalog", {})
    found = [_finding(fault, _ENTITLEMENTS, lines) for fault in _entitlement_faults(catalog.get("entitlements", {}))]
    capabilities: dict[str, CapabilityTemplate] = {}
    try:
        listed = mapping(catalog.get("capabilities", {}), (), most=MAX_CAPABILITIES)
    except Malformed as fault:
        return {}, [*found, _finding(fault, _CAPABILITIES, lines)]
    for name, raw in listed.items():
        try:
            capabilities[name] = capability(name, raw)
        except Malformed as fault:
            found.append(_finding(fault, _CAPABILITIES, lines))
    return capabilities, found


def catalogue_advice(tree: Mapping[str, Any], lines: Mapping[str, tuple[str, Lines]]) -> list[Finding]:
    """Returns what nothing forbids in a sound catalogue, but its author hardly meant.

    Agents that cannot be, and break-glass that every task gets.

    Takes what `read_catalogue` takes.
    """
    catalog = tree.get("remit", {}).get("catalog", {})
    entries = catalog.get("entitlements", {}).get("entitlements", {})
    agents = [
        Finding(*_place(where, _ENTITLEMENTS, lines), f"{spelled(where)}: {_NO_AGENT}", _AGENTS, "actor-form")
        for name, entry in entries.items()
        for place, pattern in enumerate(entry["actors"])
        if ":" not in pattern
        for where in [("entitlements", name, "actors", place)]
    ]
    at_once = [
        Finding(*_place(where, _ENTITLEMENTS, lines), f"{spelled(where)}: {_ANY_TASK}", _EMERGENCY, _BREAK_GLASS)
        for name, entry in entries.items()
        if entry.get("kind") == "break_glass" and not entry.get("task_labels")
        for where in [("entitlements", name, "kind")]
    ]
    return agents + at_once


_BREAK_GLASS: Final = "break-glass-any-task"
_NO_AGENT: Final = "an agent's name in policies is its SPIFFE ID or <issuer alias>:<subject>, and this is neither"
_ANY_TASK: Final = "break_glass is issued at once to every task, since no label says that there is an emergency"
_EMERGENCY: Final = "Give it task_labels that only an emergency has, such as {emergency: declared}"
_MOST_TOLD: Final = 128  # characters of an id that is told back
_AGENTS: Final = "Write spiffe://<trust domain>/<path> or <issuer alias>:<subject>, not the id under [[agents]]"


def _entitlement_faults(value: Any) -> Iterator[Malformed]:
    """Yields every fault of the entitlements: each by itself, then how the index by group and the roles fit them."""
    if value == {}:
        return
    try:
        raw = members(value, (), required=frozenset({"roles", "by_group", "entitlements"}))
        roles = frozenset(texts(raw["roles"], ("roles",), ROLE_ARN, "the ARN of an IAM role", most=1_000))
        entries = mapping(raw["entitlements"], ("entitlements",), most=MAX_ENTITLEMENTS)
        groups = mapping(raw["by_group"], ("by_group",), most=MAX_ENTITLEMENTS)
    except Malformed as fault:
        yield fault
        return
    for name, entry in entries.items():
        try:
            _check_entry(name, entry, roles)
        except Malformed as fault:
            yield fault
    yield from _index_faults(groups, entries)


def _check_entry(name: str, value: Any, roles: frozenset[str]) -> None:
    """Raises Malformed unless the entry is a whole entitlement with its who."""
    where: Where = ("entitlements", name)
    text(name, where, ENTITLEMENT_ID, "named with a-z, 0-9, '.', '_' and '-'")
    raw = members(value, where, required=(DECIDED - _OPTIONAL - {"id"}) | _WHO, optional=_OPTIONAL | _WHO_OPTIONAL)
    text(raw["description"], (*where, "description"), TEXT, "one line of text")
    # NOTE: a "*" in an actor stays within one path step: "spiffe://x/agents/*" never reaches deeper.
    texts(raw["actors"], (*where, "actors"), TEXT, "an actor's id, or a pattern of one", most=100)
    if "issuers" in raw:
        texts(raw["issuers"], (*where, "issuers"), TEXT, "an issuer", most=20)
    for label, wanted in mapping(raw.get("task_labels", {}), (*where, "task_labels"), most=16).items():
        text(wanted, (*where, "task_labels", label), TEXT, "a string without control characters")
    if "hours" in raw:
        _check_hours(raw["hours"], (*where, "hours"))
    decided = _DEFAULTS | {key: raw[key] for key in raw.keys() & DECIDED} | {"id": name}
    if entitlement(decided, where).role_arn not in roles:
        rule = "is not listed under roles, which give the order in which roles are tried"
        raise Contradiction((*where, "role_arn"), rule, "unlisted-role")


def _check_hours(value: Any, where: Where) -> None:
    """Raises Malformed unless the value says when an entitlement may be used."""
    raw = members(value, where, required=frozenset({"days", "from", "to", "time_zone"}))
    texts(raw["days"], (*where, "days"), _DAYS, "a weekday such as Monday", most=7)
    start = text(raw["from"], (*where, "from"), _CLOCK, "a time of day such as 08:00, quoted")
    end = text(raw["to"], (*where, "to"), _CLOCK, "a time of day such as 18:00, quoted")
    text(raw["time_zone"], (*where, "time_zone"), _ZONE, "a time zone such as Europe/Berlin or UTC")
    if start >= end:
        raise Malformed(where, "must begin before they end; write a night as two entitlements")


def _index_faults(groups: Mapping[str, Any], entries: Mapping[str, Any]) -> Iterator[Malformed]:
    """Yields what is wrong between the index by group and the entitlements it leads to."""
    reached: set[str] = set()
    for group, value in groups.items():
        where: Where = ("by_group", group)
        try:
            text(group, where, TEXT, "named with 1 to 512 characters, none of them a control character")
            names = items(value, where, least=1, most=1_000)
        except Malformed as fault:
            yield fault
            continue
        for place, name in enumerate(names):
            if isinstance(name, str) and name in entries:
                reached.add(name)
            else:
                yield _leads_nowhere((*where, place), name, entries)
    for name in sorted(entries.keys() - reached):
        rule = "is reached by no group under by_group, so nobody could ever use it"
        yield Contradiction(("entitlements", name), rule, "unreached-entitlement")


def _leads_nowhere(where: Where, name: object, entries: Mapping[str, Any]) -> Contradiction:
    """Returns the fault of an index that leads to nothing, with the nearest id that leads somewhere."""
    if not isinstance(name, str):
        return Contradiction(where, "leads to no entitlement: it is no id", "dangling-group")
    told = name[:_MOST_TOLD]
    near = difflib.get_close_matches(told, [str(one) for one in entries], 1)
    mend = f"Did you mean {near[0]}?" if near else "Write the id of an entitlement, or add this one under entitlements"
    return Contradiction(where, f"leads to no entitlement: there is no {told!r}", "dangling-group", mend)


def _finding(fault: Malformed, folder: str, lines: Mapping[str, tuple[str, Lines]]) -> Finding:
    """Returns the fault with its file and the nearest line known."""
    mend = f"See policies/schemas/{folder.rsplit('/', 1)[1]}.json"
    rule = "catalogue-shape"
    if isinstance(fault, Contradiction):
        mend, rule = fault.mend or mend, fault.rule_id
    return Finding(*_place(fault.where, folder, lines), str(fault), mend, rule)


def _place(where: Where, folder: str, lines: Mapping[str, tuple[str, Lines]]) -> tuple[str, int]:
    """Returns the file of a value and the nearest line known."""
    path, starts = lines.get(folder, (folder, {}))
    while where and where not in starts:
        where = where[:-1]
    return path, starts.get(where, 0)
