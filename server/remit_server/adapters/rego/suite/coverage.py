"""What a suite reaches of a bundle: lines of its rules, entitlements of its catalogue, reasons of its refusals.

A line is covered when a test had the engine evaluate an expression that begins on it. An entitlement is covered when
the entrypoint's answer held it in some test, while the catalogue held it as the bundle does. A reason is covered when
an entrypoint's answer held its code in some test.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from remit_server.adapters.policy.bundles.bundle import Bundle
from remit_server.adapters.rego.suite.outcome import Ran


@dataclass(frozen=True, slots=True)
class Share:
    """How many of how many."""

    covered: int
    all: int

    @property
    def percent(self) -> float:
        """The share in percent; of nothing everything is covered."""
        return 100.0 * self.covered / self.all if self.all else 100.0


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was reached and what was not: per rule file its lines, the entitlements by id, the reasons by code."""

    covered: Mapping[str, tuple[int, ...]]
    missed: Mapping[str, tuple[int, ...]]
    entitlements: tuple[str, ...]
    missed_entitlements: tuple[str, ...]
    reasons: tuple[str, ...]
    missed_reasons: Mapping[str, tuple[str, int]]

    @property
    def lines(self) -> Share:
        """The share of lines of all rule files."""
        covered = sum(len(lines) for lines in self.covered.values())
        return Share(covered, covered + sum(len(lines) for lines in self.missed.values()))

    def lines_of(self, path: str) -> Share:
        """Returns the share of lines of one rule file."""
        return Share(len(self.covered[path]), len(self.covered[path]) + len(self.missed[path]))


def coverage_of(ran: Ran, bundle: Bundle) -> Coverage:
    """Returns what a suite that was run for coverage reached."""
    evaluated: dict[str, set[int]] = {path: set() for path in ran.reachable}
    for outcome in ran.outcomes:
        for path, lines in (outcome.lines or {}).items():
            evaluated.setdefault(path, set()).update(lines)
    given = {one for outcome in ran.outcomes for ids, _ in outcome.answers for one in ids}
    said = {one for outcome in ran.outcomes for _, codes in outcome.answers for one in codes}
    known = set(entitlements_of(bundle))
    return Coverage(
        covered={path: tuple(sorted(evaluated[path] & lines)) for path, lines in sorted(ran.reachable.items())},
        missed={path: tuple(sorted(lines - evaluated[path])) for path, lines in sorted(ran.reachable.items())},
        entitlements=tuple(sorted(known & given)),
        missed_entitlements=tuple(sorted(known - given)),
        reasons=tuple(sorted(said)),
        missed_reasons={code: ran.reasons[code] for code in sorted(ran.reasons.keys() - said)},
    )


def entitlements_of(bundle: Bundle) -> Mapping[str, Any]:
    """Returns the entitlements of a bundle's catalogue by id, as they are written."""
    tree: Any = json.loads(bundle.data_json)
    for step in ("remit", "catalog", "entitlements", "entitlements"):
        tree = tree.get(step) if isinstance(tree, dict) else None
    return tree if isinstance(tree, dict) else {}
