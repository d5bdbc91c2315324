"""Reads a bundle as one side of a comparison: who its catalogue is for, its rights, and the rest of its data."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from remit_server.adapters.policy.bundles.bundle import Bundle
from remit_server.application.comparing.values import Entry, Right, Rules, Side

_CATALOGUES: Final = frozenset({"entitlements", "capabilities", "administration"})
_DEPTH: Final = 3
MAX_TEXTS: Final = 4_000


def side_of(bundle: Bundle, rules: Rules) -> Side:
    """Returns a bundle, whose catalogue was checked when it was read, as one side of a comparison."""
    tree = json.loads(bundle.data_json)
    catalog = tree.get("remit", {}).get("catalog", {})
    entitlements = catalog.get("entitlements", {})
    stated = entitlements.get("entitlements", {})
    data = dict(_others(tree, ()))
    return Side(
        revision=bundle.revision,
        roles=tuple(entitlements.get("roles", [])),
        groups=entitlements.get("by_group", {}),
        stated=stated,
        entries=_Entries(stated),
        rights=tuple(_rights(catalog.get("administration", {}))),
        capabilities=bundle.capabilities,
        data={path: hashlib.sha256(_told(value).encode()).hexdigest() for path, value in data.items()},
        texts=tuple(sorted({text for value in data.values() for text in _texts(value)}))[:MAX_TEXTS],
        rules=rules,
    )


class _Entries(Mapping[str, Entry]):
    """The entitlements of a catalogue, each read when it is asked for: of 100,000 few are."""

    def __init__(self, stated: Mapping[str, Mapping[str, Any]]) -> None:
        self._stated = stated

    def __getitem__(self, name: str) -> Entry:
        return _entry(name, self._stated[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._stated)

    def __len__(self) -> int:
        return len(self._stated)


def _entry(name: str, raw: Mapping[str, Any]) -> Entry:
    """Returns one entitlement of the catalogue."""
    hours = raw.get("hours")
    return Entry(
        entitlement_id=name,
        actors=tuple(raw["actors"]),
        issuers=tuple(raw.get("issuers", ())),
        labels=tuple(sorted(raw.get("task_labels", {}).items())),
        hours=(tuple(hours["days"]), hours["from"], hours["to"], hours["time_zone"]) if hours else None,
        permissions=tuple((tuple(one["actions"]), tuple(one["resources"])) for one in raw["permissions"]),
    )


def _rights(raw: Any) -> Iterator[Right]:
    """Yields the rights of groups, then of callers; what is not of that form is left to the rules that read it."""
    for group, listed in _members(_members(raw).get("by_group")).items():
        yield from (_right(group, ("", ""), one) for one in _listed(listed))
    for issuer, callers in _members(_members(raw).get("by_caller")).items():
        for caller, listed in _members(callers).items():
            yield from (_right("", (issuer, caller), one) for one in _listed(listed))


def _right(group: str, caller: tuple[str, str], raw: Any) -> Right:
    """Returns one right."""
    may = tuple(str(rpc) for rpc in _listed(_members(raw).get("may")))
    return Right(group, caller, may, tuple(str(one) for one in _listed(_members(raw).get("issuers"))), _told(raw))


def _others(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Yields the data beside the catalogues, some steps down, by its path."""
    if path[:2] == ("remit", "catalog") and path[2:3] and path[2] in _CATALOGUES:
        return
    if isinstance(value, dict) and value and len(path) < _DEPTH:
        for key, inner in value.items():
            yield from _others(inner, (*path, key))
    else:
        yield "/".join(path), value


def _texts(root: Any) -> Iterator[str]:
    """Yields every text below a value, keys among them."""
    waiting: list[Any] = [root]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, str) and len(item) <= 512:  # noqa: PLR2004 - longer than what a permission may be of
            yield item


def _told(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _members(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
