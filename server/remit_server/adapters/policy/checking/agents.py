"""Entitlements held against whom the gateway can meet: its agents, its identity providers, the groups they give."""

import difflib
import re
from collections.abc import Iterator
from typing import Final

from remit_server.adapters.policy.checking.places import Catalogue, Told
from remit_server.adapters.policy.checking.serving import Serving
from remit_server.adapters.rego.builtins import glob_match
from remit_server.config.identity_settings import IssuerSettings

_WILD: Final = re.compile(r"[*?\[{\\]")
_SEPARATORS: Final = ("/", ":")


def pattern_findings(catalogue: Catalogue) -> Iterator[Told]:
    """Yields actors that are no patterns."""
    known: dict[str, bool] = {}
    for name, entry in catalogue.entitlements.items():
        for place, pattern in enumerate(entry["actors"]):
            if pattern not in known:
                known[pattern] = _is_pattern(pattern)
            if not known[pattern]:
                where = ("entitlements", name, "actors", place)
                yield where, f"{pattern} cannot be read as a pattern", "Close its brackets and braces", "actor-pattern"


def _is_pattern(pattern: str) -> bool:
    """Says whether both engines can read a pattern."""
    try:
        glob_match(pattern, list(_SEPARATORS), "")
    except ValueError:
        return False
    return True


def agent_findings(catalogue: Catalogue, settings: Serving) -> Iterator[Told]:
    """Yields who is entitled and can never come: agents, users of other issuers, groups that nobody gives."""
    met = _Met(settings)
    users = {one.issuer for one in settings.issuers if one.subjects or one.carries_actor}
    for name, entry in catalogue.entitlements.items():
        for place, pattern in enumerate(entry["actors"]):
            if not met.fits(pattern):
                where = ("entitlements", name, "actors", place)
                yield where, f"{pattern} fits no agent of this gateway", met.mend(pattern), "unknown-agent"
        for place, issuer in enumerate(entry.get("issuers", ())):
            if issuer not in users:
                near = difflib.get_close_matches(issuer, sorted(users), 1, cutoff=0.8)
                mend = f"Did you mean {near[0]}?" if near else "Add it under [[issuers]], or take it out"
                where = ("entitlements", name, "issuers", place)
                yield where, f"this gateway takes no users from {issuer}", mend, "unknown-issuer"
    groups = _groups(settings)
    for group in catalogue.by_group if groups is not None else ():
        if groups is not None and group not in groups:
            near = difflib.get_close_matches(group, sorted(groups), 1, cutoff=0.8)
            mend = f"Did you mean {near[0]}?" if near else "Add it to group_map or group_members"
            yield ("by_group", group), f"no identity provider can give anybody the group {group}", mend, "unknown-group"


class _Met:
    """The agents that a gateway can meet, by their names in policies."""

    def __init__(self, settings: Serving) -> None:
        aliases = {one.issuer: one.alias for one in settings.issuers}
        self._names = {
            one.spiffe_id or f"{aliases.get(one.issuer or '', '')}:{one.subject}": one.agent for one in settings.agents
        }
        self._open = tuple(f"{one.alias}:" for one in settings.issuers if one.carries_actor)
        self._known: dict[str, bool] = {}

    def fits(self, pattern: str) -> bool:
        """Says whether some agent may have a name that the pattern fits; an issuer that carries agents has any."""
        if pattern not in self._known:
            self._known[pattern] = self._fits(pattern)
        return self._known[pattern]

    def _fits(self, pattern: str) -> bool:
        lead = _WILD.split(pattern)[0]
        if any(lead.startswith(alias) or (lead != pattern and alias.startswith(lead)) for alias in self._open):
            return True
        if lead == pattern:
            return pattern in self._names
        try:
            return any(glob_match(pattern, list(_SEPARATORS), name) for name in self._names)
        except ValueError:
            return True  # told already: it is no pattern

    def mend(self, pattern: str) -> str:
        """Says what to write instead."""
        called = next((name for name, agent in self._names.items() if agent == pattern), None)
        if called is not None:
            return f"The agent {pattern} is called {called} here"
        near = difflib.get_close_matches(pattern, sorted(self._names), 1, cutoff=0.8)
        return f"Did you mean {near[0]}?" if near else "Add the agent under [[agents]], or take the pattern out"


def _groups(settings: Serving) -> frozenset[str] | None:
    """Returns every group that a user can have, or None where an identity provider's groups are its own to choose."""
    found: set[str] = set()
    for one in settings.issuers:
        if one.subjects or one.carries_actor:
            groups = _groups_of(one)
            if groups is None:
                return None
            found |= groups
    return frozenset(found)


def _groups_of(issuer: IssuerSettings) -> set[str] | None:
    """Returns the groups of one identity provider where the configuration lists them all."""
    if issuer.group_map:
        return {mine for _, mine in issuer.group_map} | {group for group, _ in issuer.group_members}
    return {group for group, _ in issuer.group_members} or None
