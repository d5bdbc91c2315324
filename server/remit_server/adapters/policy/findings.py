"""What is wrong in a policy bundle, told so that its author can mend it."""

from collections.abc import Collection
from dataclasses import dataclass

from remit_server.adapters.policy.rule_book import RULES, UNNAMED, Severity


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One fault: where it stands (`line` counts from 1, 0 means the whole file), what, how to mend it, and its rule.

    Why it matters, and whether it refuses the bundle, is the rule's to say (`rule_book`).
    """

    path: str
    line: int
    problem: str
    mend: str
    rule: str = UNNAMED

    @property
    def severity(self) -> Severity:
        """Says whether the bundle is refused for it."""
        return RULES[self.rule].severity

    @property
    def why(self) -> str:
        """Why it matters, in one sentence without its full stop."""
        return RULES[self.rule].why

    @property
    def place(self) -> str:
        """The file, with the line where one is known."""
        return f"{self.path}:{self.line}" if self.line else self.path

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}. {ended(self.mend)}"


def ended(sentence: str) -> str:
    """Returns a sentence with the full stop that it may lack."""
    return sentence if sentence.endswith(("?", ".")) else f"{sentence}."


class BundleRefused(ValueError):  # noqa: N818 - named for what it says
    """The bundle may not decide anything; `findings` names every fault that was seen."""

    def __init__(self, findings: Collection[Finding]) -> None:
        self.findings = tuple(sorted(findings))
        super().__init__("\n".join(str(finding) for finding in self.findings))
