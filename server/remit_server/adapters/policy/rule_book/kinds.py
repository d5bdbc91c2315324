"""What a rule of `policy check` is: a stable id, how grave a finding of it is, why it matters, and how it is mended."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """An error refuses the bundle; advice is told, and refuses only under `--strict`."""

    ERROR = "error"
    ADVICE = "advice"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: what it finds, why that matters, how it is mended, each in one sentence without its full stop."""

    rule_id: str
    severity: Severity
    what: str
    why: str
    mend: str


def error(rule_id: str, what: str, why: str, mend: str) -> Rule:
    """Returns a rule whose findings refuse the bundle."""
    return Rule(rule_id, Severity.ERROR, what, why, mend)


def advice(rule_id: str, what: str, why: str, mend: str) -> Rule:
    """Returns a rule whose findings are only told."""
    return Rule(rule_id, Severity.ADVICE, what, why, mend)
