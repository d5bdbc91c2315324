"""`policy check` in one call: everything that is to be said of a bundle, each finding with file, line, why and mend."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from remit_server.adapters.policy.bundles.bundle import Bundle, Reading, examine_files, is_test
from remit_server.adapters.policy.checking.administration import administration_findings
from remit_server.adapters.policy.checking.agents import agent_findings, pattern_findings
from remit_server.adapters.policy.checking.aws_advice import capability_advice, entitlement_advice
from remit_server.adapters.policy.checking.ceilings import ceiling_findings
from remit_server.adapters.policy.checking.places import (
    ADMINISTRATION,
    CAPABILITIES,
    ENTITLEMENTS,
    Catalogue,
    OutOfTime,
    Places,
    Told,
)
from remit_server.adapters.policy.checking.proofs import Proofs
from remit_server.adapters.policy.checking.reach import reach_findings, shadowed_findings
from remit_server.adapters.policy.checking.schemas import ADMIN_INPUT, ISSUE_INPUT, schema, schema_findings
from remit_server.adapters.policy.checking.serving import Serving
from remit_server.adapters.policy.checking.slashes import capability_slashes, entitlement_slashes
from remit_server.adapters.policy.findings import BundleRefused, Finding
from remit_server.adapters.policy.rule_book import Severity
from remit_server.adapters.rego.embedded import EmbeddedRego, EngineLimits, check_bundle
from remit_server.adapters.rego.linting.members import ADMIN, ISSUE
from remit_server.adapters.rego.process import Program, lint_rules
from remit_server.application.planning.ceilings import Ceilings

_OUTLINE_DEPTH: Final = 4
_MOST_MEMBERS: Final = 200  # a place with more of them is left open: it is an index, not a structure
_MOST_OF_A_RULE: Final = 200  # so many findings of one rule are told; then how many more there are


@dataclass(frozen=True, slots=True)
class Report:
    """What was found in a bundle: every finding in order, and how much there was of everything."""

    revision: str
    findings: tuple[Finding, ...]
    rule_files: int
    capabilities: int
    entitlements: int

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that refuse the bundle."""
        return tuple(one for one in self.findings if one.severity is Severity.ERROR)

    @property
    def advice(self) -> tuple[Finding, ...]:
        """The findings that are only told."""
        return tuple(one for one in self.findings if one.severity is Severity.ADVICE)


async def check_files(
    files: Mapping[str, bytes],
    settings: Serving | None = None,
    limits: EngineLimits | None = None,
    *,
    advise_until: float = math.inf,
) -> Report:
    """Returns everything that is to be said of the files (by path) of a bundle; never raises for what is in them.

    With the settings of the gateway that is to serve it, the bundle is held against its roles, agents and issuers too.
    Advice on the catalogue is looked for until a moment of the monotonic clock; that some was left out is told.
    """
    reading = examine_files(files)
    found = [*reading.faults, *reading.advice, *schema_findings(files)]
    of_rules = await _rego_findings(reading, replace(limits or EngineLimits(), workers=1, spares=0))
    # NOTE: what a data file would have held is not missing while that file is not read; the file's own fault refuses.
    is_unread = any(fault.rule == "data-file" for fault in reading.faults)
    found += (one for one in of_rules if not (is_unread and one.rule == "unknown-data"))
    catalogue = None
    if not any(_is_data(fault) for fault in reading.faults):
        catalogue = Catalogue(reading.bundle)
        found += _catalogue_findings(catalogue, Places(files), settings, advise_until)
    return Report(
        revision=reading.bundle.revision,
        findings=tuple(_bounded(sorted(set(found)))),
        rule_files=sum(not is_test(path) for path, _ in reading.bundle.modules),
        capabilities=len(reading.bundle.capabilities),
        entitlements=len(catalogue.entitlements) if catalogue else 0,
    )


async def _rego_findings(reading: Reading, limits: EngineLimits) -> list[Finding]:
    """Returns what the engine's worker says of the rules; the rules are asked only once everything else is sound.

    NOTE: they are looked at even when the data has faults, so that their author sees all of them at once.
    """
    bundle = reading.bundle
    try:
        await check_bundle(bundle, limits)
    except BundleRefused as refused:
        return list(refused.findings)
    program = Program(bundle.rules, "{}", limits.memory_bytes, alarm_seconds=limits.decision_seconds + 5)
    knowledge = {"schemas": {ISSUE: schema(ISSUE_INPUT), ADMIN: schema(ADMIN_INPUT)}, "outline": _outline(bundle)}
    tests = [module for module in bundle.modules if is_test(module[0])]
    found = await lint_rules(program, json.dumps(knowledge), tests)
    if not reading.faults and all(one.severity is Severity.ADVICE for one in found):
        try:
            engine = await EmbeddedRego.start(bundle, limits)
            await engine.close()
        except BundleRefused as refused:
            found += refused.findings
    return found


def _catalogue_findings(
    catalogue: Catalogue, places: Places, settings: Serving | None, advise_until: float
) -> Iterator[Finding]:
    """Yields what is to be said of a catalogue that was read without a fault: first all that may refuse it."""
    proofs = Proofs()
    of_entitlements: list[Iterable[Told]] = [pattern_findings(catalogue), reach_findings(catalogue)]
    if settings is not None:
        extra = tuple(str(action) for action in settings.forbidden_extra)
        ceilings = Ceilings.of(settings.roles, extra, settings.ceilings_digest)
        of_entitlements.append(ceiling_findings(catalogue, ceilings, proofs))
    for told in of_entitlements:
        yield from (places.finding(ENTITLEMENTS, *one) for one in told)
    yield from (places.finding(ADMINISTRATION, *one) for one in administration_findings(catalogue.administration))
    try:
        yield from _catalogue_advice(catalogue.until(advise_until), places, settings, proofs)
    except OutOfTime:
        problem = (
            "the catalogue is so large that there was no time for all advice on it; what refuses it was looked for"
        )
        mend = "Run `remit-server policy check --config` on it, which takes the time"
        yield Finding(f"{ENTITLEMENTS}/", 0, problem, mend, "advice-left-out")


def _catalogue_advice(
    catalogue: Catalogue, places: Places, settings: Serving | None, proofs: Proofs
) -> Iterator[Finding]:
    """Yields what is only told of a catalogue; raises OutOfTime as the catalogue does."""
    of_entitlements: list[Iterable[Told]] = [
        shadowed_findings(catalogue, proofs),
        entitlement_slashes(catalogue),
        entitlement_advice(catalogue),
    ]
    if settings is not None:
        of_entitlements.append(agent_findings(catalogue, settings))
    for told in of_entitlements:
        yield from (places.finding(ENTITLEMENTS, *one) for one in told)
    for told in (capability_slashes(catalogue), capability_advice(catalogue)):
        yield from (places.finding(CAPABILITIES, *one) for one in told)


def _is_data(fault: Finding) -> bool:
    """Says whether a fault may have left the catalogue another than its author wrote."""
    return "data." in fault.path


def _outline(bundle: Bundle) -> Any:
    """Returns the upper members of a bundle's data; None for what is left open."""
    return _members(json.loads(bundle.data_json), _OUTLINE_DEPTH)


def _members(value: Any, depth: int) -> Any:
    """Returns the members of an object as an object, so deep, and None for anything else."""
    if depth == 0 or not isinstance(value, dict) or not value or len(value) > _MOST_MEMBERS:
        return None
    return {name: _members(below, depth - 1) for name, below in value.items()}


def _bounded(findings: list[Finding]) -> Iterator[Finding]:
    """Yields the first findings of each rule, and in place of the others how many they are."""
    counted: dict[str, int] = {}
    for one in findings:
        counted[one.rule] = counted.get(one.rule, 0) + 1
        if counted[one.rule] <= _MOST_OF_A_RULE:
            yield one
    for rule, count in counted.items():
        if count > _MOST_OF_A_RULE:
            path = next(one.path for one in findings if one.rule == rule)
            yield Finding(path, 0, f"and {count - _MOST_OF_A_RULE} more of the same", "Mend the first ones", rule)
