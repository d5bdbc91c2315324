"""Every lint on the syntax trees of a bundle's rules (never its tests), in one call for the worker."""

from collections.abc import Mapping, Sequence
from itertools import chain, islice
from typing import Any, Final

from remit_server.adapters.policy.findings import Finding
from remit_server.adapters.rego.linting.data_paths import data_findings
from remit_server.adapters.rego.linting.definitions import definition_findings
from remit_server.adapters.rego.linting.members import input_findings
from remit_server.adapters.rego.linting.modules import modules_of
from remit_server.adapters.rego.linting.safety import safety_findings
from remit_server.adapters.rego.linting.style import style_findings

MOST_FINDINGS: Final = 1_000


def lint(trees: Sequence[Mapping[str, Any]], knowledge: Mapping[str, Any]) -> list[Finding]:
    """Returns at most MOST_FINDINGS findings, sorted.

    `knowledge` is what the gateway knows and the worker does not read: `schemas` of input by package, and the
    `outline` of the bundle's data.
    """
    modules = modules_of(trees)
    found = chain(
        definition_findings(modules),
        safety_findings(modules),
        input_findings(modules, knowledge["schemas"]),
        data_findings(modules, knowledge["outline"]),
        *(style_findings(module) for module in modules),
    )
    return sorted(set(islice(found, MOST_FINDINGS)))
