"""Every rule of `policy check`, by its id; docs/policy-check.md is held to it by a test."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from remit_server.adapters.policy.rule_book.catalogue_rules import CATALOGUE_RULES
from remit_server.adapters.policy.rule_book.file_rules import FILE_RULES
from remit_server.adapters.policy.rule_book.gateway_rules import GATEWAY_RULES
from remit_server.adapters.policy.rule_book.kinds import Rule, Severity
from remit_server.adapters.policy.rule_book.rego_rules import REGO_RULES

__all__ = ["RULES", "UNNAMED", "Rule", "Severity"]

UNNAMED: Final = "bundle"
"""The rule of a finding that names no other: the bundle is refused, and why stands in the finding itself."""

RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {rule.rule_id: rule for rule in (*FILE_RULES, *REGO_RULES, *CATALOGUE_RULES, *GATEWAY_RULES)}
)
