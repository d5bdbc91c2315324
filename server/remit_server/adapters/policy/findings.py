"""What is wrong in a policy bundle, told so that its author can mend it."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One fault: where it stands (`line` counts from 1, 0 means the whole file), what and why, and how to mend it."""

    path: str
    line: int
    problem: str
    mend: str

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else self.path
        return f"{where}: {self.problem}. {self.mend}."


class BundleRefused(ValueError):  # noqa: N818 - named for what it says
    """The bundle may not decide anything; `findings` names every fault that was seen."""

    def __init__(self, findings: Collection[Finding]) -> None:
        self.findings = tuple(sorted(findings))
        super().__init__("\n".join(str(finding) for finding in self.findings))
